"""FITS: the first image of a file, or the one asked for, with linear world coordinates as axes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from heatproof.errors import InputError, MissingExtraError, nearest
from heatproof.inputs.arrays import from_array
from heatproof.types import Axis, Input

NAME = "FITS"
ALIASES = (".fits", ".fit", ".fts")
TIER = "core"

_NAMES = {1: ("position",), 2: ("y", "x"), 3: ("z", "y", "x")}
_LETTERS = {1: "l", 2: "hw", 3: "dhw"}


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
    """Read an image; CRVAL, CRPIX, CDELT, CUNIT and CTYPE of its header become axes, as far as they are linear.

    Args:
        path: the file.
        name: what reports call it.
        axis: described axes in place of the header's.
        channels: a name for each channel, where the layout has some.
        layout: one letter per axis of the array as numpy sees it (the FITS axes in reverse), "c" for the channels; None
            takes all axes as spatial.
        array: name (EXTNAME) or number of the extension; None takes the first image.
        allow_nan: let values that are not finite through.

    Raises:
        MissingExtraError: astropy is not installed.
        InputError: no intact file, no image, or as `from_array`.
    """
    try:
        from astropy.io import fits  # an optional extra
    except ImportError as error:
        raise MissingExtraError("astropy", "science") from error
    try:
        with fits.open(path, memmap=False) as units:
            images = [
                unit for unit in units if getattr(unit, "is_image", False) and getattr(unit, "data", None) is not None
            ]
            unit = _chosen(images, array, name)
            values, header = np.asarray(unit.data), unit.header
    except InputError:
        raise
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        raise InputError(f"{name} is no intact FITS file ({error}); get an intact copy.") from error
    letters = layout or _LETTERS.get(values.ndim)
    if letters is None:
        raise InputError(f"{name} has an image of shape {values.shape}; say which axis holds channels, layout='cdhw'.")
    count = values.ndim
    if axis is None and len(letters) == count:
        spatial = [i for i, letter in enumerate(letters.lower()) if letter != "c"]
        usual = _NAMES.get(len(spatial), ())
        axis = [
            _axis(header, count - i, values.shape[i], usual[k] if usual else "position") for k, i in enumerate(spatial)
        ]
    return from_array(values, layout=letters, axis=axis, channels=channels, name=name, source=path, allow_nan=allow_nan)


def _chosen(images: list[Any], array: str | None, name: str) -> Any:
    if not images:
        raise InputError(f"{name} holds no image; give a file with one, not a table.")
    if array is None:
        return images[0]
    names = [str(unit.name) for unit in images]
    if array.isdecimal() and int(array) < len(images):
        return images[int(array)]
    if array.upper() not in names:
        raise InputError(
            f"{name} holds no image {array!r}{nearest(array, names, 1) or '.'} It holds {', '.join(names)}."
        )
    return images[names.index(array.upper())]


def _axis(header: Any, number: int, length: int, usual: str) -> Axis:
    """Return the FITS axis `number` (1 is the fastest), in the header's own unit where its step is told."""
    step = header.get(f"CDELT{number}", header.get(f"CD{number}_{number}"))
    kind = str(header.get(f"CTYPE{number}", "")).strip().lower()
    unit = str(header.get(f"CUNIT{number}", "")).strip() or None
    curved = "-" in kind  # a projection of the sky is not linear
    named = kind if kind and not curved else usual
    if not isinstance(step, int | float) or step == 0 or curved:
        return Axis(named, "px" if usual in "xy" else None)
    first = float(header.get(f"CRVAL{number}", 0.0)) + (1 - float(header.get(f"CRPIX{number}", 1.0))) * step
    return Axis(named, unit, first + step * np.arange(length))
