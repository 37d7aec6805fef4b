"""Hugging Face data sets on disk: what `save_to_disk` wrote, and folders or files of Parquet or Arrow.

Read with pyarrow, so that the `datasets` library is not needed. Pictures are in a column of the feature type Image (or
of bytes); a column of the type ClassLabel is the label, and its names are the classes'. A second Image column called
mask or annotation is what an expert marked; so are `objects` with their `bbox`, [x, y, width, height] as is usual.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from heatproof.audit.entry import Cell, Entry, Roles
from heatproof.audit.sources._annotation import read_annotation, read_mask_bytes, shapes_text
from heatproof.audit.sources._arrow import cell_of, features_of, is_bytes, rows_of, schema_of
from heatproof.audit.sources._fingerprint import fingerprint_of_entries
from heatproof.audit.sources._names import id_of
from heatproof.audit.sources._places import is_url, join, read_bytes, read_place
from heatproof.audit.sources._roles import ANNOTATIONS, IDS, PATHS, find_roles
from heatproof.audit.sources._unique import Unique
from heatproof.errors import InputError, UsageError
from heatproof.plugins import simplify
from heatproof.types import Input

NAME = "Hugging Face"
ALIASES = ("hf", "datasets", "arrow", "parquet")
TIER = "core"
BIBTEX = """
@inproceedings{lhoest2021datasets,
  title     = {Datasets: A Community Library for Natural Language Processing},
  author    = {Lhoest, Quentin and others},
  booktitle = {Empirical Methods in Natural Language Processing: System Demonstrations},
  year      = {2021}
}
"""

_SHARD = re.compile(r"^(?P<split>.+?)-\d{4,}-of-\d{4,}$")  # train-00000-of-00002
_BOXES = "objects"


def open_source(data: str, roles: Roles) -> "ArrowSource | None":
    """Return the rows of a data set on disk; None for what is none, or a Parquet file that names files.

    Raises:
        InputError: a file is broken or missing.
        UsageError: a role names a column or split that there is not.
    """
    if is_url(data):
        return None
    files = _files(Path(data).expanduser().absolute())
    if not files:
        return None
    schema = schema_of(files[0][1])
    if Path(data).is_file() and data.endswith(".parquet") and not any(is_bytes(one.type) for one in schema):
        return None  # a manifest
    return ArrowSource(data, roles, tuple(files))


@dataclass
class ArrowSource:
    """The rows of Arrow or Parquet files.

    Args:
        data: what the user named.
        roles: of the columns; split is "split" where the files are named after splits.
        files: (split or None, path) of each.
    """

    data: str
    roles: Roles
    files: tuple[tuple[str | None, str], ...]
    kind: str = "huggingface"
    columns: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None
    _unique: Unique = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Find out which column is what."""
        schema = schema_of(self.files[0][1])
        features = {**_described(self.files[0][1]), **features_of(schema)}
        held = {one.name for one in schema if is_bytes(one.type)}
        names: list[str] = [one.name for one in schema]
        plain = [name for name in names if name not in held]
        self._classes = {name: tuple(one["names"]) for name, one in features.items() if _is_class(one)}
        splits = [split for split, _ in self.files if split is not None]
        named = [*names, "split"] if splits and "split" not in names else names
        marks = self.roles.annotation
        if marks is None:
            marks = next((name for name in names if simplify(name) in (*ANNOTATIONS, _BOXES)), None)
        label = self.roles.label if self.roles.label is not None else next(iter(self._classes), None)
        path = self.roles.path or _path(names, held, marks)
        if path is None:
            raise InputError(
                f"{self.data} has the columns {', '.join(names)}, none of which is known to hold pictures; say which "
                "with path=."
            )
        self.roles = find_roles(named, replace(self.roles, path=path, annotation=marks, label=label), self.data)
        self.labels = self._classes.get(self.roles.label or "")
        self._held = frozenset(held)
        self._own = next((name for name in plain if simplify(name) in IDS), None)
        self._by_file = bool(splits) and "split" not in names
        used = {self.roles.path, self.roles.label, self.roles.annotation, self.roles.cluster, self._own}
        self._plain = tuple(plain)
        self.columns = tuple(name for name in named if name not in used and name not in held)
        if self.roles.only is not None and self._by_file and self.roles.only not in splits:
            told = ", ".join(dict.fromkeys(splits))
            raise UsageError(f"only={self.roles.only!r} is no split of {self.data}, which has {told}; name one.")
        self._unique = Unique(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Yield the rows, file after file; without an id of its own, a row is called by its number in its split."""
        return iter(self._unique)

    def read(self, entry: Entry) -> tuple[Input, str]:
        """Return a row's input and the SHA-256 of its bytes.

        Raises:
            InputError: it cannot be read; the sentence says why.
        """
        path, row = _row(entry.location)
        column = self.roles.path or ""
        data, name = _content(cell_of(path, row, column))
        if data is not None:
            return read_bytes(data, entry.id, name or "picture.png")
        if not name:
            raise InputError(f"{entry.id} has nothing in the column {column!r}; add its picture.")
        return read_place(join(str(Path(path).parent), name), entry.id)

    def annotation(self, entry: Entry) -> Any:
        """Return what an expert marked: a mask, {"boxes": ...}, {"points": ...} or None.

        Raises:
            InputError: it cannot be read.
        """
        text, column = entry.annotation, self.roles.annotation or ""
        if text is not None and column in self._held:
            data, name = _content(cell_of(*_row(entry.location), column))
            if data is not None:
                return read_mask_bytes(data, entry.id, name or "mask.png")
            text = join(str(Path(_row(entry.location)[0]).parent), name) if name else None
        return read_annotation(text, entry.id, entry.label, lambda: self.read(entry)[0].size)

    def fingerprint(self) -> str:
        """Return a SHA-256 of all that is known of the rows, and the files' names and sizes."""
        files = (f"{Path(path).name} {Path(path).stat().st_size}" for _, path in self.files)
        return fingerprint_of_entries(self, files)

    def _entries(self) -> Iterator[Entry]:
        numbers: dict[str | None, int] = {}
        only = self.roles.only
        for split, path in self.files:
            if self._by_file and only is not None and split != only:
                continue
            for row, values in enumerate(rows_of(path, self._plain)):
                number = numbers.get(split, 0)
                numbers[split] = number + 1
                inside = {**values, "split": split} if self._by_file else values
                if only is None or str(inside.get(self.roles.split or "")) == only:
                    yield self._entry(inside, f"{split}/{number}" if split else str(number), f"{path}::{row}")

    def _entry(self, values: Mapping[str, Any], number: str, location: str) -> Entry:
        roles = self.roles
        own = values.get(self._own or "")
        label = self._named(roles.label or "", values.get(roles.label or ""))
        cluster = self._named(roles.cluster or "", values.get(roles.cluster or ""))
        return Entry(
            id=id_of(number if own is None else str(own)),
            location=location,
            label=label if label is None or isinstance(label, int) else str(label),
            annotation=self._annotation(values, location),
            cluster=None if cluster is None else str(cluster),
            columns={name: _cell(self._named(name, values.get(name))) for name in self.columns},
        )

    def _annotation(self, values: Mapping[str, Any], location: str) -> str | None:
        column = self.roles.annotation or ""
        if column in self._held:
            return location
        value = values.get(column)
        if isinstance(value, dict) and "bbox" in value:
            value = [[x, y, x + width, y + height] for x, y, width, height in value["bbox"] or ()]
        text = shapes_text(value, column)
        return text if text is None or text.startswith("{") else join(str(Path(_row(location)[0]).parent), text)

    def _named(self, column: str, value: Any) -> Any:
        """Return a class by its name; -1 stands for none."""
        classes = self._classes.get(column)
        if classes is None or not isinstance(value, int):
            return value
        return classes[value] if 0 <= value < len(classes) else None if value < 0 else value


def _files(place: Path) -> list[tuple[str | None, str]]:
    """Return (split or None, path) of each file of a data set on disk, in order; empty for what is none.

    Raises:
        InputError: what describes the data set is broken, or names a file that is not there.
    """
    if place.is_file():
        return [(None, str(place))] if place.suffix in (".parquet", ".arrow") else []
    if not place.is_dir():
        return []
    if (place / "dataset_dict.json").is_file():
        splits: list[str] = _document(place / "dataset_dict.json").get("splits", [])
        return [(split, path) for split in splits for _, path in _files(place / split)]
    if (place / "state.json").is_file():
        listed: list[Mapping[str, str]] = _document(place / "state.json").get("_data_files", [])
        return [(None, _there(place / one["filename"])) for one in listed]
    found = sorted(path for path in place.rglob("*") if path.suffix in (".parquet", ".arrow"))
    found = [path for path in found if not any(part.startswith(".") for part in path.relative_to(place).parts)]
    named = [_SHARD.match(path.stem) for path in found]
    if all(named):
        return [
            (match["split"].rpartition("-")[2], str(path)) for match, path in zip(named, found, strict=True) if match
        ]
    return [(None, str(path)) for path in found]


def _document(path: Path) -> Mapping[str, Any]:
    try:
        told: Any = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(f"{path} cannot be read ({error}); save the data set anew.") from error
    return told if isinstance(told, dict) else {}


def _there(path: Path) -> str:
    if not path.is_file():
        raise InputError(f"{path} is missing, though the data set's state.json names it; save the data set anew.")
    return str(path)


def _described(path: str) -> Mapping[str, Any]:
    """Return the features that dataset_info.json beside a file tells."""
    about = Path(path).parent / "dataset_info.json"
    features: Any = _document(about).get("features") if about.is_file() else None
    return features if isinstance(features, dict) else {}


def _is_class(feature: Any) -> bool:
    return isinstance(feature, dict) and feature.get("_type") == "ClassLabel" and bool(feature.get("names"))


def _path(names: Sequence[str], held: set[str], marks: str | None) -> str | None:
    """Return the column of inputs: of bytes, called image or so or the first; else of names."""
    for among in ([name for name in names if name in held and name != marks], names):
        by_name = {simplify(name): name for name in reversed(among)}
        found = next((by_name[name] for name in PATHS if name in by_name), None)
        if found or (among and among is not names):
            return found or among[0]
    return None


def _row(location: str) -> tuple[str, int]:
    path, _, row = location.rpartition("::")
    return path, int(row)


def _content(cell: Any) -> tuple[bytes | None, str]:
    """Return the bytes that a cell holds, or None, and the name of their file as far as it is told."""
    if isinstance(cell, dict):
        held = next((value for value in cell.values() if isinstance(value, bytes)), None)
        return held, str(cell.get("path") or "")
    return (cell, "") if isinstance(cell, bytes) else (None, str(cell or ""))


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return json.dumps(value, default=str) if isinstance(value, list | dict) else str(value)
