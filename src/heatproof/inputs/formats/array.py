"""numpy arrays: .npy, and .npz with one array or the one asked for."""

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from heatproof.errors import InputError, nearest
from heatproof.inputs.arrays import from_array
from heatproof.types import Axis, Input

NAME = "array"
ALIASES = (".npy", ".npz")
TIER = "core"

_LARGEST = 2**31
"""Bytes that an archive may unpack to."""


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
    """Read one array; `array` names it where an .npz holds several. Pickled objects are never loaded.

    Raises:
        InputError: broken, pickled, an .npz with several arrays and none named, or as `from_array`.
    """
    try:
        with path.open("rb") as file:
            loaded: Any = np.load(file, allow_pickle=False)
            values = loaded if isinstance(loaded, np.ndarray) else _from_archive(loaded, name, array)
    except InputError:
        raise
    except (OSError, ValueError, EOFError, KeyError, SyntaxError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        if "Object arrays" in str(error):  # numpy's only sign of it
            raise InputError(
                f"{name} holds pickled Python objects, which are never loaded, as that can run code; "
                "save it as an array of numbers."
            ) from error
        raise InputError(f"{name} is no intact {path.suffix} file ({error}); save it anew with numpy.save.") from error
    return from_array(values, layout=layout, axis=axis, channels=channels, name=name, source=path, allow_nan=allow_nan)


def _refuse_bomb(archive: zipfile.ZipFile, name: str) -> None:
    size = sum(one.file_size for one in archive.infolist())
    if size > _LARGEST:
        raise InputError(
            f"{name} holds {size} bytes of arrays, more than the limit of {_LARGEST}, which guards against "
            "decompression bombs; save the array as .npy."
        )


def _from_archive(archive: Any, name: str, array: str | None) -> np.ndarray:
    with archive:
        _refuse_bomb(archive.zip, name)
        names: list[str] = list(archive.files)
        if array is None and len(names) == 1:
            return archive[names[0]]
        if array is None:
            raise InputError(f"{name} holds {len(names)} arrays ({', '.join(names)}); say which with array=.")
        if array not in names:
            raise InputError(
                f"{name} holds no array {array!r}{nearest(array, names) or '.'} It holds {', '.join(names)}."
            )
        return archive[array]
