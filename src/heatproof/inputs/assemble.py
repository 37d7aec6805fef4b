"""The last step of every reader: check the values, name axes and channels, and make the Input."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Shaped
from torch import Tensor

from heatproof.errors import InputError
from heatproof.types import Axis, Input

_AXIS_NAMES = {1: ("position",), 2: ("y", "x"), 3: ("z", "y", "x")}
_FULL_SCALE = {torch.uint8: 255, torch.uint16: 65535}  # what 1.0 is in integer pictures; other integers are counts


def assemble(
    data: Shaped[Tensor, "c *spatial"],
    *,
    name: str,
    axis: Axis | str | Sequence[Axis | str] | None = None,
    channels: Sequence[str] | None = None,
    source: Path | None = None,
    allow_nan: bool = False,
) -> Input:
    """Make an Input of channels-first data in memory of its own.

    Args:
        data: (c, *spatial). uint8 and uint16 become 0..1; all else keeps its values.
        name: what reports call it.
        axis: an `Axis` or a name for each spatial axis, in order; None for the usual names.
        channels: a name for each channel; None for the usual names.
        source: the file it came from.
        allow_nan: let values that are not finite through.

    Raises:
        InputError: empty, not real numbers, not finite, or axes and channels that do not fit.
    """
    if data.ndim - 1 not in _AXIS_NAMES:
        raise InputError(
            f"{name} has {data.ndim - 1} spatial axes (shape {tuple(data.shape)}, channels first); "
            "give data with 1 to 3, and a batch through heatproof.inputs.read_batch."
        )
    if data.numel() == 0:
        raise InputError(
            f"{name} is empty: its shape is {tuple(data.shape)}, channels first; give at least one sample."
        )
    if data.is_complex():
        raise InputError(f"{name} is of the complex type {data.dtype}; pass real and imaginary parts as two channels.")
    values = data.detach().to(torch.float32, copy=True)
    if data.dtype in _FULL_SCALE:
        values /= _FULL_SCALE[data.dtype]
    if not allow_nan and data.is_floating_point():
        _refuse_nonfinite(values, name)
    axes = _axes(axis, tuple(values.shape[1:]), name)
    picture = values.ndim == 3 and len(values) in (1, 3) and (data.dtype in _FULL_SCALE or _in_unit(values))
    names = tuple(channels) if channels is not None else _channel_names(len(values), picture=picture)
    return Input(values, axes, names, name=name, source=source, picture=picture)


def _in_unit(values: Tensor) -> bool:
    low, high = values.aminmax()
    return bool(low >= 0) and bool(high <= 1)


def _refuse_nonfinite(values: Tensor, name: str) -> None:
    bad = ~torch.isfinite(values)
    count = int(bad.sum())
    if count:
        first = tuple(bad.nonzero()[0].tolist())
        raise InputError(
            f"{name} holds {count} of {values.numel()} values that are not finite, the first ({values[first].item()}) "
            f"at channel {first[0]}, position {first[1:]}; replace them, or pass allow_nan=True to keep them."
        )


def _axes(axis: Axis | str | Sequence[Axis | str] | None, size: tuple[int, ...], name: str) -> tuple[Axis, ...]:
    if axis is None:
        unit = "px" if len(size) == 2 else None
        return tuple(Axis(usual, unit) for usual in _AXIS_NAMES[len(size)])
    given = (axis,) if isinstance(axis, Axis | str) else tuple(axis)
    axes = tuple(one if isinstance(one, Axis) else Axis(one) for one in given)
    if len(axes) != len(size):
        raise InputError(
            f"{name} has {len(size)} spatial axes of size {size}, but axis= describes {len(axes)}; "
            "describe each spatial axis once, in order, without the channels."
        )
    for one, length in zip(axes, size, strict=True):
        if one.coordinates is not None:
            _check_coordinates(one, length, name)
    return axes


def _check_coordinates(axis: Axis, length: int, name: str) -> None:
    coordinates = np.asarray(axis.coordinates)
    if coordinates.shape != (length,):
        raise InputError(
            f"{name}: axis {axis.name!r} has coordinates of shape {coordinates.shape}, but {length} samples; "
            "give one coordinate per sample."
        )
    steps = np.diff(coordinates)
    if not (np.all(steps > 0) or np.all(steps < 0)):
        turn = int(np.argmin(steps * (1 if steps[0] > 0 else -1) > 0)) + 1
        raise InputError(
            f"{name}: the coordinates of axis {axis.name!r} neither rise nor fall throughout (sample {turn} is at "
            f"{coordinates[turn]} after {coordinates[turn - 1]}); sort the samples by {axis.name!r}."
        )


def _channel_names(count: int, *, picture: bool) -> tuple[str, ...]:
    if picture:
        return ("gray",) if count == 1 else ("red", "green", "blue")
    return ("value",) if count == 1 else tuple(f"channel {i}" for i in range(count))
