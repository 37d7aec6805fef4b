"""Where most of the evidence lies: connected regions of the map, per input and class."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import generate_binary_structure, label
from torch import Tensor

from heatproof.metrics._fields import pooled, to_input
from heatproof.shortcuts._fills import wider
from heatproof.shortcuts._survey import Survey

SHARE = 0.6
"""Share of the evidence that an input's regions hold together."""
LEAST = 0.15
"""Share of an input's evidence below which a region is left out."""
GROWN = 0.3
"""Evidence at a neighboring position, as a share of the region's highest, up to which the region is grown."""
WIDE = 0.45
"""Share of the input from which on a region is no place but the whole ground."""
FREE = 0.5
"""Share of a grid position off the object from which on its evidence counts as lying off the object."""


@dataclass(frozen=True, eq=False)
class Region:
    """Connected grid positions with evidence for a class, or with something else that tells them from the rest.

    Attributes:
        row: number of the input.
        places: of the grid.
        weights: evidence at each of them, in order.
        mass: sum of the evidence there, in the score's units.
        share: of the input's evidence for the class.
        off_object: share of its evidence off the object; NaN without annotation.
    """

    row: int
    places: Bool[Tensor, "*grid"]
    weights: Float[Tensor, " p"]
    mass: float
    share: float
    off_object: float


def regions(
    survey: Survey, rows: Sequence[int], label_of: int, known: Bool[Tensor, "n *grid"] | None = None
) -> list[Region]:
    """Return the regions of some inputs that hold most of the evidence for a class, but for what is known.

    Where the object is annotated, what lies on it and what lies off it are regions of their own, so that a strong
    lesion does not hide a weaker ruler.
    """
    evidence = survey.class_evidence(label_of)
    off = off_object(survey)
    found: list[Region] = []
    for row in rows:
        field = evidence[row].clamp(min=0)
        if not bool(field.isfinite().all()) or float(field.sum()) <= 0:
            continue
        total = float(field.sum())
        if known is not None:
            field = field.masked_fill(known[row], 0.0)
        parts = [field] if off is None else [field * (off[row] >= FREE), field * (off[row] < FREE)]
        for part in parts:
            found += of_field(part, total, float(field.sum()), row, None if off is None else off[row])
    return found


def off_object(survey: Survey) -> Float[Tensor, "n *grid"] | None:
    """Return, per grid position, the share that lies off the annotated object; None without annotations."""
    if survey.annotations is None:
        return None
    free = (~survey.annotations).float().unsqueeze(1)
    return pooled(free, tuple(survey.maps.shape[1:]))[:, 0]


def to_mask(survey: Survey, places: Bool[Tensor, "*grid"], row: int) -> Bool[Tensor, "*spatial"]:
    """Return the samples of an input under some grid positions, half a step wider, off the annotated object."""
    size = tuple(survey.pixels.shape[2:])
    if not bool(places.any()):
        return torch.zeros(size, dtype=torch.bool)
    mask = to_input(places.float().unsqueeze(0), size)[:, 0] > 0.5
    step = max(survey.explanation.resolution.spacing)
    mask = wider(mask, max(1, int(step / 2)))[0]
    if survey.annotations is not None:
        mask = mask & ~wider(survey.annotations[row].unsqueeze(0), 2)[0]
    return mask


def of_field(
    field: Float[Tensor, "*grid"],
    total: float,
    left: float,
    row: int,
    off: Float[Tensor, "*grid"] | None,
) -> list[Region]:
    mass = float(field.sum())
    if mass <= 0 or mass < LEAST * left:
        return []
    order = field.flatten().sort(descending=True).values
    enough = int((order.cumsum(0) < SHARE * mass).sum())
    cores, count = numbered(field >= order[enough])
    sizes = cores.flatten().bincount(minlength=count + 1)[1:]
    taken = torch.zeros_like(cores, dtype=torch.bool)
    found: list[Region] = []
    for number in (1 + sizes.argsort(descending=True, stable=True)).tolist():
        core = cores == number
        if bool((core & taken).any()):
            continue
        around, _ = numbered((field > GROWN * field[core].max()) | core)
        grown = around == around[core][0]
        inside = float(field[grown].sum())
        if inside < LEAST * left or bool((taken & grown).any()):
            continue
        taken |= grown
        share = float("nan") if off is None else float((field * off)[grown].sum()) / inside
        found.append(Region(row, grown, field[grown], inside, inside / total, share))
    return found


def numbered(where: Bool[Tensor, "*grid"]) -> tuple[Int[Tensor, "*grid"], int]:
    """Return the number of each position's component, diagonal neighbors included, from 1, and how many there are."""
    found: Any = label(where.numpy(), generate_binary_structure(where.ndim, where.ndim))
    numbered, count = found
    return torch.from_numpy(np.asarray(numbered)).long(), int(count)
