"""Small operations on fields of 1 to 3 axes: neighbors' sums, Gaussian blur, and from the grid to the input."""

from collections.abc import Callable, Sequence
from math import prod

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import InputError

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
_CONVOLUTIONS = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_POOLS: dict[int, Callable[..., Tensor]] = {
    1: F.adaptive_avg_pool1d,
    2: F.adaptive_avg_pool2d,
    3: F.adaptive_avg_pool3d,
}


def grown(field: Float[Tensor, "m c *spatial"]) -> Float[Tensor, "m c *spatial"]:
    """Return the sum over each position and its neighbors, weighted 1, 2, 1 along every axis, zeros outside."""
    for axis in range(2, field.ndim):
        size = field.shape[axis]
        total = 2 * field
        if size > 1:
            total.narrow(axis, 1, size - 1).add_(field.narrow(axis, 0, size - 1))
            total.narrow(axis, 0, size - 1).add_(field.narrow(axis, 1, size - 1))
        field = total
    return field


def blurred(field: Float[Tensor, "m c *spatial"], sigma: float) -> Float[Tensor, "m c *spatial"]:
    """Return the field after a Gaussian blur (cut at 3 sigma), continued at the edges by its outermost values."""
    radius = max(1, round(3 * sigma))
    offset = torch.arange(-radius, radius + 1, dtype=field.dtype, device=field.device)
    kernel = torch.exp(-offset.square() / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    axes = field.ndim - 2
    rows = field.flatten(0, 1).unsqueeze(1)
    for axis in range(axes):
        pad = [0] * (2 * axes)
        pad[2 * (axes - 1 - axis)] = pad[2 * (axes - 1 - axis) + 1] = radius
        shape = [1, 1, *(-1 if a == axis else 1 for a in range(axes))]
        rows = _CONVOLUTIONS[axes](F.pad(rows, pad, mode="replicate"), kernel.reshape(shape))
    return rows.reshape(field.shape)


def pooled(field: Float[Tensor, "m c *spatial"], grid: Sequence[int]) -> Float[Tensor, "m c *grid"]:
    """Return the field's means over the part of it that each position of a coarser grid covers."""
    return _POOLS[len(grid)](field, tuple(grid))


def to_input(weights: Float[Tensor, "m *grid"], spatial: tuple[int, ...]) -> Float[Tensor, "m 1 *spatial"]:
    """Return weights of grid positions for every sample of the input: that of the nearest position."""
    weights = weights.unsqueeze(1)
    if tuple(weights.shape[2:]) == spatial:
        return weights
    return F.interpolate(weights, size=spatial, mode="nearest-exact")


def stretched(maps: Float[Tensor, "m *grid"], spatial: tuple[int, ...]) -> Float[Tensor, "m 1 *spatial"]:
    """Return maps at the input's size, by linear interpolation."""
    mode = LINEAR[len(spatial)]
    return F.interpolate(maps.unsqueeze(1), size=spatial, mode=mode, align_corners=False)


def positions_of(maps: Float[Tensor, "n t *grid"]) -> int:
    """Return how many positions the grid has."""
    return prod(maps.shape[2:])


def require_fit(maps: Float[Tensor, "n t *grid"], inputs: Float[Tensor, "k c *spatial"]) -> None:
    """Refuse maps that cannot be maps of these inputs.

    Raises:
        InputError: there are none, another number of inputs or axes, more than three axes, or a grid finer than the
            input.
    """
    grid, spatial = tuple(maps.shape[2:]), tuple(inputs.shape[2:])
    if maps.numel() == 0:
        raise InputError(f"Maps of shape {tuple(maps.shape)} are empty; give those of at least one input and target.")
    if len(maps) != len(inputs):
        raise InputError(f"{len(maps)} rows of maps for {len(inputs)} inputs; give the maps of exactly these inputs.")
    if len(grid) != len(spatial) or not 1 <= len(grid) <= 3:
        raise InputError(
            f"Maps on a grid of {grid} do not fit inputs of size {spatial}; both need the same 1 to 3 spatial axes."
        )
    if any(g > s for g, s in zip(grid, spatial, strict=True)):
        raise InputError(f"The grid {grid} is finer than the input {spatial}; give maps on the layer's own grid.")
