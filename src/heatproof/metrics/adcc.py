"""Does the highlighted part keep the score, briefly, and is it highlighted again when shown alone?"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from heatproof.errors import MethodError
from heatproof.metrics._fields import require_fit
from heatproof.metrics._order import finite
from heatproof.metrics._perturb import BATCH, Score, chunks
from heatproof.metrics._record import Measurement, Metric
from heatproof.metrics._stats import pearson
from heatproof.metrics.drop import average_drop, highlighted, shares
from heatproof.metrics.imputers import Imputer, constant

__all__ = ["Explain", "adcc", "coherence", "complexity", "explained"]

Explain = Callable[[Float[Tensor, "m c *spatial"], Int[Tensor, " m"]], Float[Tensor, "m t *grid"]]
"""`(inputs (m, c, *spatial), rows (m,)) -> maps (m, t, *grid)`, each for the targets of the input that `rows` names."""


def coherence(
    maps: Float[Tensor, "n t *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    explain: Explain,
    *,
    imputer: Imputer | None = None,
    batch: int = BATCH,
) -> Measurement:
    """Return how alike the map is to the map of what it highlights: Pearson's correlation, brought to 0..1.

    Of the positive evidence, (r + 1) / 2. Range 0 to 1, higher is better, chance level 0.5. NaN where either map is
    constant (after ReLU) or not finite. `forwards` counts an explanation as one.

    Args:
        maps: signed maps.
        inputs: what the model was given.
        explain: `(inputs (m, c, *spatial), rows (m,)) -> maps (m, t, *grid)`.
        imputer: what stands behind the highlighted part; None is `constant(0)`, the paper's.
        batch: most inputs in one call of `explain`.

    Raises:
        InputError: the maps do not fit the inputs.
        MethodError: `explain` returned another shape.

    Source: Poppi et al. 2021, "Revisiting the evaluation of class activation mapping for explainability", section 3.
    """
    require_fit(maps, inputs)
    t = maps.shape[1]
    again: list[Tensor] = []
    for chunk in chunks(len(inputs), max(1, batch // t)):
        shown = highlighted(maps[chunk], inputs[chunk], imputer or constant(0.0)).flatten(0, 1)
        rows = torch.arange(len(inputs), device=inputs.device)[chunk].repeat_interleave(t)
        found = explained(explain, shown, rows, maps).unflatten(0, (-1, t))
        again.append(found.diagonal(dim1=1, dim2=2).movedim(-1, 1))
    other = torch.cat(again).flatten(2)
    r = pearson(maps.flatten(2).clamp(min=0), other.clamp(min=0))
    defined = finite(maps.flatten(2)) & finite(other)
    return Measurement(torch.where(defined, (r + 1) / 2, torch.nan), t)


def complexity(maps: Float[Tensor, "n t *grid"]) -> Float[Tensor, "n t"]:
    """Return the mean of the positive evidence as a share of its maximum.

    Range 0 to 1, lower is simpler, chance level 1 (a constant positive map); 0 for a map without positive evidence. NaN
    where a map is not finite. Source: Poppi et al. 2021, section 3.
    """
    return torch.where(finite(maps.flatten(2)), shares(maps).flatten(2).mean(-1), torch.nan)


def adcc(
    maps: Float[Tensor, "n t *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    score: Score,
    explain: Explain,
    *,
    imputer: Imputer | None = None,
    batch: int = BATCH,
) -> Measurement:
    """Return the harmonic mean of coherence, 1 - complexity and 1 - average drop.

    Range 0 to 1, higher is better; a constant map has no coherence, so NaN, as wherever one of the three is NaN (the
    score must be positive). A drop of more than everything counts as everything.

    Args:
        maps: signed maps.
        inputs: what the model was given.
        score: runs the model, see `Capture.rescore`; the paper's is a probability.
        explain: `(inputs (m, c, *spatial), rows (m,)) -> maps (m, t, *grid)`.
        imputer: what stands behind the highlighted part; None is `constant(0)`, the paper's.
        batch: most inputs in one call of `score` or `explain`.

    Returns:
        `parts` (n, t, 3): coherence, complexity, average drop.

    Raises:
        InputError: the maps do not fit the inputs.
        MethodError: `explain` returned another shape.

    Source: Poppi et al. 2021, "Revisiting the evaluation of class activation mapping for explainability", section 3.
    """
    coherent = coherence(maps, inputs, explain, imputer=imputer, batch=batch)
    drop = average_drop(maps, inputs, score, imputer=imputer, batch=batch)
    simple = complexity(maps)
    good = torch.stack([coherent.values, 1 - simple, (1 - drop.values).clamp(min=0)], -1)
    # 1 / 0 is infinite and makes the mean 0, which is its limit; NaN stays.
    value = 3 / (1 / good).sum(-1)
    parts = torch.stack([coherent.values, simple, drop.values], -1)
    return Measurement(value, coherent.forwards + drop.forwards, parts=parts)


def explained(
    explain: Explain,
    inputs: Float[Tensor, "m c *spatial"],
    rows: Int[Tensor, " m"],
    maps: Float[Tensor, "n t *grid"],
) -> Float[Tensor, "m t *grid"]:
    """Return the maps of changed inputs in float64, or refuse a function that returned another shape than `maps`."""
    found = explain(inputs, rows)
    wanted = (len(rows), *maps.shape[1:])
    if tuple(found.shape) != wanted:
        raise MethodError(f"explain returned shape {tuple(found.shape)} for {len(rows)} inputs; return {wanted}.")
    return found.detach().double().to(maps.device)


_PAPER = "Poppi et al. 2021, Revisiting the evaluation of class activation mapping for explainability"

METRICS = (
    Metric(coherence, "Coherence", _PAPER, low=0.0, high=1.0, better="higher", chance=0.5),
    Metric(complexity, "Complexity (mean of the map)", _PAPER, low=0.0, high=1.0, better="lower", chance=1.0),
    Metric(
        adcc,
        "ADCC",
        _PAPER,
        low=0.0,
        high=1.0,
        better="higher",
        chance="that of a null of unrelated maps; undefined for a constant map",
    ),
)
