"""Files, arrays, tensors and PIL images -> Input, and folders and patterns -> files."""

import glob
import inspect
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, overload

import numpy as np
from jaxtyping import Shaped
from PIL import Image
from torch import Tensor

from heatproof.errors import InputError, nearest
from heatproof.inputs.arrays import from_array, from_tensor
from heatproof.inputs.contents import HEAD, suffix_of
from heatproof.inputs.dicom import is_dicom, read_series
from heatproof.inputs.labelled import from_xarray
from heatproof.inputs.pictures import from_picture
from heatproof.plugins import Plugin, discover
from heatproof.types import Axis, Input

Source: TypeAlias = "str | Path | Image.Image | np.ndarray | Tensor | Input"


@overload
def read(
    source: Source,
    *,
    axis: Axis | str | Sequence[Axis | str] | None = None,
    channels: Sequence[str] | None = None,
    layout: str | None = None,
    name: str | None = None,
    array: str | None = None,
    max_pixels: int | None = None,
    allow_nan: bool = False,
) -> Input: ...


@overload
def read(
    source: list[Any] | tuple[Any, ...],
    *,
    axis: Axis | str | Sequence[Axis | str] | None = None,
    channels: Sequence[str] | None = None,
    layout: str | None = None,
    name: str | None = None,
    array: str | None = None,
    max_pixels: int | None = None,
    allow_nan: bool = False,
) -> list[Input]: ...


def read(
    source: Any,
    *,
    axis: Axis | str | Sequence[Axis | str] | None = None,
    channels: Sequence[str] | None = None,
    layout: str | None = None,
    name: str | None = None,
    array: str | None = None,
    max_pixels: int | None = None,
    allow_nan: bool = False,
) -> Input | list[Input]:
    """Read what is to be explained: a file, a PIL image, a numpy or xarray array, a tensor (c, *spatial), or a list.

    Args:
        source: what to read; nothing of it is changed. An `Input` is returned as it is.
        axis: tables: the column of coordinates. Arrays and tensors: an `Axis` or a name for each spatial axis.
        channels: a name for each channel; in tables, the columns to take.
        layout: arrays and tensors: one letter per axis, "c" for the channels ("chw", "hwc", "lc", "dhw"). Without it,
            tensors are (c, *spatial) and arrays must be unambiguous, see `heatproof.inputs.from_array`.
        name: what reports call it; the file's name by default.
        array: which array of an .npz, HDF5, NetCDF or FITS file.
        max_pixels: largest picture to decode.
        allow_nan: let values that are not finite through.

    Raises:
        InputError: it cannot be read or used, or an option does not apply to it.
    """
    options = {"axis": axis, "channels": channels, "layout": layout, "array": array, "max_pixels": max_pixels}
    given: dict[str, Any] = {key: value for key, value in options.items() if value is not None}
    if allow_nan:
        given["allow_nan"] = True
    if isinstance(source, list | tuple):
        names = [_default_name(one, name, i) for i, one in enumerate(source)]
        return [_read_one(one, given, label) for one, label in zip(source, names, strict=True)]
    return _read_one(source, given, name)


def read_batch(batch: Shaped[Tensor, "n c *spatial"], **options: Any) -> list[Input]:
    """Read each of the n inputs in a batch; options as for `read`.

    Raises:
        InputError: an input of the batch cannot be used.
    """
    if batch.ndim < 3:
        raise InputError(f"A batch of shape {tuple(batch.shape)} has no spatial axis; give (n, channels, *spatial).")
    layout = options.pop("layout", None) or ("cl", "chw", "cdhw")[min(batch.ndim, 5) - 3]
    return read(list(batch), layout=layout, **options)


def expand(paths: Iterable[str | Path] | str | Path) -> list[Path]:
    """Return the files that paths, folders and patterns stand for, each once.

    Folders are searched to the bottom for files with a known suffix, in sorted order; hidden files and folders are
    skipped. `**` in a pattern stands for any depth. A file named as it is always stays, whatever its suffix.

    Raises:
        InputError: a path does not exist, a pattern matches nothing, or a folder holds nothing that can be read.
    """
    found: dict[Path, None] = {}
    for path in [paths] if isinstance(paths, str | Path) else paths:
        found.update(dict.fromkeys(_expand_one(Path(path))))
    return list(found)


