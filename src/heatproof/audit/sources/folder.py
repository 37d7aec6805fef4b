"""A folder of class folders: each input's label is the name of the folder that it lies in, unless the folder is flat.

Folders named after splits (train, val, test) say the split. Beside the class folders there may be a folder
`annotations` (or `masks`), with a file of the same name as each input, in the same subfolder or directly: a mask, a
JSON file with boxes or points, or GeoJSON polygons.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from heatproof.audit.entry import Cell, Entry, Roles
from heatproof.audit.sources._annotation import SUFFIXES, read_annotation
from heatproof.audit.sources._fingerprint import fingerprint_of_entries
from heatproof.audit.sources._named import NamedAnnotations
from heatproof.audit.sources._names import id_of, name_of
from heatproof.audit.sources._places import is_url, join, read_place
from heatproof.audit.sources._roles import PARENT
from heatproof.audit.sources._walk import Found, walk
from heatproof.errors import InputError, UsageError
from heatproof.types import Input

NAME = "folder"
ALIASES = ("imagefolder", "class folders")
TIER = "core"
BIBTEX = ""

ANNOTATIONS = ("annotations", "masks")
SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing", "dev", "holdout"})
NO_CLASSES = frozenset({"images", "image", "imgs", "img", "pictures", "photos", "jpegimages"})
"""Folders that say what is in them, not of which class; the class is the folder around them."""


def open_source(data: str, roles: Roles) -> "FolderSource | None":
    """Return the inputs below a folder; None where there is none.

    Raises:
        InputError: a file of annotations cannot be read.
        UsageError: a role is told that a folder does not have.
    """
    root = str(Path(data).expanduser().absolute())
    if is_url(data) or not Path(root).is_dir():
        return None
    annotations = _annotations(root, roles.annotation)
    inside = os.path.relpath(annotations, root) if annotations else ""
    leave_out = frozenset({inside.replace(os.sep, "/")}) if inside and not inside.startswith("..") else frozenset[str]()
    shape = _shape(root, leave_out)
    if shape is None:
        return None
    return FolderSource(data, _roles(data, roles, annotations, shape), root, annotations, leave_out)


@dataclass
class FolderSource:
    """The inputs below a folder.

    Args:
        data: what the user named.
        roles: label is "parent" where the folder is not flat; split is "split" where its folders are named so.
        root: absolute path.
        annotations: absolute path of the folder or file with what an expert marked.
        leave_out: paths below the root that hold no inputs.
    """

    data: str
    roles: Roles
    root: str
    annotations: str | None
    leave_out: frozenset[str]
    kind: str = "folder"
    columns: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        """Read a file of annotations, which is one for all."""
        self.columns = ("split",) if self.roles.split else ()
        file = self.annotations if self.annotations and Path(self.annotations).is_file() else None
        self._named = NamedAnnotations(file) if file else None

    def __iter__(self) -> Iterator[Entry]:
        """Yield the inputs, sorted by the bytes of their paths; a folder that cannot be listed is an entry, too."""
        for found in walk(self.root, self.leave_out):
            if found.kind in ("input", "unreadable folder") and self._wanted(found.path):
                yield self._entry(found)

    def left_out(self) -> Iterator[tuple[str, str]]:
        """Yield (path, reason) of every file that is no input."""
        for found in walk(self.root, self.leave_out):
            if found.kind == "side file":
                yield id_of(found.path), "no picture, array or signal"
            elif found.kind == "loop":
                yield id_of(found.path), "a link to a folder that is listed anyway"

    def read(self, entry: Entry) -> tuple[Input, str]:
        """Return an entry's input and the SHA-256 of its bytes.

        Raises:
            InputError: it cannot be read; the sentence says why.
        """
        if entry.id.endswith("/"):
            raise InputError(f"The folder {entry.id} cannot be listed; check its permissions.")
        return read_place(f"{self.root}/{name_of(entry.id)}", entry.id)

    def annotation(self, entry: Entry) -> Any:
        """Return what an expert marked: a mask, {"boxes": ...}, {"points": ...} or None.

        Raises:
            InputError: it cannot be read.
        """
        text = entry.annotation
        if text is not None and not text.startswith("{"):
            text = join(self.annotations or self.root, name_of(text))
        return read_annotation(text, entry.id, entry.label, lambda: self.read(entry)[0].size)

    def fingerprint(self) -> str:
        """Return a SHA-256 of all paths, sizes, labels and names of annotations."""
        sizes = (f"{id_of(found.path)} {found.size}" for found in walk(self.root, self.leave_out))
        return fingerprint_of_entries(self, sizes)

    def _wanted(self, path: str) -> bool:
        return self.roles.only is None or path.partition("/")[0] == self.roles.only

    def _entry(self, found: Found) -> Entry:
        path, columns = found.path, dict[str, Cell]()
        if self.roles.split:
            columns["split"] = id_of(path.partition("/")[0]) if "/" in path else None
        if found.kind == "unreadable folder":
            return Entry(id=id_of(path) + "/", location=path, columns=columns)
        return Entry(
            id=id_of(path),
            location=f"{self.root}/{path}",
            label=self._label(path),
            annotation=self._annotation(path),
            cluster=id_of(path.rpartition("/")[0]) or None if self.roles.cluster == PARENT else None,
            columns=columns,
        )

    def _label(self, path: str) -> str | None:
        folders = path.split("/")[1 if self.roles.split else 0 : -1] if self.roles.label == PARENT else []
        return next((id_of(name) for name in reversed(folders) if name.lower() not in NO_CLASSES), None)

    def _annotation(self, path: str) -> str | None:
        if self._named:
            return self._named.of(id_of(path))
        if self.annotations is None:
            return None
        stem = path[: path.rfind(".")] if "." in path.rpartition("/")[2] else path
        for beginning in dict.fromkeys((stem, stem.rpartition("/")[2])):
            for suffix in SUFFIXES:
                if Path(self.annotations, beginning + suffix).is_file():
                    return id_of(beginning + suffix)
        return None


@dataclass(frozen=True)
class _Shape:
    """Whether inputs lie in folders, and whether the outermost of these are splits."""

    nested: bool
    split: bool


def _shape(root: str, leave_out: frozenset[str]) -> _Shape | None:
    """Return how a folder is built, from its inputs' paths; None where it holds no input."""
    nested = any_input = False
    for found in walk(root, leave_out):
        if found.kind == "side file" or found.kind == "loop":
            continue
        any_input = True
        first, slash, _ = found.path.partition("/")
        if slash:
            nested = True
            return _Shape(True, _is_split(root, first, leave_out))
    return _Shape(nested, False) if any_input else None


