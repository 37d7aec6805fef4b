"""Resizing along any number of axes as Pillow and torchvision do it, in floating point."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import UsageError, nearest

_BLOCK = 32  # outputs per matrix product: bounds both the weights' memory and the multiplications by zero
_KEPT = 4096  # samples along an axis up to which weights are remembered

Band = tuple[int, int, Float[Tensor, "outputs inputs"]]


def _box(x: Tensor) -> Tensor:
    return ((x > -0.5) & (x <= 0.5)).to(x.dtype)


def _triangle(x: Tensor) -> Tensor:
    return (1 - x.abs()).clamp(min=0)


def _cubic(x: Tensor, a: float) -> Tensor:
    x = x.abs()
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return torch.where(x < 1, near, torch.where(x < 2, far, 0))


def _keys(x: Tensor) -> Tensor:
    return _cubic(x, -0.5)


def _torch_cubic(x: Tensor) -> Tensor:
    return _cubic(x, -0.75)


def _lanczos(x: Tensor) -> Tensor:
    return torch.where(x.abs() < 3, torch.sinc(x) * torch.sinc(x / 3), 0)


_KERNELS: dict[str, tuple[Callable[[Tensor], Tensor], float]] = {  # the kernel and its half-width, in samples
    "box": (_box, 0.5),
    "bilinear": (_triangle, 1.0),
    "bicubic": (_keys, 2.0),
    "lanczos": (_lanczos, 3.0),
}
INTERPOLATIONS = ("nearest", *_KERNELS)


def resize(
    x: Float[Tensor, "c *spatial"],
    size: Sequence[int],
    interpolation: str = "bilinear",
    *,
    antialias: bool = True,
    limits: tuple[float, float] | None = None,
) -> Float[Tensor, "c *resized"]:
    """Resize every spatial axis to `size`, without the rounding to 8 bits that Pillow does after each axis.

    With `antialias` the kernel widens with the reduction and is renormalized at the borders (Pillow, and torchvision's
    antialiased path); without it, samples beyond the border repeat the last one (torch's `interpolate`). `limits`
    clamps the overshoot of "bicubic" and "lanczos" after each axis.

    Raises:
        UsageError: the interpolation is unknown.
    """
    check_interpolation(interpolation)
    for axis, length in reversed(list(enumerate(size, start=1))):  # Pillow's order: x, then y
        if x.shape[axis] == length:
            continue
        if interpolation == "nearest":
            index = ((torch.arange(length, dtype=torch.float64) + 0.5) * (x.shape[axis] / length)).long()
            x = x.index_select(axis, index.to(x.device))
        else:
            x = _resize_axis(x, axis, length, interpolation, antialias)
        if limits is not None:
            x = x.clamp(*limits)
    return x


def check_interpolation(interpolation: str) -> None:
    """Raise UsageError if `interpolation` is not one that `resize` knows."""
    if interpolation not in INTERPOLATIONS:
        raise UsageError(
            f"interpolation {interpolation!r} is not one of {', '.join(INTERPOLATIONS)}"
            f"{nearest(interpolation, INTERPOLATIONS) or '.'}"
        )


def _resize_axis(x: Tensor, axis: int, length: int, interpolation: str, antialias: bool) -> Tensor:
    """Resize one axis: a banded matrix product, one block of output samples at a time."""
    old = x.shape[axis]
    rows = x.reshape(math.prod(x.shape[:axis]), old, -1)
    blocks: list[Tensor] = []
    # inputs of a data set have few sizes
    made = _kept_bands if max(old, length) <= _KEPT else _bands
    for first, last, exact in made(old, length, interpolation, antialias):
        weights = exact.to(x)
        if first < 0 or last > old:
            window = rows.index_select(1, torch.arange(first, last).clamp(0, old - 1).to(x.device))
        else:
            window = rows[:, first:last]
        # one product over all rows where the axis is the last one: many times faster than a product for each
        blocks.append((window[..., 0] @ weights.T)[..., None] if rows.shape[2] == 1 else weights @ window)
    return torch.cat(blocks, dim=1).reshape(*x.shape[:axis], length, *x.shape[axis + 1 :])


@lru_cache(maxsize=64)
def _kept_bands(old: int, length: int, interpolation: str, antialias: bool) -> list[Band]:
    with torch.inference_mode(False):  # they are used outside of it, too
        return list(_bands(old, length, interpolation, antialias))


def _bands(old: int, length: int, interpolation: str, antialias: bool) -> Iterator[Band]:
    """Yield (first input sample, one past the last, float64 weights) of each block of output samples."""
    kernel, half_width = _KERNELS[interpolation]
    if interpolation == "bicubic" and not antialias:
        kernel = _torch_cubic  # torch and Pillow disagree on the cubic's free parameter, see torch's documentation
    step = old / length
    stretch = max(step, 1.0) if antialias else 1.0
    reach = half_width * stretch
    for start in range(0, length, _BLOCK):
        stop = min(start + _BLOCK, length)
        first, last = math.floor((start + 0.5) * step - reach), math.ceil((stop - 0.5) * step + reach)
        if antialias:
            first, last = max(first, 0), min(last, old)
        centers = (torch.arange(start, stop, dtype=torch.float64) + 0.5) * step
        samples = torch.arange(first, last, dtype=torch.float64)
        # Pillow's operations in Pillow's order, so that samples on the very edge of a box fall where they fall there
        weights = kernel((samples - centers[:, None] + 0.5) * (1 / stretch))
        begin, end = ((centers[:, None] + side * reach + 0.5).floor() for side in (-1, 1))
        weights = weights * ((samples >= begin) & (samples < end))
        yield first, last, weights / weights.sum(dim=1, keepdim=True)
