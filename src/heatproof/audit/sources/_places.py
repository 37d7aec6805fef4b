"""Where bytes lie: a path or a URL, opened the same way, and read into an Input with the hash of its bytes."""

import hashlib
import io
import os
import re
import stat
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from heatproof.audit.sources._names import id_of
from heatproof.errors import InputError, MissingExtraError, nearest
from heatproof.inputs import read
from heatproof.inputs.contents import HEAD, suffix_of
from heatproof.inputs.dicom import is_dicom
from heatproof.types import Input

_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+(://|::)")  # two letters or more: "c:" is a drive


def is_url(place: str) -> bool:
    """Return whether a place is a URL that fsspec opens ("s3://b/k", "zip://a.png::https://..."), not a path."""
    return bool(_URL.match(place))


def is_absolute(place: str) -> bool:
    """Return whether a path starts at a root, of any system ("C:..."); a Path takes ten times as long."""
    return place.startswith(("/", "\\")) or place[1:2] == ":"


def is_pattern(place: str) -> bool:
    """Return whether a place stands for several: "shard-{000..009}.tar", "shards/*.tar"."""
    return not Path(place).exists() and any(sign in place for sign in "*?[{")


def missing(place: str) -> str:
    """Return the sentence that says that a path does not exist."""
    return f"{id_of(place)} does not exist{_close(place)}"


def join(base: str, place: str) -> str:
    """Return a place as seen from a folder or URL: absolute paths and URLs stay what they are."""
    if is_url(place):
        return place
    if is_url(base):
        return f"{base.rstrip('/')}/{place.removeprefix('./')}"
    if place.startswith("~"):
        return str(Path(place).expanduser())
    return place if is_absolute(place) else f"{base}/{place.removeprefix('./')}"


def folder_of(place: str) -> str:
    """Return what paths in a file are relative to: its folder, absolute, or the URL up to the last slash."""
    if is_url(place):
        return place.rpartition("/")[0]
    return str(Path(place).expanduser().absolute().parent)


def folder_with(base: str, names: Sequence[str], more: Sequence[str] = ()) -> str:
    """Return the folder that names in a file are relative to: the first in which one of them is found.

    Looked at are the file's own folder, `images` and `more` there and one folder up, and that folder.

    Args:
        base: the file's folder.
        names: some of the names; the base is returned where none is found.
        more: further names of folders.
    """
    above = base.rpartition("/")[0] if is_url(base) else str(Path(base).parent)
    inner = [join(one, name) for one in (base, above) for name in ("images", *more)]
    relative = [name for name in names if not is_url(name) and not Path(name).is_absolute()]
    return next((place for place in (base, *inner, above) for name in relative if exists(join(place, name))), base)


def exists(place: str) -> bool:
    """Return whether there is a file or folder.

    Raises:
        InputError: a URL whose protocol or server cannot be reached.
    """
    if is_url(place):
        return bool(_remote(place, "exists"))
    return Path(place).expanduser().exists()


def open_bytes(place: str, name: str | None = None) -> Any:
    """Return a path or URL opened as a binary file.

    Args:
        place: the path or URL.
        name: what errors call it; the place by default.

    Raises:
        InputError: it does not exist, may not be read, is no file, or its protocol's package is missing.
    """
    name = name or id_of(place)
    if is_url(place):
        return _remote(place, "open", name)
    try:
        _refuse_irregular(place, name)
        return Path(place).expanduser().open("rb")
    except InputError:  # is a ValueError, too
        raise
    except (OSError, ValueError) as error:
        raise InputError(_unopened(name, place, error)) from error


def read_place(place: str, name: str) -> tuple[Input, str]:
    """Return the input at a path or URL, and the SHA-256 of its bytes; a folder of DICOM files is one series.

    Raises:
        InputError: it cannot be read; the sentence calls it by `name` and holds no path of this machine.
    """
    slices = [] if is_url(place) else _slices(Path(place).expanduser())
    if slices:
        found = _decode(Path(place).expanduser(), name)
        sums = [digest_of(io.BytesIO(one.read_bytes())) for one in slices]
        return found, hashlib.sha256("".join(sums).encode()).hexdigest()
    with open_bytes(place, name) as file:
        if is_url(place):
            try:
                return read_bytes(file.read(), name, place)
            except OSError as error:
                raise InputError(_unopened(name, place, error)) from error
        try:
            digest = digest_of(file)
        except OSError as error:
            raise InputError(_unopened(name, place, error)) from error
    return _decode(Path(place), name), digest


def _slices(folder: Path) -> list[Path]:
    """Return the DICOM files of a folder, sorted by name; none where it is no folder."""
    try:
        return [one for one in sorted(folder.iterdir()) if one.is_file() and is_dicom(one)] if folder.is_dir() else []
    except (OSError, ValueError):
        return []  # opening it will say why


def digest_of(file: Any, more: bytes = b"") -> str:
    """Return the SHA-256 of what is left of a binary file, and of some more bytes."""
    digest = hashlib.sha256()
    while block := file.read(1 << 20):
        digest.update(block)
    digest.update(more)
    return digest.hexdigest()


def read_bytes(data: bytes, name: str, like: str | None = None) -> tuple[Input, str]:
    """Return the input that some bytes are, and their SHA-256.

    Args:
        data: the bytes of a file.
        name: what reports and errors call it.
        like: a name with the file's suffix; `name` by default.

    Raises:
        InputError: they cannot be read.
    """
    suffix = suffix_of(data[:HEAD]) or "".join(Path((like or name).split("?")[0]).suffixes[-2:])
    # the readers of formats, other packages' among them, take paths
    with tempfile.TemporaryDirectory(prefix="heatproof-") as folder:
        path = Path(folder) / f"input{suffix}"
        path.write_bytes(data)
        found = _decode(path, name)
    return replace(found, source=None), hashlib.sha256(data).hexdigest()


def _decode(path: Path, name: str) -> Input:
    try:
        return read(path, name=name)
    except InputError as error:
        raise InputError(_about(str(error), str(path), name)) from error
    except (OSError, ValueError, MemoryError) as error:
        raise InputError(f"{name} cannot be read ({_about(str(error), str(path), name)}).") from error


def _about(sentence: str, place: str, name: str) -> str:
    return id_of(sentence.replace(place, name)).replace("\\\\", "\\")


def _refuse_irregular(place: str, name: str) -> None:
    mode = Path(place).expanduser().stat().st_mode
    if stat.S_ISDIR(mode):
        raise InputError(f"{name} is a folder; name a file.")
    if not stat.S_ISREG(mode):
        raise InputError(f"{name} is no regular file (a pipe or device); name a file.")  # it might never end


def _unopened(name: str, place: str, error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{name} does not exist{_close(place)}"
    why = (isinstance(error, OSError) and error.strerror) or type(error).__name__
    return f"{name} cannot be opened ({why}); check its name and permissions."


def _close(place: str) -> str:
    try:
        with os.scandir(Path(place).parent) as listed:
            siblings = [entry.name for _, entry in zip(range(1000), listed, strict=False)]  # an aid, not worth more
    except (OSError, ValueError):
        return "; check its path."
    return id_of(nearest(Path(place).name, siblings, 2)) or "; check its path."


def _remote(url: str, what: str, name: str | None = None) -> Any:
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtraError("fsspec", "audit") from error
    name = name or url
    try:
        if what == "open":
            return cast("Any", fsspec.open(url, "rb")).open()
        system, path = fsspec.core.url_to_fs(url)
        return system.exists(path)
    except ImportError as error:
        protocol = url.partition(":")[0]
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"{name} needs a package that opens {protocol}:// and is not installed: {reason}.") from error
    except FileNotFoundError as error:
        raise InputError(f"{name} does not exist; check the URL.") from error
    # every protocol has its own errors, also such as are no OSError
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
        raise InputError(f"{name} cannot be opened ({reason}); check the URL, the network and the access.") from error
