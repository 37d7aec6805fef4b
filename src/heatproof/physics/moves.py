"""Laws that move samples: shifts, mirrors, rotations, time reversal, permutations of sensors."""

from collections.abc import Callable, Sequence
from math import cos, pi, radians, sin

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import InputError, UsageError
from heatproof.physics._parts import (
    Vector,
    axis_of,
    channels_of,
    need_unit,
    pseudo_of,
    step_of,
    vector_of,
)
from heatproof.physics.law import Change, Law, same
from heatproof.types import Input, Resolution

_MODES = ("auto", "circular", "padded")


def shift(
    by: float | int | None = None,
    axis: str | int = -1,
    *,
    mode: str = "auto",
    unit: str | None = None,
    target: Change = same,
) -> Law:
    """Return the law of translation along one axis.

    Args:
        by: samples, or a distance in `unit`; None takes about a quarter of the axis, a multiple of the grid's spacing,
            and measures a shift by half a spacing beside it: the grid cannot follow that one (aliasing).
        axis: name or number.
        mode: "circular" around the edge, "padded" with the outermost sample, or "auto": circular where the axis is
            periodic.
        unit: of `by`; the axis must be in it.
        target: what the target does.

    Raises:
        InputError: (when bound) a circular shift of an axis that is not periodic, a shift by the whole axis or more, or
            an axis without the unit.
    """
    if mode not in _MODES:
        raise UsageError(f"mode is {mode!r}; give one of {', '.join(_MODES)}.")

    def bind(input: Input, resolution: Resolution) -> Law:
        at = axis_of(input, axis)
        one = input.axes[at]
        if mode == "circular" and not one.periodic:
            raise InputError(
                f"The axis {one.name!r} of {input.name} is not periodic, so a circular shift brings one end to the "
                "other, which no law allows; shift with mode='padded', or read the input with "
                f"axis=heatproof.Axis({one.name!r}, periodic=True) if it is."
            )
        side, spacing = input.size[at], resolution.spacing[at]
        if by is None:
            steps = spacing * max(1, round(side / 4 / spacing))
        elif unit is not None:
            if need_unit(input, at, f"a shift by {by:g} {unit}") != unit:
                raise InputError(f"The axis {one.name!r} of {input.name} is in {one.unit}, the shift in {unit}.")
            steps = by / step_of(input, at, "a shift by a distance")
        else:
            steps = by
        whole = round(steps)
        if by is not None and abs(steps - whole) > 1e-3:
            raise InputError(
                f"A shift by {steps:.3f} samples along {one.name!r} falls between samples; give a whole number of them."
            )
        if whole == 0 or abs(whole) >= side:
            raise InputError(
                f"The law 'shift {one.name}' leaves the domain: {whole} samples of {side} along {one.name!r}; shift by "
                f"1 to {side - 1}."
            )
        circular = one.periodic and mode != "padded"
        name = (
            f"shift {one.name} by {whole} sample{'s' if abs(whole) > 1 else ''}, {'circular' if circular else 'padded'}"
        )
        on_grid = abs(whole / spacing - round(whole / spacing)) < 1e-6
        beside: tuple[Law, ...] = ()
        half = round(spacing / 2)
        if by is None and 0 < half < spacing:
            beside = (shift(half, at, mode=mode, target=target).of(input, resolution),)
        return Law(
            name,
            act=lambda x: _shifted(x, whole, at - len(input.size), circular, None),
            act_target=target,
            act_map=lambda m: _shifted(m, whole, at - len(input.size), circular, torch.nan),
            undo=lambda m: _shifted(m, -whole, at - len(input.size), circular, torch.nan),
            exact=on_grid,
            near=beside,
        )

    return _bound(f"shift {axis if isinstance(axis, str) else f'axis {axis}'}", bind, target)


