"""What known physics says of an input: fields derived from it, that a map can be held against.

Each function here returns a `Known`: a name and a function from an input to a field over it, (*spatial) float64, with
derivatives in the units of the axes. A field of your own is any function `Input -> Tensor (*spatial)`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import InputError, UsageError
from heatproof.physics._parts import axis_of, channel_of, channels_of, coordinates_of, need_unit
from heatproof.types import Input, Resolution


@dataclass(frozen=True, eq=False)
class Known:
    """A field that known physics derives from an input.

    Attributes:
        name: what reports call it.
        of: `(input, resolution) -> (*spatial)`.
    """

    name: str
    of: Callable[[Input, Resolution], Float[Tensor, "*spatial"]]


def known(field: Any) -> Known:
    """Return a field of the user's as `Known`.

    Raises:
        UsageError: it is no function.
    """
    if isinstance(field, Known):
        return field
    if not callable(field):
        raise UsageError(
            f"field is {field!r}; give one of heatproof.physics, such as vorticity(), or a function of the input."
        )
    given = cast("Callable[[Input], Tensor]", field)
    return Known(getattr(given, "__name__", "a field of the user's"), lambda input, resolution: given(input))


def vorticity(u: str | int = "u", v: str | int = "v", axes: tuple[str | int, str | int] = ("x", "y")) -> Known:
    """Return |dv/dx - du/dy|, the rotation of a plane flow."""

    def of(input: Input, resolution: Resolution) -> Tensor:
        g = _gradients(input, {u: axes, v: axes})
        return (g[v][0] - g[u][1]).abs()

    return Known("vorticity", of)


def q_criterion(u: str | int = "u", v: str | int = "v", axes: tuple[str | int, str | int] = ("x", "y")) -> Known:
    """Return Q, positive where rotation exceeds strain: (|rotation|^2 - |strain|^2) / 2.

    Source: Hunt, Wray and Moin 1988, "Eddies, streams, and convergence zones in turbulent flows".
    """

    def of(input: Input, resolution: Resolution) -> Tensor:
        g = _gradients(input, {u: axes, v: axes})
        (ux, uy), (vx, vy) = g[u], g[v]
        turning = (vx - uy).square() / 2
        strain = ux.square() + vy.square() + (uy + vx).square() / 2
        return (turning - strain) / 2

    return Known("Q-criterion", of)


def energy(channels: Sequence[str | int] | None = None) -> Known:
    """Return half the sum of squares of channels (all by default): the density of kinetic, wave or signal energy."""

    def of(input: Input, resolution: Resolution) -> Tensor:
        return input.data.double().cpu()[channels_of(input, channels)].square().sum(0) / 2

    return Known("energy density", of)


def gradient(channel: str | int = 0) -> Known:
    """Return the length of a channel's gradient: fronts, shocks, walls."""

    def of(input: Input, resolution: Resolution) -> Tensor:
        names = [axis.name for axis in input.axes]
        each = _gradients(input, {channel: names})[channel]
        return torch.stack(each).square().sum(0).sqrt()

    return Known("gradient", of)


def lines(
    positions: Sequence[float | int] | Callable[[Input], Sequence[float | int]],
    *,
    unit: str,
    tolerance: float | int,
    axis: str | int = -1,
) -> Known:
    """Return 1 within the tolerance of known positions (spectral lines, events), and 0 elsewhere.

    Where the map's resolution is coarser than the tolerance, it takes its place: nothing finer can be claimed.

    Args:
        positions: in `unit`; or a function of the input, where they differ between inputs.
        unit: which the axis must be in.
        tolerance: in `unit`.
        axis: name or number.

    Raises:
        InputError: the axis has no unit or another one.
    """

    def of(input: Input, resolution: Resolution) -> Tensor:
        at = axis_of(input, axis)
        have = need_unit(input, at, f"a comparison with positions in {unit}")
        if have != unit:
            raise InputError(
                f"The axis {input.axes[at].name!r} of {input.name} is in {have}, the known positions are in {unit}; "
                "convert one of them."
            )
        reach = max(tolerance, resolution.spacing[at] * input.axes[at].spacing())
        where = torch.from_numpy(coordinates_of(input, at))
        there = positions(input) if callable(positions) else positions
        near = torch.zeros_like(where, dtype=torch.bool)
        for one in there:
            near |= (where - one).abs() <= reach
        shape = [-1 if a == at else 1 for a in range(len(input.size))]
        return near.double().reshape(shape).expand(input.size)

    return Known("known lines", of)


def _gradients(input: Input, wanted: Mapping[str | int, Sequence[str | int]]) -> dict[str | int, list[Tensor]]:
    """Return for each channel its derivatives along the axes asked for."""
    found: dict[str | int, list[Tensor]] = {}
    for channel, axes in wanted.items():
        data = input.data.detach().double().cpu()[channel_of(input, channel)]
        found[channel] = [derivative(data, input, axis_of(input, axis)) for axis in axes]
    return found


def derivative(data: Float[Tensor, "*spatial"], input: Input, axis: int) -> Float[Tensor, "*spatial"]:
    """Return the derivative along an axis by central differences, around the edge where the axis is periodic.

    In the data's unit per unit of the axis; uneven spacing is taken into account on axes that are not periodic.

    Raises:
        InputError: the axis has one sample only.
    """
    side = data.shape[axis]
    if side < 2:
        raise InputError(f"The axis {input.axes[axis].name!r} of {input.name} has one sample; nothing can be derived.")
    at = coordinates_of(input, axis)
    if input.axes[axis].periodic:
        step = float(np.diff(at).mean())
        return (data.roll(-1, axis) - data.roll(1, axis)) / (2 * step)
    return torch.from_numpy(np.gradient(data.numpy(), at, axis=axis, edge_order=2 if side > 2 else 1))
