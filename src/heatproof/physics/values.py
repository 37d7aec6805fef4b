"""Laws that change values and leave every sample in its place: signs, phases, units, moving observers."""

from collections.abc import Mapping, Sequence
from math import cos, pi, sin

import torch
from torch import Tensor

from heatproof.errors import InputError, UsageError
from heatproof.physics._parts import axis_of, channel_of, channels_of, coordinates_of, need_unit, step_of
from heatproof.physics.law import Change, Law, same
from heatproof.types import Input, Resolution


def flip_sign(channels: Sequence[str | int] | None = None, *, target: Change = same) -> Law:
    """Return the law that the sign of some channels (all by default) means nothing: Z2, as of spins without a field."""

    def bind(input: Input, resolution: Resolution) -> Law:
        signs = torch.ones(len(input.channels))
        signs[channels_of(input, channels)] = -1.0
        shape = (-1, *[1] * len(input.size))
        return Law(_named("flip sign", channels), lambda x: x * signs.to(x.dtype).reshape(shape), target, same, same)

    return Law(_named("flip sign", channels), _unbound, target, bind=bind)


def phase(angle: float | int = pi / 2, parts: tuple[str | int, str | int] = (0, 1), *, target: Change = same) -> Law:
    """Return the law that a global phase means nothing: exp(i angle) times a complex field.

    Args:
        angle: in radians.
        parts: channels with the real and the imaginary part.
        target: what the target does.
    """

    def bind(input: Input, resolution: Resolution) -> Law:
        re, im = (channel_of(input, one) for one in parts)

        def act(x: Tensor) -> Tensor:
            turned = x.clone()
            turned[re] = cos(angle) * x[re] - sin(angle) * x[im]
            turned[im] = sin(angle) * x[re] + cos(angle) * x[im]
            return turned

        return Law(f"global phase {angle:.3g}", act, target, same, same)

    return Law(f"global phase {angle:.3g}", _unbound, target, bind=bind)


def rescale(factor: float | int, channels: Sequence[str | int] | None = None, *, target: Change = same) -> Law:
    """Return the law that units are a choice: channels (all by default) times a factor; the target scales or stays.

    Raises:
        UsageError: the factor is not positive and finite.
    """
    if not factor > 0 or factor - factor != 0:
        raise UsageError(f"factor is {factor}; a change of unit multiplies by a positive, finite number.")

    def bind(input: Input, resolution: Resolution) -> Law:
        gains = torch.ones(len(input.channels))
        gains[channels_of(input, channels)] = factor
        shape = (-1, *[1] * len(input.size))
        name = _named(f"rescale by {factor:g}", channels)
        return Law(name, lambda x: x * gains.to(x.dtype).reshape(shape), target, same, same)

    return Law(_named(f"rescale by {factor:g}", channels), _unbound, target, bind=bind)


def boost(
    velocity: Mapping[str | int, float | int], *, along: Mapping[str, str] | None = None, time: str | None = None,
    target: Change = same,
) -> Law:  # fmt: skip
    """Return the law of Galilei: an observer who moves adds a constant to velocities, and nothing else changes.

    Args:
        velocity: channel -> what is added to it, in the channel's unit.
        along: channel -> spatial axis that it points along, where one axis is time: places then move, too.
        time: name of the axis that is time; None for fields at one time.
        target: what the target does.

    Raises:
        InputError: (when bound) with a time axis: an axis has no unit, is not periodic, or is not evenly spaced.
    """

    def bind(input: Input, resolution: Resolution) -> Law:
        gains = torch.zeros(len(input.channels))
        for channel, value in velocity.items():
            gains[channel_of(input, channel)] = value
        shape = (-1, *[1] * len(input.size))

        def add(x: Tensor) -> Tensor:
            return x + gains.to(x.dtype).reshape(shape)

        name = "Galilean boost"
        if time is None:
            return Law(name, add, target, same, same)
        moves = [_drift(input, time, (along or {}).get(str(channel)), value) for channel, value in velocity.items()]

        def carry(x: Tensor, sign: float) -> Tensor:
            for axis, clock, steps in moves:
                x = _sheared(x, sign * steps, axis - len(input.size), clock - len(input.size))
            return x

        exact = all(bool((steps == steps.round()).all()) for _, _, steps in moves)
        return Law(
            name, lambda x: add(carry(x, 1.0)), target, lambda m: carry(m, 1.0), lambda m: carry(m, -1.0), exact=exact
        )

    return Law("Galilean boost", _unbound, target, bind=bind)


def _drift(input: Input, time: str, axis: str | None, velocity: float | int) -> tuple[int, int, Tensor]:
    """Return the axis, the time axis, and by how many samples each time's field moves."""
    if axis is None:
        raise UsageError("A boost over time moves places; say which axis each velocity points along, along={'u': 'x'}.")
    at, clock = axis_of(input, axis), axis_of(input, time)
    for one in (at, clock):
        need_unit(input, one, "a Galilean boost over time")
    if not input.axes[at].periodic:
        raise InputError(
            f"The law 'Galilean boost' leaves the domain: the axis {axis!r} of {input.name} is not periodic, so what "
            "moves leaves it; boost fields at one time, without time=."
        )
    times = coordinates_of(input, clock)
    steps = velocity * (times - times[0]) / step_of(input, at, "a Galilean boost over time")
    return at, clock, torch.from_numpy(steps).round(decimals=9)


def _sheared(x: Tensor, steps: Tensor, axis: int, clock: int) -> Tensor:
    """Return the field with each time's slice moved around the axis, by linear interpolation between samples."""
    slices = []
    inner = axis if axis > clock else axis + 1  # without the time axis, axes before it are nearer to the end
    for one, by in zip(x.unbind(clock), steps.tolist(), strict=True):
        whole = int(by // 1)
        part = by - whole
        moved = one.roll(whole, inner)
        slices.append(moved if part == 0 else (1 - part) * moved + part * one.roll(whole + 1, inner))
    return torch.stack(slices, clock)


def _unbound(x: Tensor) -> Tensor:
    raise UsageError("This law depends on channels; bind it to an input first, law.of(input, resolution).")


def _named(what: str, channels: Sequence[str | int] | None) -> str:
    return what if channels is None else f"{what} of {', '.join(map(str, channels))}"