def mirror(
    axis: str | int, *, vector: Vector | None = None, pseudo: Sequence[str | int] | None = None, target: Change = same
) -> Law:
    """Return the law of reflection along one axis: that component of a vector, and pseudoscalars, change sign.

    Args:
        axis: name or number.
        vector: which channel holds which component, {"x": "u", "y": "v"}; {} for scalars only. Left out, channels that
            are named like components are refused.
        pseudo: channels that hold pseudoscalars such as vorticity; None takes those that are named like one.
        target: what the target does.

    Raises:
        InputError: (when bound) channels look like a vector and nothing was said about them.
    """

    def bind(input: Input, resolution: Resolution) -> Law:
        at = axis_of(input, axis)
        components = vector_of(input, vector, f"a mirror along {input.axes[at].name!r}")
        odd = [*([components[at]] if at in components else []), *pseudo_of(input, pseudo)]
        last = at - len(input.size)
        return Law(
            f"mirror {input.axes[at].name}",
            act=lambda x: _signed(x.flip(last), odd),
            act_target=target,
            act_map=lambda m: m.flip(last),
            undo=lambda m: m.flip(last),
        )

    return _bound(f"mirror {axis}", bind, target)


def rotate(
    turns: int = 1,
    axes: tuple[str | int, str | int] = ("y", "x"),
    *,
    vector: Vector | None = None,
    target: Change = same,
) -> Law:
    """Return the law of rotation by right angles in the plane of two axes.

    Args:
        turns: quarter turns, from the second axis toward the first as the arrays are indexed (`torch.rot90`).
        axes: names or numbers of the two axes.
        vector: as for `mirror`; components turn with the field.
        target: what the target does.

    Raises:
        InputError: (when bound) the plane is not square, or channels look like a vector and nothing was said of them.
    """

    def bind(input: Input, resolution: Resolution) -> Law:
        first, second = (axis_of(input, one) for one in axes)
        components = vector_of(input, vector, "a rotation")
        sides = input.size[first], input.size[second]
        if turns % 2 and sides[0] != sides[1]:
            raise InputError(
                f"The law 'rotate by {90 * turns}°' leaves the domain: {input.name} has {sides[0]} x {sides[1]} "
                "samples in that plane; give square inputs, or turn by 180° (turns=2)."
            )
        plane = (first - len(input.size), second - len(input.size))
        pair = (components.get(first), components.get(second))
        if (pair[0] is None) != (pair[1] is None):
            raise InputError(
                f"A rotation needs both components of the vector in its plane; give both in vector={vector}."
            )

        def act(x: Tensor) -> Tensor:
            return _turned(torch.rot90(x, turns, plane), pair, pi / 2 * turns)

        return Law(
            f"rotate by {90 * turns}°",
            act=act,
            act_target=target,
            act_map=lambda m: torch.rot90(m, turns, plane),
            undo=lambda m: torch.rot90(m, -turns, plane),
        )

    return _bound(f"rotate by {90 * turns}°", bind, target)


def turn(degrees: float | int, *, vector: Vector | None = None, target: Change = same) -> Law:
    """Return the law of rotation by any angle in the plane, with bilinear interpolation; corners are left out.

    The map is compared with what interpolation alone would leave of it (the floor).

    Raises:
        InputError: (when bound) the input is not square and two-dimensional, or channels look like a vector and nothing
            was said of them.
    """

    def bind(input: Input, resolution: Resolution) -> Law:
        if len(input.size) != 2 or input.size[0] != input.size[1]:
            raise InputError(
                f"The law 'turn by {degrees:g}°' leaves the domain: {input.name} has size {input.size}; give square "
                "fields."
            )
        components = vector_of(input, vector, "a rotation")
        pair = (components.get(0), components.get(1))
        angle = radians(degrees)
        return Law(
            f"turn by {degrees:g}°",
            act=lambda x: _turned(_rotated(x, angle, outside=None), pair, angle),
            act_target=target,
            act_map=lambda m: _rotated(m[None], angle, outside=torch.nan)[0],
            undo=lambda m: _rotated(m[None], -angle, outside=torch.nan)[0],
            exact=False,
        )

    return _bound(f"turn by {degrees:g}°", bind, target)


def reverse(axis: str | int = "time", odd: Sequence[str | int] = (), *, target: Change = same) -> Law:
    """Return the law of time reversal: the axis runs backward and odd channels (velocities, currents) change sign."""

    def bind(input: Input, resolution: Resolution) -> Law:
        last = axis_of(input, axis) - len(input.size)
        signs = channels_of(input, odd)
        return Law(
            f"reverse {axis}",
            act=lambda x: _signed(x.flip(last), signs),
            act_target=target,
            act_map=lambda m: m.flip(last),
            undo=lambda m: m.flip(last),
        )

    return _bound(f"reverse {axis}", bind, target)


