"""Where in an output field a target looks: a mask or box at any resolution, as weights on the field's positions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import TargetError
from heatproof.targets._frozen import FrozenArray


@dataclass(frozen=True)
class Region:
    """A part of the picture.

    Attributes:
        mask: weight of every place, non-negative; any size, because it covers the whole picture.
        box: (x0, y0, x1, y1), or 2 numbers for each axis of other fields: first corner, last corner, x first.
        size: spatial size (height, width) of the picture that `box` is measured in; None is the field's own.
    """

    mask: FrozenArray | None = None
    box: tuple[float, ...] | None = None
    size: tuple[int, ...] | None = None

    @staticmethod
    def of(mask: Any, box: Any, size: Any) -> "Region | None":
        """Return the region that a user describes; None for nothing, which is the whole field.

        Raises:
            TargetError: mask and box together, an empty or negative mask, a box without extent, sizes that do not fit.
        """
        if mask is None and box is None:
            if size is not None:
                raise TargetError(f"size={size!r} says what a box is measured in, and there is no box; pass box=.")
            return None
        if mask is not None:
            if box is not None or size is not None:
                raise TargetError("A region is a mask or a box (with its size), not both; leave one out.")
            frozen = FrozenArray.of(mask, "mask")
            if frozen.numpy().min() < 0 or not frozen.numpy().any():
                raise TargetError(f"The mask of shape {frozen.shape} has no place in it, or a negative one.")
            return Region(mask=frozen)
        corners = tuple(float(v) for v in box)
        axes = len(corners) // 2
        if len(corners) % 2 or not axes or any(not a < b for a, b in zip(corners[:axes], corners[axes:], strict=True)):
            raise TargetError(f"The box {corners} has no extent; give the first corner, then the last: x0, y0, x1, y1.")
        if size is not None and (len(size) != axes or min(size) < 1):
            raise TargetError(f"size={tuple(size)} does not fit a box with {axes} axes; give (height, width).")
        return Region(box=corners, size=None if size is None else tuple(int(v) for v in size))

    def weights(self, like: Float[Tensor, "*spatial"]) -> Float[Tensor, "*spatial"]:
        """Return how much of each position of a field lies in the region.

        Positions are areas: a mask of another size is averaged over each position by area, exactly.

        Raises:
            TargetError: the region has other axes than the field, or lies outside of it.
        """
        spatial = tuple(like.shape)
        axes = len(self.box) // 2 if self.box is not None else 0
        if self.mask is not None:
            return _resampled(self.mask.tensor(like), spatial)
        assert self.box is not None
        if axes != len(spatial):
            raise TargetError(f"A box with {axes} axes does not fit an output with the spatial size {spatial}.")
        sides: list[Tensor] = []
        for axis, length in enumerate(spatial):
            step = length / self.size[axis] if self.size is not None else 1.0
            x = axes - 1 - axis  # boxes name x first, tensors have it last
            first, last = self.box[x] * step, self.box[axes + x] * step
            start = torch.arange(length, dtype=like.dtype, device=like.device)
            sides.append(((start + 1).clamp(max=last) - start.clamp(min=first)).clamp(min=0))
        found = reduce(lambda done, side: done[..., None] * side, sides)
        if not bool(found.any()):
            size = self.size or spatial
            raise TargetError(f"The box {self.box} lies outside of the picture, whose size is {size}.")
        return found

    def title(self, spatial: Sequence[int]) -> str:
        """Return what captions call it, saying whether a mask is resampled to the field."""
        if self.mask is None:
            assert self.box is not None
            return f"the box ({', '.join(f'{v:g}' for v in self.box)})"
        shape = _trimmed(self.mask.shape, len(spatial))
        if tuple(shape) == tuple(spatial):
            return "a mask"
        return f"a mask ({_times(shape)} resampled to {_times(spatial)})"


def _times(size: Sequence[int]) -> str:
    return " x ".join(map(str, size))


def _trimmed(shape: Sequence[int], axes: int) -> tuple[int, ...]:
    """Return a mask's shape without leading axes of length 1 that the field does not have."""
    extra = len(shape) - axes
    if extra < 0 or math.prod(shape[:extra]) != 1:
        raise TargetError(f"A mask of shape {tuple(shape)} does not fit an output with {axes} spatial axes.")
    return tuple(shape[extra:])


def _resampled(mask: Tensor, spatial: tuple[int, ...]) -> Tensor:
    mask = mask.reshape(_trimmed(tuple(mask.shape), len(spatial)))
    for axis, new in enumerate(spatial):
        old = mask.shape[axis]
        if old != new:
            mask = (mask.movedim(axis, -1) @ _overlap(old, new).to(mask).T).movedim(-1, axis)
    return mask


def _overlap(old: int, new: int) -> Float[Tensor, "new old"]:
    """Return the share of each new sample's extent that each old sample fills; rows sum to 1."""
    # in units of 1/(old * new) of the axis all edges are integers, so that nothing is rounded
    begin, start = torch.arange(new)[:, None] * old, torch.arange(old) * new
    return (torch.minimum(begin + old, start + new) - torch.maximum(begin, start)).clamp(min=0).double() / old
