"""How much more does the score suffer from losing what matters most than from losing what matters least?"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.metrics._fields import positions_of
from heatproof.metrics._perturb import BATCH, Score, amounts, curves, shares
from heatproof.metrics._record import Measurement, Metric
from heatproof.metrics.imputers import Imputer, blur

__all__ = ["srg"]


def srg(
    maps: Float[Tensor, "n t *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    score: Score,
    *,
    imputer: Imputer | None = None,
    steps: int = 10,
    ties: int | None = None,
    batch: int = BATCH,
) -> Measurement:
    """Return the symmetric relevance gain: the area when the least influential go first minus that of the reverse.

    What the imputer does to the score by itself is in both areas and cancels. Grid positions are removed as wholes.
    In the units of the score; higher is better, chance level 0: the orders of a constant map agree exactly. NaN where a
    map or a score is not finite.

    Args:
        maps: signed maps; only their order matters.
        inputs: what the model was given.
        score: runs the model, see `Capture.rescore`.
        imputer: what stands where something was removed; None is `blur()`.
        steps: equal steps from nothing to everything removed, at most one per position.
        ties: a seed breaks ties by a random order of the positions; None removes tied positions in equal parts.
        batch: most inputs in one call of `score`.

    Raises:
        InputError: the maps do not fit the inputs.

    Source: Blücher et al. 2024, "Decoupling pixel flipping and occlusion strategy for consistent XAI benchmarks".
    """
    removed = amounts(positions_of(maps), steps)
    (most, least), forwards = curves(maps, inputs, score, imputer or blur(), removed, [True, False], ties, batch)
    at = shares(removed, maps)
    return Measurement(torch.trapezoid(least - most, at), forwards, steps=at, most_first=most, least_first=least)


METRICS = (
    Metric(
        srg,
        "Symmetric relevance gain",
        "Blücher et al. 2024, Decoupling pixel flipping and occlusion strategy for consistent XAI benchmarks",
        low=-math.inf,
        high=math.inf,
        better="higher",
        chance=0.0,
    ),
)
