"""Do regions that hold more of the map cost more of the score when they are removed?"""

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.metrics._fields import positions_of
from heatproof.metrics._perturb import BATCH, Score
from heatproof.metrics._record import Measurement, Metric
from heatproof.metrics._stats import pearson, ranks
from heatproof.metrics._subsets import Drops, drawn, drops
from heatproof.metrics.imputers import Imputer, mean

__all__ = ["faithfulness_correlation", "mu_fidelity"]

_ROUNDING = 1e-6
"""Falls count in steps of this share of the largest score."""


def faithfulness_correlation(
    maps: Float[Tensor, "n t *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    score: Score,
    *,
    imputer: Imputer = mean,
    share: float = 0.2,
    subsets: int = 100,
    seed: int = 0,
    batch: int = BATCH,
) -> Measurement:
    """Return Pearson's correlation between the map's sum over random subsets and the fall of the score without them.

    Range -1 to 1, higher is better, chance level 0. NaN where the map is constant or not finite, or where no removal
    changes the score.

    Args:
        maps: signed maps.
        inputs: what the model was given.
        score: runs the model, see `Capture.rescore`.
        imputer: what stands where something was removed.
        share: of the grid positions in each subset, rounded to at least one.
        subsets: how many are drawn, the same for all inputs.
        seed: of the draw.
        batch: most inputs in one call of `score`.

    Raises:
        InputError: the maps do not fit the inputs.
        UsageError: the share or the number of subsets leaves nothing to correlate.

    Source: Bhatt et al. 2020, "Evaluating and aggregating feature-based model explanations" ("faithfulness").
    """
    found = _removals(maps, inputs, score, imputer, share, subsets, seed, batch)
    return Measurement(torch.where(found.uneven, pearson(found.held, found.fallen), torch.nan), found.forwards)


def mu_fidelity(
    maps: Float[Tensor, "n t *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    score: Score,
    *,
    imputer: Imputer = mean,
    share: float = 0.2,
    subsets: int = 100,
    seed: int = 0,
    batch: int = BATCH,
) -> Measurement:
    """Return Spearman's correlation between the map's sum over random grid subsets and the fall of the score.

    The rank form of `faithfulness_correlation`, with the same arguments and errors; one outlying subset cannot decide
    it. Falls that differ by less than a millionth of the largest score are ties. Range -1 to 1, higher is better,
    chance level 0. NaN as there.

    Source: Bhatt et al. 2020, as above (μ_F); with ranks and on a grid: Fel et al. 2021, "Look at the variance!".
    """
    found = _removals(maps, inputs, score, imputer, share, subsets, seed, batch)
    # Whole multiples of what single precision tells apart: else the size of a batch decides which fall is the larger.
    step = (_ROUNDING * torch.where(found.largest > 0, found.largest, 1.0)).unsqueeze(-1)
    rho = pearson(ranks(found.held), ranks((found.fallen / step).round()))
    defined = found.uneven & found.fallen.isfinite().all(-1)
    return Measurement(torch.where(defined, rho, torch.nan), found.forwards)


def _removals(
    maps: Float[Tensor, "n t *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    score: Score,
    imputer: Imputer,
    share: float,
    subsets: int,
    seed: int,
    batch: int,
) -> Drops:
    positions = positions_of(maps)
    chosen = drawn(positions, max(1, round(share * positions)), subsets, seed)
    return drops(maps, inputs, score, chosen, imputer, batch)


_PAPER = "Bhatt et al. 2020, Evaluating and aggregating feature-based model explanations"

METRICS = (
    Metric(
        faithfulness_correlation, "Faithfulness correlation", _PAPER, low=-1.0, high=1.0, better="higher", chance=0.0
    ),
    Metric(
        mu_fidelity,
        "muFidelity",
        f"{_PAPER}; Fel et al. 2021, Look at the variance!",
        low=-1.0,
        high=1.0,
        better="higher",
        chance=0.0,
    ),
)
