"""What an expert marked, as an entry's text: a place of a mask, of boxes or of polygons, or the shapes themselves."""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from heatproof.audit.sources._places import is_url, open_bytes
from heatproof.audit.sources._polygons import polygons_mask
from heatproof.checks._annotations import read_mask
from heatproof.errors import InputError, UsageError
from heatproof.inputs.contents import HEAD, suffix_of
from heatproof.inputs.marks import is_shapes

SUFFIXES = (".png", ".tif", ".tiff", ".npy", ".json", ".geojson", ".npz", ".bmp", ".gif", ".webp", ".jpg", ".jpeg")
"""Of files that may hold an annotation, in the order in which they are looked for."""

_FORM = "{'boxes': [[x_min, y_min, x_max, y_max], ...]}, {'points': [[x, y], ...]}, GeoJSON, or a mask's path"


def shapes_text(value: Any, name: str = "annotation") -> str | None:
    """Return a cell that holds shapes as the text of an entry's annotation; a path stays what it is.

    Args:
        value: {"boxes": ...} or {"points": ...}, a list of boxes or points, one box or point, the same as JSON, a path,
            or None.
        name: of the column: "points" says that a list holds points.
    """
    if isinstance(value, str):
        text = value.strip()
        if not text.startswith(("[", "{")):
            return text or None
        try:
            value = json.loads(text)
        except ValueError:
            return json.dumps({"unreadable": text})
    if value is None:
        return None
    if isinstance(value, list):
        listed: list[Any] = value if not value or isinstance(value[0], list) else [value]
        pairs = bool(listed) and isinstance(listed[0], list) and len(listed[0]) in (1, 3)
        points = name.lower().startswith("point") or pairs or (bool(listed) and _length(listed[0]) == 2)
        value = {"points" if points else "boxes": listed}
    return json.dumps(value)


def read_annotation(text: str | None, name: str, label: Any, size: Callable[[], Sequence[int]]) -> Any:
    """Return an annotation as `heatproof.check` takes it: a mask, {"boxes": ...}, {"points": ...} or None.

    Args:
        text: of the entry: shapes as JSON, or the place of a file.
        name: of the entry, for errors.
        label: of the entry; of polygons that carry class names, those of this class are taken.
        size: gives the spatial size of the entry's input; called only for polygons.

    Raises:
        InputError: it cannot be read or has another form.
    """
    if text is None:
        return None
    if text.startswith("{"):
        return _stated(json.loads(text), name, label, size)
    suffix = text.partition("?")[0].lower()
    try:
        if suffix.endswith((".json", ".geojson")):
            with open_bytes(text, f"The annotation of {name}") as file:
                return _stated(json.loads(file.read()), name, label, size)
        return _mask(text, name)
    except InputError:
        raise
    except (UsageError, ValueError, OSError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"The annotation of {name} cannot be read ({reason}); give {_FORM}.") from error


def read_mask_bytes(data: bytes, name: str, like: str) -> Any:
    """Return the mask that some bytes are.

    Args:
        data: the bytes of a file.
        name: of the entry, for errors.
        like: a name with the file's suffix, or its extension.

    Raises:
        InputError: it cannot be read, or its values do not say what is marked.
    """
    suffix = suffix_of(data[:HEAD]) or f".{like.partition('?')[0].rpartition('.')[2]}"
    with tempfile.TemporaryDirectory(prefix="heatproof-") as folder:
        path = Path(folder) / f"mask{suffix}"
        path.write_bytes(data)
        return _read_mask(path, name)


def _mask(place: str, name: str) -> Any:
    with open_bytes(place, f"The annotation of {name}") as file:
        if is_url(place):
            return read_mask_bytes(file.read(), name, place)
    return _read_mask(Path(place), name)


def _read_mask(path: Path, name: str) -> Any:
    try:
        return read_mask(path)
    except UsageError as error:
        sentence = str(error).replace(str(path), path.name)
        raise InputError(f"The annotation of {name} cannot be used: {sentence}") from error


def _stated(entry: Any, name: str, label: Any, size: Callable[[], Sequence[int]]) -> Any:
    if entry is None:
        return None
    if isinstance(entry, dict) and entry and set(entry) <= {"boxes", "points"} and is_shapes(entry):
        return entry
    if isinstance(entry, dict) and "type" in entry:
        return polygons_mask(entry, tuple(size()), name, label)
    raise InputError(f"The annotation of {name} says {json.dumps(entry)[:60]}; give {_FORM}.")


def _length(value: Any) -> int:
    return len(value) if isinstance(value, list) else 0
