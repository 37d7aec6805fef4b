"""How far is the map, read as contributions, from what removals do to the score?"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.metrics._fields import positions_of
from heatproof.metrics._order import finite
from heatproof.metrics._perturb import BATCH, Score
from heatproof.metrics._record import Measurement, Metric
from heatproof.metrics._subsets import drawn, drops
from heatproof.metrics.imputers import Imputer, mean

__all__ = ["infidelity"]


def infidelity(
    maps: Float[Tensor, "n t *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    score: Score,
    *,
    scaled: bool = True,
    imputer: Imputer = mean,
    share: float = 0.2,
    subsets: int = 100,
    seed: int = 0,
    batch: int = BATCH,
) -> Measurement:
    """Return the mean squared difference between the map's sum over a random subset and the fall of the score.

    Maps are contributions of grid positions (gradients times changes, in the paper's terms), so that the perturbation's
    product with the map is its sum over the removed subset. In squared units of the score, 0 and up, lower is better;
    chance level: the mean squared fall, which is what a blank map scores, and with optimal scaling no map scores more.
    NaN where a map is not finite.

    Args:
        maps: signed maps.
        inputs: what the model was given.
        score: runs the model, see `Capture.rescore`.
        scaled: multiply each map by the factor that suits it best (it may be negative), so that its unit is irrelevant.
        imputer: what stands where something was removed.
        share: of the grid positions in each subset, rounded to at least one.
        subsets: how many are drawn, the same for all inputs.
        seed: of the draw.
        batch: most inputs in one call of `score`.

    Raises:
        InputError: the maps do not fit the inputs.
        UsageError: the share or the number of subsets leaves no choice.

    Source: Yeh et al. 2019, "On the (in)fidelity and sensitivity of explanations", definition 2.1; scaling: section 5.
    """
    positions = positions_of(maps)
    chosen = drawn(positions, max(1, round(share * positions)), subsets, seed)
    found = drops(maps, inputs, score, chosen, imputer, batch)
    held = found.held
    if scaled:
        # Divided by its maximum first: squares of tiny values would vanish.
        largest = held.abs().amax(-1, keepdim=True)
        held = torch.where(largest > 0, held / largest, 0.0)
        power = held.square().sum(-1, keepdim=True)
        held = torch.where(power > 0, (held * found.fallen).sum(-1, keepdim=True) / power, 0.0) * held
    error = (held - found.fallen).square().mean(-1)
    return Measurement(torch.where(finite(maps.flatten(2)), error, torch.nan), found.forwards)


METRICS = (
    Metric(
        infidelity,
        "Infidelity",
        "Yeh et al. 2019, On the (in)fidelity and sensitivity of explanations, definition 2.1",
        low=0.0,
        high=math.inf,
        better="lower",
        chance="the mean squared fall of the score, which a blank map scores",
    ),
)
