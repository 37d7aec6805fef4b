"""Which of several readings of a layer's output is the right one, judged by what the corners of the input moved."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.models.layout import Layout

SHARP = 0.5
"""Part of a corner's whole effect that must lie in one place before it counts against every reading."""

SEEN = 0.02
"""Part that must lie in one place before it counts at all, and at least twice what it would be if spread evenly."""


OWN = 0.05
"""Part of all movement that must be a corner's own before its places are looked at."""


@dataclass(frozen=True)
class Verdict:
    """What the corners say of one tensor.

    Attributes:
        heard: whether each of them moved one place more than all others.
        layout: the reading that they agree with; None where they agree with none.
    """

    heard: bool
    layout: Layout | None = None


def corners(axes: int) -> list[tuple[int, ...]]:
    """Return the corners that are changed, 0 for the near and 1 for the far end of an axis.

    These are the origin, the far end of each axis by itself, and of all together: enough to tell every axis apart.
    """
    single = [tuple(int(a == axis) for a in range(axes)) for axis in range(axes)]
    return list(dict.fromkeys([(0,) * axes, *single, (1,) * axes]))


def settle(
    options: Sequence[Layout], moved: dict[str, Float[Tensor, "corners *places"]], axes: int, *, measured: bool = True
) -> Verdict:
    """Return the reading in which every corner of the input moved its own corner of the grid most.

    Args:
        options: possible readings, likeliest first.
        moved: per kind of layout, how far each place of the tensor moved when a corner of the input was changed,
            relative to the tensor's own size; 0 where that is below rounding.
        axes: spatial axes of the input.
        measured: take a grid of tokens from the four places themselves, where they form a rectangle.
    """
    effects = {kind: _effect(movement) for kind, movement in moved.items()}
    rectangle = _rectangle(effects["tokens"], axes) if measured and "tokens" in effects else None
    if rectangle is not None and rectangle not in options:
        options = [*options, rectangle]
    known = [layout for layout in options if layout.kind in effects]
    judged = [(_distance(layout, effects[layout.kind], axes), layout) for layout in known]
    fits = [(distance, layout) for distance, layout in judged if distance is not None]
    if fits:
        return Verdict(True, min(fits, key=lambda fit: fit[0])[1])
    return Verdict(any(_focus(effect) >= SHARP for effect in effects.values()))


def _effect(movement: Float[Tensor, "corners *places"]) -> Float[Tensor, "corners places"]:
    """Return what each corner alone did to each place, as parts of all that it alone did.

    That is the movement beyond what any other corner did there: what all of them move alike (a class token, a global
    context) does not count. Zero throughout where hardly anything is a corner's own, and only rounding is left.
    """
    flat = movement.flatten(1).double()
    flat = _parts(flat)
    others = torch.stack([torch.cat([flat[:row], flat[row + 1 :]]).amax(0) for row in range(len(flat))])
    own = (flat - others).clamp(min=0)
    return _parts(torch.where(own.sum(1, keepdim=True) >= OWN, own, 0.0))


def _parts(rows: Float[Tensor, "corners places"]) -> Float[Tensor, "corners places"]:
    """Return each row divided by its sum, where that is not zero."""
    whole = rows.sum(1, keepdim=True)
    return torch.where(whole > 0, rows / torch.where(whole > 0, whole, 1.0), 0.0)


def _focus(effect: Float[Tensor, "corners places"]) -> float:
    """Return the part of a corner's effect that lies in its strongest place, for the most diffuse corner."""
    return float(effect.amax(1).min())


def _distance(layout: Layout, effect: Float[Tensor, "corners places"], axes: int) -> int | None:
    """Return by how many positions the strongest places miss the corners of the grid; None where they do not fit."""
    if _focus(effect) < max(SEEN, min(2 / effect.shape[1], SHARP)):
        return None
    missed = 0
    for corner, peak in zip(corners(axes), effect.argmax(1).tolist(), strict=True):
        place = peak - layout.prefix
        if not 0 <= place < prod(layout.grid):
            return None
        index = torch.unravel_index(torch.tensor(place), layout.grid)
        off = [
            (side - 1 - int(at)) if far else int(at) for at, side, far in zip(index, layout.grid, corner, strict=True)
        ]
        # Overlapping patches may move the second position more than the one in the very corner.
        if any(miss > (side >= 4) for miss, side in zip(off, layout.grid, strict=True)):
            return None
        missed += sum(off)
    return missed


def _rectangle(effect: Float[Tensor, "corners places"], axes: int) -> Layout | None:
    """Return the grid of tokens, row by row, whose corners are exactly the strongest places."""
    if _focus(effect) < SHARP:
        return None
    first, *ends = (int(peak) for peak in effect.argmax(1))
    sides: list[int] = []
    stride = 1
    for end in reversed(ends[:axes]):  # the last axis runs fastest
        if end <= first or (end - first) % stride:
            return None
        sides.insert(0, (end - first) // stride + 1)
        stride *= sides[0]
    return Layout("tokens", tuple(sides), first) if ends[-1] - first == stride - 1 else None


def agreed(verdicts: Sequence[tuple[tuple[int, ...], Verdict]], index: int) -> Verdict:
    """Return the verdict on a tensor, or, where its corners were not heard, that on the latest before it of its shape.

    Attention spreads what a corner does over all places; what keeps the length of a sequence keeps its grid.
    """
    shape, verdict = verdicts[index]
    if verdict.heard:
        return verdict
    before = [v for s, v in verdicts[:index] if v.heard and s[:2] == shape[:2] and len(s) == len(shape)]
    return before[-1] if before else verdict