def permute(order: Sequence[int], axis: str | int | None = None, *, target: Change = same) -> Law:
    """Return the law that sensors are interchangeable.

    Args:
        order: which sensor comes first, second, ...
        axis: along which sensors lie; None where each is a channel, so that the map stays.
        target: what the target does.

    Raises:
        InputError: (when bound) there is another number of sensors.
        UsageError: `order` is no permutation.
    """
    if sorted(order) != list(range(len(order))):
        raise UsageError(f"order is {list(order)}; give each of 0 to {len(order) - 1} once.")
    index = torch.tensor(list(order))

    def bind(input: Input, resolution: Resolution) -> Law:
        at = None if axis is None else axis_of(input, axis)
        count = len(input.channels) if at is None else input.size[at]
        if count != len(order):
            raise InputError(f"{input.name} has {count} sensors, but order names {len(order)}; name each once.")
        if at is None:
            return Law("permute sensors", lambda x: x[index], target, act_map=same, undo=same)
        last = at - len(input.size)
        return Law(
            "permute sensors",
            act=lambda x: x.index_select(last, index),
            act_target=target,
            act_map=lambda m: m.index_select(last, index),
            undo=lambda m: m.index_select(last, index.argsort()),
        )

    return _bound("permute sensors", bind, target)


def _bound(name: str, bind: Callable[[Input, Resolution], Law], target: Change) -> Law:
    def act(x: Tensor) -> Tensor:
        raise UsageError(f"The law {name!r} depends on axes and channels; bind it to an input first, law.of(...).")

    return Law(name, act, target, bind=bind)


def _shifted(x: Tensor, by: int, axis: int, circular: bool, outside: float | None) -> Tensor:
    """Return a tensor moved along one of its last axes; outside is filled with a value, or the outermost sample."""
    if circular:
        return x.roll(by, axis)
    side = x.shape[axis]
    index = (torch.arange(side) - by).clamp(0, side - 1)
    moved = x.index_select(axis, index)
    if outside is None:
        return moved
    unknown = (torch.arange(side) - by != index).reshape([-1] + [1] * (-axis - 1))
    return moved.masked_fill(unknown, outside)


def _signed(x: Tensor, odd: Sequence[int]) -> Tensor:
    signs = torch.ones(len(x), dtype=x.dtype)
    for channel in odd:
        signs[channel] = -signs[channel]
    return x * signs.reshape(-1, *[1] * (x.ndim - 1))


def _turned(x: Tensor, pair: tuple[int | None, int | None], angle: float) -> Tensor:
    """Return the data with a vector turned as `torch.rot90` turns the field: from the first axis onto minus the second.

    rot90 along (y, x) takes the value at (y, x) to (-x, y) about the center, and so the components (v, u) to (-u, v).
    """
    first, second = pair
    if first is None or second is None:
        return x
    turned = x.clone()
    c, s = cos(angle), sin(angle)
    turned[first] = c * x[first] - s * x[second]
    turned[second] = s * x[first] + c * x[second]
    return turned


def _rotated(x: Float[Tensor, "c h w"], angle: float, outside: float | None) -> Float[Tensor, "c h w"]:
    """Return fields turned like `torch.rot90`; what lies outside of the inscribed disc is as given, or stays."""
    c, s = cos(angle), sin(angle)
    # where each place came from, (x, y) in -1..1: the inverse of (y, x) -> (c y - s x, s y + c x)
    theta = torch.tensor([[c, -s, 0.0], [s, c, 0.0]], dtype=x.dtype)[None]
    grid = F.affine_grid(theta, [1, *x.shape], align_corners=False)
    turned = F.grid_sample(x.nan_to_num()[None], grid, mode="bilinear", padding_mode="border", align_corners=False)[0]
    if outside is None:
        return turned
    side = x.shape[-1]
    at = (torch.arange(side, dtype=x.dtype) + 0.5) * 2 / side - 1
    inside = at[:, None].square() + at[None, :].square() <= 1
    return turned.masked_fill(~inside, outside)