def _is_split(root: str, first: str, leave_out: frozenset[str]) -> bool:
    """Return whether all folders directly below the root are named after splits."""
    if first.lower() not in SPLITS:
        return False
    with os.scandir(root) as entries:
        return all(
            entry.name.lower() in SPLITS
            for entry in entries
            if entry.is_dir() and not entry.name.startswith(".") and entry.name not in leave_out
        )


def _annotations(root: str, told: str | None) -> str | None:
    if told is None:
        return next((f"{root}/{name}" for name in ANNOTATIONS if Path(root, name).is_dir()), None)
    if not told:
        return None
    for place in (Path(told).expanduser(), Path(root, told)):
        if place.exists():
            return str(place.absolute())
    raise InputError(f"annotation={told!r} is no folder or file, neither here nor in {id_of(root)}; check its path.")


def _roles(data: str, told: Roles, annotations: str | None, shape: _Shape) -> Roles:
    if told.path:
        raise UsageError(f"path={told.path!r} is for tables; {data} is a folder, whose files are the inputs.")
    for role, value in (("label", told.label), ("cluster", told.cluster)):
        if value and value != PARENT:
            raise UsageError(f"{role}={value!r} is for tables; of the folder {data} it can be {PARENT!r} alone.")
    if told.split and not (told.split == "split" and shape.split):
        raise UsageError(f"split={told.split!r} is for tables; {data} has no folders named train, val or test.")
    split = "split" if shape.split and told.split != "" else None
    if told.only is not None:
        if split is None:
            raise UsageError(f"only={told.only!r} asks for one split, but {data} has no folders named train or test.")
        if not Path(data, told.only).is_dir():
            raise UsageError(f"only={told.only!r} is no folder of {data}; name one of its splits.")
    label = (told.label or None) if told.label is not None else PARENT if shape.nested else None
    name = None if annotations is None else id_of(Path(annotations).name)
    return Roles(None, label, name, told.cluster or None, split, told.only)
