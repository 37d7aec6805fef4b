"""How much of the score does the highlighted part keep by itself?"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.metrics._fields import require_fit, stretched
from heatproof.metrics._order import finite
from heatproof.metrics._perturb import BATCH, Score, called, chunks, plain
from heatproof.metrics._record import Measurement, Metric
from heatproof.metrics.imputers import Imputer, constant

__all__ = ["average_drop", "highlighted", "increase_in_confidence"]


def average_drop(
    maps: Float[Tensor, "n t *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    score: Score,
    *,
    imputer: Imputer | None = None,
    batch: int = BATCH,
) -> Measurement:
    """Return the fall of the score, as a share of it, when only the highlighted part of the input is shown.

    The input is multiplied by the positive evidence, stretched linearly and divided by its maximum. A rise counts as
    0. The paper's average is the mean over inputs (there in percent). 0 and up (at most 1 for a score that cannot be
    negative, such as a probability), lower is better. There is no fair chance level: a constant positive map shows the
    whole input and scores 0, so never read this alone (see `adcc`). NaN where the score is not positive, so that it has
    no share, or a map or a score is not finite.

    Args:
        maps: signed maps.
        inputs: what the model was given.
        score: runs the model, see `Capture.rescore`; the paper's is a probability.
        imputer: what stands behind the highlighted part; None is `constant(0)`, the paper's.
        batch: most inputs in one call of `score`.

    Raises:
        InputError: the maps do not fit the inputs.

    Source: Chattopadhyay et al. 2018, "Grad-CAM++".
    """
    before, after = _before_and_after(maps, inputs, score, imputer, batch)
    drop = ((before - after) / before).clamp(min=0)
    defined = finite(maps.flatten(2)) & before.isfinite() & after.isfinite() & (before > 0)
    return Measurement(torch.where(defined, drop, torch.nan), 1 + maps.shape[1])


def increase_in_confidence(
    maps: Float[Tensor, "n t *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    score: Score,
    *,
    imputer: Imputer | None = None,
    batch: int = BATCH,
) -> Measurement:
    """Return 1 where the highlighted part alone scores more than the whole input, else 0.

    The paper's increase in confidence is the mean over inputs (there in percent). Higher is better; a constant positive
    map shows the whole input and scores 0. NaN where a map or a score is not finite. Arguments, errors and source as
    for `average_drop`.
    """
    before, after = _before_and_after(maps, inputs, score, imputer, batch)
    rose = (after > before).double()
    defined = finite(maps.flatten(2)) & before.isfinite() & after.isfinite()
    return Measurement(torch.where(defined, rose, torch.nan), 1 + maps.shape[1])


def highlighted(
    maps: Float[Tensor, "n t *grid"], inputs: Float[Tensor, "n c *spatial"], imputer: Imputer
) -> Float[Tensor, "n t c *spatial"]:
    """Return what is left of each input where only the positive evidence shines through."""
    t = maps.shape[1]
    rows = torch.arange(len(inputs), device=inputs.device).repeat_interleave(t)
    weights = stretched(shares(maps).flatten(0, 1).to(inputs), tuple(inputs.shape[2:]))
    return imputer(inputs[rows], 1 - weights).unflatten(0, (-1, t))


def shares(maps: Float[Tensor, "n t *grid"]) -> Float[Tensor, "n t *grid"]:
    """Return the positive evidence as a share of its maximum; 0 where there is none."""
    positive = maps.double().clamp(min=0).nan_to_num()
    largest = positive.flatten(2).amax(-1).reshape(*maps.shape[:2], *[1] * (maps.ndim - 2))
    return torch.where(largest > 0, positive / largest, 0.0)


def _before_and_after(
    maps: Float[Tensor, "n t *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    score: Score,
    imputer: Imputer | None,
    batch: int,
) -> tuple[Float[Tensor, "n t"], Float[Tensor, "n t"]]:
    require_fit(maps, inputs)
    t = maps.shape[1]
    before = plain(inputs, score, batch)
    after: list[Tensor] = []
    for chunk in chunks(len(inputs), max(1, batch // t)):
        shown = highlighted(maps[chunk], inputs[chunk], imputer or constant(0.0)).flatten(0, 1)
        rows = torch.arange(len(inputs), device=inputs.device)[chunk].repeat_interleave(t)
        after.append(called(score, shown, rows).to(inputs.device).unflatten(0, (-1, t)).diagonal(dim1=1, dim2=2))
    return before, torch.cat(after)


_PAPER = "Chattopadhyay et al. 2018, Grad-CAM++: improved visual explanations for deep convolutional networks"

METRICS = (
    Metric(
        average_drop,
        "Average drop",
        _PAPER,
        low=0.0,
        high=math.inf,
        better="lower",
        chance="0 for a constant positive map, which shows everything: not evidence by itself",
    ),
    Metric(
        increase_in_confidence,
        "Increase in confidence",
        _PAPER,
        low=0.0,
        high=1.0,
        better="higher",
        chance="0 for a constant positive map, which shows everything; otherwise that of a null of unrelated maps",
    ),
)
