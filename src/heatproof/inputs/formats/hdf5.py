"""HDF5: one data set, several as channels, with their dimension scales as axes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from heatproof.errors import InputError, MissingExtraError
from heatproof.inputs.arrays import from_array
from heatproof.inputs.labelled import Variable, from_variables, picked
from heatproof.types import Axis, Input

NAME = "HDF5"
ALIASES = (".h5", ".hdf5", ".hdf", ".he5")
TIER = "core"


def read(
    path: Path,
    *,
    name: str,
    axis: Axis | str | Sequence[Axis | str] | None = None,
    channels: Sequence[str] | None = None,
    layout: str | None = None,
    array: str | None = None,
    allow_nan: bool = False,
) -> Input:
    """Read data sets of real numbers; dimension scales and their attribute "units" become axes.

    Args:
        path: the file.
        name: what reports call it.
        axis: described axes in place of the file's.
        channels: data sets to take as channels, in this order; None takes all on the axes of the largest.
        layout: for one data set without dimension scales, as in `from_array`.
        array: path of one data set.
        allow_nan: let values that are not finite through.

    Raises:
        MissingExtraError: h5py is not installed.
        InputError: no intact file, no such data set, or as `from_variables`.
    """
    try:
        import h5py  # an optional extra
    except ImportError as error:
        raise MissingExtraError("h5py", "science") from error
    found: dict[str, Variable] = {}

    def visit(key: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "buif" and item.ndim and not item.is_scale:
            found[key] = _variable(item)

    try:
        with h5py.File(path, "r") as file:
            file.visititems(visit)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise InputError(f"{name} is no intact HDF5 file ({error}); get an intact copy.") from error
    chosen = picked(found, array, channels, name)
    only = next(iter(chosen.values()))
    if len(chosen) == 1 and not any(only.dims):
        named = None if channels is None or set(channels) == set(chosen) else channels
        return from_array(
            only.values, layout=layout, axis=axis, channels=named, name=name, source=path, allow_nan=allow_nan
        )
    if layout is not None:
        raise InputError(f"{name} names its own axes; leave layout= out.")
    return from_variables(chosen, name=name, axis=axis, channels=channels, source=path, allow_nan=allow_nan)


def _variable(item: Any) -> Variable:
    dims: list[str] = []
    coordinates: dict[str, np.ndarray] = {}
    units: dict[str, str] = {}
    for dimension in item.dims:
        scales = list(dimension.values())
        dim = str(dimension.label)
        if scales:
            dim = dim or str(scales[0].name).rpartition("/")[2]
            coordinates[dim] = np.asarray(scales[0][()])
            unit = scales[0].attrs.get("units")
            units[dim] = unit.decode() if isinstance(unit, bytes) else str(unit or "")
        dims.append(dim)
    return Variable(np.asarray(item[()]), tuple(dims), coordinates, units)