def _expand_one(path: Path) -> list[Path]:
    if path.is_dir():
        files = _files_below(path)
        if not files:
            raise InputError(f"The folder {path} holds no file that can be read; {_known_suffixes()}.")
        return files
    if path.exists():
        return [path]
    if not glob.has_magic(str(path)):
        raise InputError(_missing(path))
    files: list[Path] = []
    for match in sorted(Path(one) for one in glob.glob(str(path), recursive=True)):  # noqa: PTH207  Path.glob takes no absolute patterns
        files += _files_below(match) if match.is_dir() else [match] if format_of(match.name) else []
    if not files:
        raise InputError(f"The pattern {str(path)!r} matches no file that can be read; {_known_suffixes()}.")
    return files


def _files_below(folder: Path) -> list[Path]:
    def hidden(file: Path) -> bool:
        return any(part.startswith(".") for part in file.relative_to(folder).parts)

    return sorted(file for file in folder.rglob("*") if file.is_file() and format_of(file.name) and not hidden(file))


def _read_one(source: Any, options: dict[str, Any], name: str | None) -> Input:
    match source:
        case Input():
            return source
        case str() | Path():
            return _read_file(Path(source), options, name)
        case Image.Image():
            reader: Callable[..., Input] = from_picture
        case np.ndarray():
            reader = from_array
        case Tensor():
            reader = from_tensor
        case _ if type(source).__module__.partition(".")[0] == "xarray" and hasattr(source, "dims"):
            reader = from_xarray
        case _:
            raise InputError(
                f"A {type(source).__name__} cannot be read; give a path, a PIL image, a numpy array, a tensor, "
                "an xarray array, or a list of them."
            )
    _check_options(reader, options, f"a {type(source).__name__}")
    return reader(source, name=name or "input", **options)


def _read_file(path: Path, options: dict[str, Any], name: str | None) -> Input:
    path = path.expanduser()
    try:
        if path.is_dir():
            if any(is_dicom(file) for file in sorted(path.iterdir())):
                return read_series(path, name=name)
            raise InputError(f"{path} is a folder; read the files in it with read(expand({str(path)!r})).")
        if not path.exists():
            raise InputError(_missing(path))
        if not path.is_file():
            raise InputError(f"{path} is no regular file (a pipe or device); give a file.")  # it might never end
        with path.open("rb") as file:  # a decoder would call a file that may not be read a broken one
            head = file.read(HEAD)
        plugin = _format(path, head)
        if plugin is None:
            raise InputError(f"{path} has the suffix {path.suffix!r}, which is not known; {_known_suffixes()}.")
        if not head:
            raise InputError(f"{path} is empty (0 bytes); get an intact copy.")
    except OSError as error:
        raise InputError(f"{path} cannot be opened ({error.strerror}); check its name and permissions.") from error
    _check_options(plugin.function, options, f"a {plugin.title} file")
    return plugin.function(path, name=name or path.name, **options)


def _default_name(source: Any, name: str | None, index: int) -> str | None:
    if name is not None:
        return f"{name} {index}"
    return None if isinstance(source, str | Path) else f"input {index}"


def _check_options(reader: Callable[..., Input], options: dict[str, Any], what: str) -> None:
    known = [key for key in inspect.signature(reader).parameters if key not in ("path", "name", "source")]
    for key in options:
        if key not in known:
            raise InputError(f"The option {key}= does not apply to {what}; it takes {', '.join(known)}.")


def _missing(path: Path) -> str:
    if path.is_symlink():
        return f"{path} is a link to {path.readlink()}, which does not exist; mend the link."
    siblings = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
    return f"{path} does not exist{nearest(path.name, siblings, 2) or f'; check the path (now in {Path.cwd()}).'}"


@cache
def _formats() -> dict[str, Plugin]:
    """Return the formats by their suffixes, the longest first (".nii.gz" before ".gz")."""
    plugins = discover("heatproof.inputs.formats", "read", "heatproof.inputs").values()
    suffixes = {suffix.lower(): plugin for plugin in plugins for suffix in plugin.aliases}
    return dict(sorted(suffixes.items(), key=lambda item: -len(item[0])))


def format_of(name: str) -> Plugin | None:
    """Return the format that a file has by its name's suffix; None where the suffix is not known."""
    name = name.lower()
    return next((plugin for suffix, plugin in _formats().items() if name.endswith(suffix)), None)


def _format(path: Path, head: bytes) -> Plugin | None:
    """Return the format of a file, by its name unless its first bytes give that the lie."""
    named, told = format_of(path.name), suffix_of(head)
    # a whole slide begins as any TIFF does: only the plain formats are known so well that they can be contradicted
    if told and (named is None or named.name in ("raster", "array", "table")):
        return _formats().get(told)
    return named


def _known_suffixes() -> str:
    return f"known are {', '.join(sorted(_formats()))}"
