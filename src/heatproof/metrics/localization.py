"""Is the evidence where the annotation is? Agreement of maps with masks, on the grid of the maps.

Masks are boolean, on the maps' grid, one per input (n, 1, *grid) or per target (n, t, *grid); `to_grid` brings masks at
the input's size there. Everywhere: an empty mask gives NaN, not a miss; a map that is not finite gives NaN; a map that
prefers no position (constant, or without positive evidence where only that counts) scores exactly at chance.

The signatures call a mask's shape (k, u, *size), so that a wrong one reaches the check that says what is wrong with it.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.errors import UsageError
from heatproof.metrics._fields import pooled
from heatproof.metrics._order import counts, finite, taken
from heatproof.metrics._record import Metric

__all__ = [
    "area_share",
    "average_precision",
    "iou",
    "iou_threshold",
    "pointing_game",
    "relevance_mass",
    "relevance_rank",
    "to_grid",
]


def to_grid(masks: Bool[Tensor, "n t *spatial"], grid: Sequence[int], share: float = 0.5) -> Bool[Tensor, "n t *grid"]:
    """Return masks on a coarser grid: the positions of which at least `share` is covered.

    A mask that covers no position so far marks the position (or positions) that it covers most, so that small objects
    do not vanish; an empty mask stays empty.

    Raises:
        UsageError: the grid has another number of axes, or is finer than the masks.
    """
    spatial = tuple(masks.shape[2:])
    if len(grid) != len(spatial) or any(g > s for g, s in zip(grid, spatial, strict=True)):
        raise UsageError(f"Masks of size {spatial} do not fit a grid of {tuple(grid)}; give masks at the input's size.")
    covered = pooled(masks.double(), grid)
    most = covered.flatten(2).amax(-1).reshape(*masks.shape[:2], *[1] * len(grid))
    # Within rounding: means of zeros and ones are compared.
    return (covered >= torch.minimum(most, torch.full_like(most, share)) - 1e-12) & (most > 0)


def area_share(masks: Bool[Tensor, "n u *grid"]) -> Float[Tensor, "n u"]:
    """Return the share of the grid that each mask covers: what a map without information scores."""
    return masks.flatten(2).double().mean(-1)


def pointing_game(
    maps: Float[Tensor, "n t *grid"], masks: Bool[Tensor, "k u *size"], tolerance: float = 0.0
) -> Float[Tensor, "n t"]:
    """Return whether the largest value lies in the mask: 1 a hit, 0 a miss, between them for ties.

    Of several largest values, each counts for an equal part. Range 0 to 1, higher is better, chance level: the
    share of the grid within `tolerance` of the mask. NaN for an empty mask.

    Args:
        maps: signed maps.
        masks: on the maps' grid.
        tolerance: Euclidean distance from the mask that still counts, in grid positions (the paper: 15 pixels).

    Raises:
        UsageError: the masks do not fit the maps.

    Source: Zhang et al. 2018, "Top-down neural attention by excitation backprop" (the pointing game).
    """
    values, inside = _flat(maps, _dilated(masks, tolerance))
    best = (values == values.amax(-1, keepdim=True)).double()
    return _defined((best * inside).sum(-1) / best.sum(-1), values, inside)


def relevance_mass(maps: Float[Tensor, "n t *grid"], masks: Bool[Tensor, "k u *size"]) -> Float[Tensor, "n t"]:
    """Return the share of the positive evidence that lies in the mask.

    Range 0 to 1, higher is better, chance level: the share of the grid that the mask covers, which is also the
    value of a map without positive evidence. NaN for an empty mask.

    Raises:
        UsageError: the masks do not fit the maps.

    Source: Wang et al. 2020, "Score-CAM" ("energy-based pointing game"); Arras et al. 2022, "CLEVR-XAI"
    ("relevance mass accuracy").
    """
    values, inside = _flat(maps, masks)
    positive = _positive(values)
    return _defined((positive * inside).sum(-1) / positive.sum(-1), values, inside)


def relevance_rank(maps: Float[Tensor, "n t *grid"], masks: Bool[Tensor, "k u *size"]) -> Float[Tensor, "n t"]:
    """Return which share of the K largest values lies in the mask, K being the mask's size.

    Values tied at rank K share what is left of the K places. Range 0 to 1, higher is better, chance level: the share
    of the grid that the mask covers. NaN for an empty mask.

    Raises:
        UsageError: the masks do not fit the maps.

    Source: Arras et al. 2022, "CLEVR-XAI" ("relevance rank accuracy").
    """
    values, inside = _flat(maps, masks)
    size = inside.sum(-1, keepdim=True)
    top = taken(*counts(values), size.long())
    return _defined((top * inside).sum(-1) / size.squeeze(-1), values, inside)


def iou(
    maps: Float[Tensor, "n t *grid"], masks: Bool[Tensor, "k u *size"], threshold: float = 0.15
) -> Float[Tensor, "n t"]:
    """Return intersection over union of the mask and the positions above a threshold.

    The threshold is a share of the map's largest positive value and must not come from the data that are scored:
    keep the paper's 15 %, or choose one on other data by `iou_threshold`. A map without positive evidence marks every
    position. Range 0 to 1, higher is better, chance level: the share of the grid that the mask covers. NaN for an empty
    mask.

    Raises:
        UsageError: the masks do not fit the maps, or the threshold is not in 0..1.

    Source: Selvaraju et al. 2017, "Grad-CAM", section 4.1 (15 % of the maximum).
    """
    if not 0 <= threshold <= 1:
        raise UsageError(f"The threshold is {threshold}; it is a share of the map's maximum, from 0 to 1.")
    values, inside = _flat(maps, masks)
    positive = _positive(values)
    marked = (positive >= threshold * positive.amax(-1, keepdim=True)).double()
    both = (marked * inside).sum(-1)
    return _defined(both / (marked.sum(-1) + inside.sum(-1) - both), values, inside)


def iou_threshold(
    maps: Float[Tensor, "n t *grid"],
    masks: Bool[Tensor, "k u *size"],
    candidates: Sequence[float] = tuple(i / 20 for i in range(1, 20)),
) -> float:
    """Return the candidate threshold with the best mean IoU on tuning data, which must not be scored afterward.

    Of equally good ones, the lowest. Source: Choe et al. 2020, "Evaluating weakly supervised object localization
    methods right": thresholds come from a held-out split.

    Raises:
        UsageError: no mask has a defined IoU, so that there is nothing to tune on.
    """
    means = [float(iou(maps, masks, threshold).nanmean()) for threshold in candidates]
    if not means or any(math.isnan(mean) for mean in means):
        raise UsageError(
            f"None of the {masks.shape[0]} inputs has both a finite map and a mask that is not empty; "
            "give annotated tuning data."
        )
    return candidates[max(range(len(means)), key=means.__getitem__)]


def average_precision(maps: Float[Tensor, "n t *grid"], masks: Bool[Tensor, "k u *size"]) -> Float[Tensor, "n t"]:
    """Return the area under the precision-recall curve, positions as cases and the map as their score.

    The area is average precision (a step function, never interpolated); tied values enter together. Range 0 to 1,
    higher is better, chance level: the share of the grid that the mask covers. NaN for an empty mask.

    Raises:
        UsageError: the masks do not fit the maps.

    Source: Davis and Goadrich 2006, "The relationship between precision-recall and ROC curves"; for maps: Cong et al.
    2018, "Review of visual saliency detection".
    """
    values, inside = _flat(maps, masks)
    greater, equal = counts(values)
    reached = greater + equal  # positions that have entered together with this one
    order = values.argsort(dim=-1, descending=True)
    hits = inside.gather(-1, order).cumsum(-1).gather(-1, reached - 1)
    precision = hits / reached
    return _defined((precision * inside).sum(-1) / inside.sum(-1), values, inside)


def _flat(
    maps: Float[Tensor, "n t *grid"], masks: Bool[Tensor, "k u *size"]
) -> tuple[Float[Tensor, "n t m"], Float[Tensor, "n t m"]]:
    """Return maps and masks in float64, one row per map."""
    if masks.shape[0] != maps.shape[0] or masks.shape[1] not in (1, maps.shape[1]) or masks.shape[2:] != maps.shape[2:]:
        n, t, *grid = maps.shape
        raise UsageError(
            f"Masks of shape {tuple(masks.shape)} do not fit maps of shape {tuple(maps.shape)}; give "
            f"({n}, 1 or {t}, {', '.join(map(str, grid))}), with to_grid(masks, {tuple(grid)}) for larger ones."
        )
    values = maps.flatten(2).double()
    return values, masks.flatten(2).to(values).expand_as(values)


def _positive(values: Float[Tensor, "n t m"]) -> Float[Tensor, "n t m"]:
    """Return the positive evidence as a share of its maximum; where there is none, no position is preferred: all 1."""
    positive = values.clamp(min=0)
    largest = positive.amax(-1, keepdim=True)
    return torch.where(largest > 0, positive / largest, 1.0)


def _defined(
    score: Float[Tensor, "n t"], values: Float[Tensor, "n t m"], inside: Float[Tensor, "n t m"]
) -> Float[Tensor, "n t"]:
    return torch.where(finite(values) & (inside.sum(-1) > 0), score, torch.nan)


def _dilated(masks: Bool[Tensor, "k u *size"], tolerance: float) -> Bool[Tensor, "k u *size"]:
    """Return every position within `tolerance` of the mask, without going around the edges."""
    reach = [min(math.floor(tolerance), size - 1) for size in masks.shape[2:]]
    grown = masks.clone()
    for offset in itertools.product(*(range(-r, r + 1) for r in reach)):
        if not 0 < math.hypot(*offset) <= tolerance:
            continue
        to, source = (
            tuple(slice(max(0, s * d), size + min(0, s * d)) for d, size in zip(offset, masks.shape[2:], strict=True))
            for s in (1, -1)
        )
        grown[:, :, *to] |= masks[:, :, *source]
    return grown


_AREA = "the share of the grid that the mask covers"

METRICS = (
    Metric(
        pointing_game,
        "Pointing game",
        "Zhang et al. 2018, Top-down neural attention by excitation backprop",
        low=0.0,
        high=1.0,
        better="higher",
        chance="the share of the grid within the tolerance of the mask",
    ),
    Metric(
        relevance_mass,
        "Energy pointing game (relevance mass accuracy)",
        "Wang et al. 2020, Score-CAM; Arras et al. 2022, CLEVR-XAI",
        low=0.0,
        high=1.0,
        better="higher",
        chance=_AREA,
    ),
    Metric(
        relevance_rank,
        "Relevance rank accuracy",
        "Arras et al. 2022, CLEVR-XAI",
        low=0.0,
        high=1.0,
        better="higher",
        chance=_AREA,
    ),
    Metric(
        iou,
        "Intersection over union",
        "Selvaraju et al. 2017, Grad-CAM, section 4.1",
        low=0.0,
        high=1.0,
        better="higher",
        chance=_AREA,
    ),
    Metric(
        average_precision,
        "Area under the precision-recall curve (average precision)",
        "Davis and Goadrich 2006, The relationship between precision-recall and ROC curves",
        low=0.0,
        high=1.0,
        better="higher",
        chance=_AREA,
    ),
)
