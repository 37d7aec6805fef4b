"""Tables as rows, one at a time: CSV, TSV, JSON lines, JSON and Parquet, with one type per column."""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from heatproof.audit.entry import Cell
from heatproof.audit.sources._places import open_bytes
from heatproof.errors import InputError, MissingExtraError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
_INTEGER = re.compile(r"[+-]?(0|[1-9]\d{0,17})")  # "007" is a name
_FLOAT = re.compile(r"[+-]?((0|[1-9]\d*)?\.\d+|(0|[1-9]\d*)\.?)([eE][+-]?\d+)?")
_MISSING = ("", "na", "n/a", "nan", "null", "none")
_RANKS = (bool, int, float)
_BATCH = 1024

Row = Mapping[str, Any]
_Raw = Iterator[dict[str, Any]]


@dataclass(frozen=True)
class Table:
    """A table's columns and how to read its rows again and again.

    Attributes:
        place: path or URL.
        columns: their names, in order.
        kinds: for each, what its cells are: bool, int, float, str, or object (lists and objects, as they are).
    """

    place: str
    columns: tuple[str, ...]
    kinds: Mapping[str, type]

    def __iter__(self) -> Iterator[Row]:
        """Yield the rows, one at a time: column -> value of the column's kind, None where there is none."""
        for row in _reader(self.place)(self.place):
            yield {column: _cell(row.get(column), self.kinds[column]) for column in self.columns}


def open_table(place: str) -> Table:
    """Read a table once, for its columns and their kinds.

    Raises:
        InputError: it cannot be read, has no rows, or a row is broken; the sentence says which.
        MissingExtraError: it is Parquet, and pyarrow is not installed.
    """
    kinds: dict[str, type | None] = {}
    empty = True
    for row in _reader(place)(place):
        empty = False
        for column, value in row.items():
            before = kinds.get(column)
            if before is not str or not isinstance(value, str):  # what is text stays text
                kinds[column] = _wider(before, _kind(value))
    if empty:
        raise InputError(f"The table {place} has no rows; give a heading and one row per input.")
    return Table(place, tuple(kinds), {column: kind or str for column, kind in kinds.items()})


def is_table(place: str) -> bool:
    """Return whether a place has the suffix of a table."""
    return place.partition("?")[0].lower().endswith(SUFFIXES)


def _reader(place: str) -> Callable[[str], _Raw]:
    name = place.partition("?")[0].lower()
    if name.endswith(".parquet"):
        return _parquet
    if name.endswith((".jsonl", ".ndjson")):
        return _json_lines
    return _json if name.endswith(".json") else _delimited


@contextmanager
def _text(place: str) -> Generator[io.TextIOWrapper]:
    """Open a text; bytes that are not UTF-8 stay as they are (file names may hold such)."""
    with open_bytes(place) as file:
        head = file.read(2)
    encoding = "utf-16" if head in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"  # some spreadsheets write the former
    with open_bytes(place) as file, io.TextIOWrapper(file, encoding, "surrogateescape", newline="") as text:
        yield text


def _delimited(place: str) -> _Raw:
    with _text(place) as text:
        first = text.readline()
        delimiter = "\t" if place.lower().endswith(".tsv") else max(",;\t", key=first.count)
    with _text(place) as text:
        lines = csv.reader(text, delimiter=delimiter)
        try:
            head = _head(next(lines, []), place)
            for row in lines:
                if not any(row):
                    continue
                if len(row) != len(head):
                    raise InputError(
                        f"Line {lines.line_num} of {place} has {len(row)} values for {len(head)} columns; mend it."
                    )
                yield dict(zip(head, row, strict=True))
        except (csv.Error, UnicodeError) as error:
            raise InputError(f"Line {lines.line_num} of {place} cannot be read ({error}); mend it.") from error


def _head(cells: list[str], place: str) -> list[str]:
    head = [cell.strip() or f"column {i}" for i, cell in enumerate(cells)]
    twice = sorted({name for name in head if head.count(name) > 1})
    if twice:
        raise InputError(f"{place} has several columns {twice[0]!r}; give each a name of its own.")
    return head


def _json_lines(place: str) -> _Raw:
    with _text(place) as text:
        for number, line in enumerate(text, start=1):
            if not line.strip():
                continue
            try:
                row: Any = json.loads(line)
            except ValueError as error:
                raise InputError(f"Line {number} of {place} is no JSON ({error}); mend it.") from error
            if not isinstance(row, dict):
                raise InputError(f"Line {number} of {place} is no object; write {{column: value, ...}} on each line.")
            yield row


def _json(place: str) -> _Raw:
    with _text(place) as text:
        try:
            rows: Any = json.load(text)
        except ValueError as error:
            raise InputError(f"{place} is no JSON ({error}); mend it.") from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{place} is no list of objects; write [{{column: value, ...}}, ...].")
    yield from rows


def _parquet(place: str) -> _Raw:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as error:
        raise MissingExtraError("pyarrow", "audit") from error
    with open_bytes(place) as file:
        try:
            table = pq.ParquetFile(file)
            kept = [field.name for field in table.schema_arrow if not _is_bytes(field.type)]
            for batch in table.iter_batches(batch_size=_BATCH, columns=kept):
                yield from batch.to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"{place} is no intact Parquet file ({' '.join(str(error).split())}).") from error


def _is_bytes(kind: Any) -> bool:
    """Return whether a column holds pictures or other bytes, which are no roles, but may be large."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(_is_bytes(field.type) for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _kind(value: Any) -> type | None:
    """Return what a value is, or None where there is none."""
    if isinstance(value, str):
        return _kind_of_text(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return next((kind for kind in (*_RANKS, list, dict) if isinstance(value, kind)), str)


def _kind_of_text(text: str) -> type | None:
    if text.strip().lower() in _MISSING:
        return None
    if _INTEGER.fullmatch(text):
        return int
    if _FLOAT.fullmatch(text):
        return float
    return bool if text.lower() in ("true", "false") else str


def _wider(one: type | None, other: type | None) -> type | None:
    """Return the kind that holds both."""
    one, other = (object if kind in (list, dict) else kind for kind in (one, other))
    if one is None or other is None or one is other:
        return one or other
    return float if {one, other} == {int, float} else object if object in (one, other) else str


def _cell(value: Any, kind: type) -> Any:
    if isinstance(value, str):
        return _cell_of_text(value, kind)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if kind is object:
        return value
    return kind(value)


def _cell_of_text(text: str, kind: type) -> Cell:
    if kind in (str, object):
        return text if text.strip() else None
    if text.strip().lower() in _MISSING:
        return None
    return text.lower() == "true" if kind is bool else kind(text)
