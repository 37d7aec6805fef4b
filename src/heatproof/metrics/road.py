"""Does removal without a trace tell the influential positions from the others?"""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from heatproof.errors import UsageError
from heatproof.metrics._fields import positions_of
from heatproof.metrics._perturb import BATCH, Score, curves, shares
from heatproof.metrics._record import Measurement, Metric
from heatproof.metrics.imputers import Imputer, noisy_linear

__all__ = ["road"]

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


def road(
    maps: Float[Tensor, "n t *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    score: Score,
    *,
    imputer: Imputer | None = None,
    removed: Sequence[float] = SHARES,
    ties: int | None = None,
    batch: int = BATCH,
) -> Measurement:
    """Return half the mean gap between removing the least and the most influential positions (ROAD, combined).

    Removed samples are filled by noisy linear imputation, which leaves the shape of the hole hardly visible. In the
    units of the score; higher is better, chance level 0. NaN where a map or a score is not finite.

    Args:
        maps: signed maps; only their order matters.
        inputs: what the model was given.
        score: runs the model, see `Capture.rescore`.
        imputer: None is `noisy_linear()`, the paper's.
        removed: shares of the positions that are removed, each rounded to whole positions.
        ties: a seed breaks ties by a random order of the positions; None removes tied positions in equal parts.
        batch: most inputs in one call of `score`.

    Raises:
        InputError: the maps do not fit the inputs.
        UsageError: a share is not between 0 and 1.

    Source: Rong et al. 2022, "A consistent and efficient evaluation strategy for attribution methods", sections 4 and
    5 (most and least relevant first); their combination: Gildenblat's pytorch-grad-cam ("ROADCombined").
    """
    if not removed or not all(0 <= share <= 1 for share in removed):
        raise UsageError(f"removed is {tuple(removed)}; give shares of the positions, each between 0 and 1.")
    total = positions_of(maps)
    amount = [round(share * total) for share in removed]
    (most, least), forwards = curves(maps, inputs, score, imputer or noisy_linear(), amount, [True, False], ties, batch)
    return Measurement(
        (least - most).mean(-1) / 2, forwards, steps=shares(amount, maps), most_first=most, least_first=least
    )


METRICS = (
    Metric(
        road,
        "ROAD (combined)",
        "Rong et al. 2022, A consistent and efficient evaluation strategy for attribution methods",
        low=-math.inf,
        high=math.inf,
        better="higher",
        chance=0.0,
    ),
)
