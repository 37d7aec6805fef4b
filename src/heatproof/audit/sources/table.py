"""Tables: a CSV, TSV, JSON lines, JSON or Parquet manifest with one row per input.

Its columns are found by their names and can be told: the path or URL of each input (relative to the table, or to a
folder `images` beside it), its label, annotation (a mask's path, boxes, points, polygons), what it belongs to
(patient_id) and its split; all others are known to the audit as subgroups.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from heatproof.audit.entry import Cell, Entry, Roles
from heatproof.audit.sources._annotation import read_annotation, shapes_text
from heatproof.audit.sources._fingerprint import fingerprint_of_file
from heatproof.audit.sources._names import id_of
from heatproof.audit.sources._places import folder_of, folder_with, is_absolute, is_url, join, read_place
from heatproof.audit.sources._roles import IDS, PARENT, find_roles, marked_by
from heatproof.audit.sources._rows import Row, Table, is_table, open_table
from heatproof.audit.sources._unique import Unique
from heatproof.errors import InputError, UsageError
from heatproof.inputs.sources import format_of
from heatproof.plugins import simplify
from heatproof.types import Input

NAME = "table"
ALIASES = ("csv", "tsv", "manifest", "jsonl")
TIER = "core"
BIBTEX = ""

_FIRST = 5
"""Rows whose paths say which folder they are relative to."""
_MANY = 100
"""Rows that are looked at for a column of paths whose name is not known."""


def open_source(data: str, roles: Roles) -> "TableSource | None":
    """Return the inputs that a table lists; None for what is no table.

    Raises:
        InputError: it cannot be read, or no column names the inputs.
        UsageError: a column that is told does not exist.
    """
    if not is_table(data) or _is_document(data):
        return None
    table = open_table(data)
    found = find_roles(table.columns, roles, data)
    if found.path is None:
        path = next((column for column in table.columns if _names_inputs(table, column)), None)
        if path is None:
            raise InputError(
                f"{data} has the columns {', '.join(table.columns)}, and none is known to name the inputs; "
                "say which with path=."
            )
        found = find_roles(table.columns, roles, data, path)
    if found.only is not None:
        _check_split(table, found.split or "", found.only, data)
    return TableSource(data, found, table)


@dataclass
class TableSource:
    """The inputs that a table lists.

    Args:
        data: its path or URL.
        roles: of its columns.
        table: its rows.
    """

    data: str
    roles: Roles
    table: Table
    kind: str = "table"
    columns: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None
    _unique: Unique = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Find out which columns are left for subgroups."""
        roles, names = self.roles, self.table.columns
        self._marked = marked_by(roles.annotation, names)
        self._own = next((name for name in names if simplify(name) in IDS and name != roles.path), None)
        used = {roles.path, roles.label, roles.annotation, roles.cluster, self._own, *self._marked}
        self.columns = tuple(name for name in names if name not in used)
        first = (_text(row[roles.path or ""]) for _, row in zip(range(_FIRST), self.table, strict=False))
        self._base = folder_with(folder_of(self.data), [name for name in first if name])
        self._unique = Unique(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Yield the rows' entries in the order of the table."""
        return iter(self._unique)

    def read(self, entry: Entry) -> tuple[Input, str]:
        """Return a row's input and the SHA-256 of its bytes.

        Raises:
            InputError: it cannot be read; the sentence says why.
        """
        if not entry.location:
            raise InputError(f"{entry.id} has nothing in the column {self.roles.path!r}; write its path.")
        return read_place(entry.location, entry.id)

    def annotation(self, entry: Entry) -> Any:
        """Return what an expert marked in a row's input: a mask, {"boxes": ...}, {"points": ...} or None.

        Raises:
            InputError: it cannot be read.
        """
        return read_annotation(entry.annotation, entry.id, entry.label, lambda: self.read(entry)[0].size)

    def fingerprint(self) -> str:
        """Return a SHA-256 of the table's own bytes and its roles."""
        return fingerprint_of_file(self.data, self.roles)

    def _entries(self) -> Iterator[Entry]:
        rows = ((number, row) for number, row in enumerate(self.table, start=1) if self._wanted(row))
        boxes: list[list[Any] | None] = []
        open_row: tuple[int, Row] | None = None
        for number, row in rows:
            if open_row and self._marked and self._same(open_row[1], row):
                boxes.append(self._shape(row))
                continue
            if open_row:
                yield self._entry(*open_row, boxes)
            open_row, boxes = (number, row), [self._shape(row)]
        if open_row:
            yield self._entry(*open_row, boxes)

    def _wanted(self, row: Row) -> bool:
        split, only = self.roles.split, self.roles.only
        return split is None or only is None or _text(row[split]) == only

    def _same(self, one: Row, other: Row) -> bool:
        """Return whether two rows mark two places of one input: they differ in nothing but the box."""
        return all(one[name] == other[name] for name in self.table.columns if name not in self._marked)

    def _shape(self, row: Row) -> list[Any] | None:
        """Return the box or point of a row, None where it is blank; what is no number is refused when read."""
        values = [_number(row[name]) for name in self._marked]
        return values if any(value is not None for value in values) else None

    def _entry(self, number: int, row: Row, shapes: Sequence[list[Any] | None]) -> Entry:
        roles = self.roles
        path = _text(row[roles.path or ""]) or ""
        own = _text(row[self._own]) if self._own else None
        return Entry(
            id=id_of(own or self._id(path) or f"row {number}"),
            location=join(self._base, path) if path else "",
            label=_label(_parent(path) if roles.label == PARENT else row.get(roles.label or "")),
            annotation=self._annotation(row, shapes),
            cluster=_parent(path, whole=True) if roles.cluster == PARENT else _text(row.get(roles.cluster or "")),
            columns={name: _column(row[name]) for name in self.columns},
        )

    def _id(self, path: str) -> str:
        """Return a path as the table has it, without what differs between machines or must not be shown."""
        if is_url(path):
            scheme, mark, rest = path.partition("?")[0].partition("://")
            return scheme + mark + rest.rpartition("@")[2]  # queries and users' names carry secrets
        if not is_absolute(path):
            return path
        place = Path(path)
        inside = place.is_relative_to(self._base)
        return place.relative_to(self._base).as_posix() if inside else "/".join(place.parts[-2:])

    def _annotation(self, row: Row, shapes: Sequence[list[Any] | None]) -> str | None:
        if self._marked:
            kind = "boxes" if len(self._marked) % 2 == 0 and "min" in self._marked[0].lower() else "points"
            return json.dumps({kind: [shape for shape in shapes if shape is not None]})
        text = shapes_text(row.get(self.roles.annotation or ""), self.roles.annotation or "")
        return text if text is None or text.startswith("{") else join(self._base, text)


def _is_document(data: str) -> bool:
    """Return whether a .json holds one object, not a list of rows."""
    from heatproof.audit.sources._places import open_bytes

    if not data.partition("?")[0].lower().endswith(".json"):
        return False
    with open_bytes(data) as file:
        return file.read(256).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")


def _check_split(table: Table, split: str, only: str, data: str) -> None:
    known = dict.fromkeys(_text(row[split]) for row in table)
    if only not in known:
        told = ", ".join(str(value) for value in list(known)[:10])
        raise UsageError(f"only={only!r} is no {split} of {data}, whose rows have {told}; name one of them.")


def _names_inputs(table: Table, column: str) -> bool:
    """Return whether the first cells of a column are names of files that can be read, or URLs."""
    cells = [row[column] for _, row in zip(range(_MANY), table, strict=False)]
    named = [isinstance(cell, str) and (is_url(cell) or format_of(cell) is not None) for cell in cells]
    return sum(named) > len(named) / 2


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _number(value: Any) -> Any:
    """Return a cell as a number where it is one: one odd cell makes its whole column text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _label(value: Any) -> str | int | None:
    if isinstance(value, str) and value.isdecimal() and (value == "0" or value[0] != "0"):
        return int(value)  # as above
    if value is None or isinstance(value, str):
        return value
    return int(value) if isinstance(value, bool | int) or float(value).is_integer() else str(value)


def _parent(path: str, whole: bool = False) -> str | None:
    folder = path.replace("\\", "/").rpartition("/")[0]
    return (folder if whole else folder.rpartition("/")[2]) or None


def _column(value: Any) -> Cell:
    if isinstance(value, str):
        return id_of(value).replace("\\\\", "\\")
    return value if value is None or isinstance(value, bool | int | float) else json.dumps(value)
