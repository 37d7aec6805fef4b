"""Arrays that bring their own axes (xarray, NetCDF, HDF5 scales) -> Input: coordinates, units, channel names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heatproof.errors import InputError, nearest
from heatproof.inputs.assemble import assemble
from heatproof.types import Axis, Input

CHANNEL_AXES = ("channel", "channels", "band", "component", "variable", "sensor", "lead")
"""Names of dimensions that hold channels; all others are spatial."""


@dataclass(frozen=True, eq=False)
class Variable:
    """An array whose dimensions have names.

    Attributes:
        values: numbers.
        dims: a name for each dimension; an empty one where nobody gave it any.
        coordinates: of some dimensions, their values.
        units: of some dimensions, their unit.
    """

    values: np.ndarray
    dims: tuple[str, ...]
    coordinates: Mapping[str, np.ndarray]
    units: Mapping[str, str]


def from_variables(
    variables: Mapping[str, Variable],
    *,
    name: str,
    axis: Axis | str | Sequence[Axis | str] | None = None,
    channels: Sequence[str] | None = None,
    source: Path | None = None,
    allow_nan: bool = False,
) -> Input:
    """Make an Input of one variable, or of several on the same axes, each a channel.

    Args:
        variables: by name, in the order of the channels.
        name: what reports call it.
        axis: described axes in place of the file's own, such as periodic ones.
        channels: names for the channels of one variable with a channel dimension; ignored where each variable is one.
        source: the file.
        allow_nan: let values that are not finite through.

    Raises:
        InputError: variables on different axes, not numbers, or descriptions that do not fit.
    """
    first_name, first = next(iter(variables.items()))
    for other_name, other in variables.items():
        if other.dims != first.dims or other.values.shape != first.values.shape:
            raise InputError(
                f"{name}: {first_name!r} lies on {first.dims} {first.values.shape}, {other_name!r} on {other.dims} "
                f"{other.values.shape}; channels share their axes: pick some with channels=."
            )
        if other.values.dtype.kind not in "buif":
            raise InputError(f"{name}: {other_name!r} holds values of type {other.values.dtype}; give real numbers.")
    along = [i for i, dim in enumerate(first.dims) if dim.lower() in CHANNEL_AXES]
    if len(along) > 1 or (along and len(variables) > 1):
        raise InputError(
            f"{name}: it is not clear which of {first.dims} holds the channels; pick one variable with array=."
        )
    if along:
        values = np.moveaxis(first.values, along[0], 0)
        labels = first.coordinates.get(first.dims[along[0]])
        named = channels or (None if labels is None else [str(one) for one in labels.tolist()])
    else:
        values = np.stack([one.values for one in variables.values()])
        named = list(variables)
    spatial = [dim for i, dim in enumerate(first.dims) if i not in along]
    own = [
        Axis(dim or "position", first.units.get(dim) or None, _numbers(first.coordinates.get(dim))) for dim in spatial
    ]
    native = values.astype(np.float32 if values.dtype.kind == "f" and values.dtype.itemsize < 8 else np.float64)
    data = torch.from_numpy(np.ascontiguousarray(native))
    return assemble(data, name=name, axis=axis or own, channels=named, source=source, allow_nan=allow_nan)


def from_xarray(
    array: Any,
    *,
    axis: Axis | str | Sequence[Axis | str] | None = None,
    channels: Sequence[str] | None = None,
    name: str = "input",
    allow_nan: bool = False,
) -> Input:
    """Make an Input of an `xarray.DataArray`, or of a `Dataset` whose variables are the channels.

    Dimensions named "channel", "band", "component" or alike hold channels; coordinates and their attribute "units"
    become axes.

    Raises:
        InputError: as `from_variables`, or there is no such variable.
    """
    if hasattr(array, "data_vars"):
        found = {str(key): of_xarray(one) for key, one in array.data_vars.items()}
        found = picked(found, None, channels, name)
        return from_variables(found, name=name, axis=axis, allow_nan=allow_nan)
    one = {str(array.name or "value"): of_xarray(array)}
    return from_variables(one, name=name, axis=axis, channels=channels, allow_nan=allow_nan)


def picked(
    found: Mapping[str, Variable], array: str | None, channels: Sequence[str] | None, name: str
) -> dict[str, Variable]:
    """Return the variables that are asked for: one, some as channels, or all that lie on the axes of the largest.

    Raises:
        InputError: there is no such variable, or none at all.
    """
    if not found:
        raise InputError(f"{name} holds no array of numbers; give a file with one.")
    known = {key.strip("/"): value for key, value in found.items()}
    wanted = [array] if array is not None else None
    if wanted is None and channels is not None and all(one.strip("/") in known for one in channels):
        wanted = list(channels)
    if wanted is None and channels is not None and len(known) > 1:
        missing = next(one for one in channels if one.strip("/") not in known)
        raise InputError(
            f"{name} has no variable {missing!r}{nearest(missing, known, 1) or '.'} It has {', '.join(known)}."
        )
    if wanted is None:
        dims = max(known.values(), key=lambda one: (one.values.ndim, one.values.size))
        return {k: v for k, v in known.items() if v.dims == dims.dims and v.values.shape == dims.values.shape}
    for one in wanted:
        if one.strip("/") not in known:
            close = nearest(one, known, 1) or "."
            raise InputError(f"{name} has no variable {one!r}{close} It has {', '.join(known)}.")
    return {one.strip("/"): known[one.strip("/")] for one in wanted}


def of_xarray(array: Any) -> Variable:
    """Return an xarray array with the coordinates of its dimensions."""
    dims = tuple(str(dim) for dim in array.dims)
    coordinates = {str(dim): np.asarray(array.coords[dim].values) for dim in array.dims if dim in array.coords}
    units = {dim: str(array.coords[dim].attrs["units"]) for dim in coordinates if "units" in array.coords[dim].attrs}
    return Variable(np.asarray(array.values), dims, coordinates, units)


def _numbers(values: np.ndarray | None) -> np.ndarray | None:
    """Return coordinates as numbers; None for names and dates, which are no places on an axis."""
    return None if values is None or values.dtype.kind not in "buif" else values.astype(float)
