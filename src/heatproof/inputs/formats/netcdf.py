"""NetCDF: variables as channels, their coordinates and units as axes."""

from collections.abc import Sequence
from pathlib import Path

from heatproof.errors import InputError, MissingExtraError
from heatproof.inputs.labelled import from_variables, of_xarray, picked
from heatproof.types import Axis, Input

NAME = "NetCDF"
ALIASES = (".nc", ".nc4", ".cdf")
TIER = "core"


def read(
    path: Path,
    *,
    name: str,
    axis: Axis | str | Sequence[Axis | str] | None = None,
    channels: Sequence[str] | None = None,
    array: str | None = None,
    allow_nan: bool = False,
) -> Input:
    """Read variables of NetCDF 3 and 4; times stay the numbers that the file holds, in the file's unit.

    Args:
        path: the file.
        name: what reports call it.
        axis: described axes in place of the file's, such as periodic ones.
        channels: variables to take as channels, in this order; None takes all on the axes of the largest.
        array: one variable.
        allow_nan: let values that are not finite through, as missing ones are.

    Raises:
        MissingExtraError: xarray or h5netcdf is not installed.
        InputError: no intact file, no such variable, or as `from_variables`.
    """
    try:
        import h5netcdf as _engine  # an optional extra; xarray finds it by its name
        import xarray

        del _engine
    except ImportError as error:
        raise MissingExtraError("xarray with h5netcdf", "science") from error
    with path.open("rb") as file:
        classic = file.read(3) == b"CDF"
    try:
        with xarray.open_dataset(path, engine="scipy" if classic else "h5netcdf", decode_times=False) as opened:
            data = opened.load()
    except (OSError, ValueError, KeyError, RuntimeError, TypeError) as error:
        raise InputError(f"{name} is no intact NetCDF file ({error}); get an intact copy.") from error
    if array is None and channels is None:
        found = {
            str(key): of_xarray(one) for key, one in data.data_vars.items() if one.dtype.kind in "buif" and one.ndim
        }
        return from_variables(picked(found, None, None, name), name=name, axis=axis, source=path, allow_nan=allow_nan)
    found = picked({str(key): of_xarray(one) for key, one in data.data_vars.items()}, array, channels, name)
    return from_variables(found, name=name, axis=axis, channels=channels, source=path, allow_nan=allow_nan)
