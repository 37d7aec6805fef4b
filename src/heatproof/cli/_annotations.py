"""An expert's annotations as files: a folder of masks, or boxes, points and masks by file name in JSON or CSV."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from heatproof.cli._named import Named
from heatproof.errors import InputError, UsageError, nearest

_FORM = (
    "a folder of masks named like the inputs, a .json {name: {'boxes': [...]}}, or a .csv with the columns "
    "file, x_min, y_min, x_max, y_max (or file, x, y; or file, mask)"
)
_MEND = "add what is marked there (nothing: an empty mask, null in JSON, a row with blank values in CSV)"


def read_annotations(source: Path, files: Sequence[Path]) -> list[Any]:
    """Return one annotation per file as `heatproof.check` takes them.

    Args:
        source: a folder of masks with the inputs' names (any suffix); a JSON object from file name to {"boxes": ...},
            {"points": ...}, a mask's path or null; or a table with one row per box, point or mask, x first.
        files: the inputs.

    Raises:
        InputError: the source cannot be read.
        UsageError: it names what is no input, lacks an input, or has another form.
    """
    named = Named(files)
    if source.is_dir():
        found = _from_folder(source, named)
    elif not source.is_file():
        raise InputError(f"--annotations {source} does not exist; give {_FORM}.")
    elif source.suffix.lower() == ".json":
        found = _from_json(source, named)
    elif source.suffix.lower() == ".csv":
        found = _from_table(source, named)
    else:
        raise UsageError(f"--annotations {source} has the suffix {source.suffix!r}; give {_FORM}.")
    named.complete(found, source, "have no annotation", _MEND)
    return [found[place] for place in range(len(files))]


def _from_folder(folder: Path, named: Named) -> dict[int, Any]:
    from heatproof.inputs import expand

    found: dict[int, Any] = {}
    for mask in expand(folder):
        place = named.place(mask.relative_to(folder).with_suffix("").as_posix(), folder)
        if place in found:
            raise UsageError(
                f"{found[place]} and {mask} both are masks of {named.files[place].name}; join them into one."
            )
        found[place] = mask
    return found


def _from_json(source: Path, named: Named) -> dict[int, Any]:
    try:
        told: Any = json.loads(source.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError) as error:
        raise InputError(f"{source} is not JSON ({' '.join(str(error).split())}); give {_FORM}.") from error
    if not isinstance(told, dict):
        raise UsageError(f"{source} holds a {type(told).__name__} instead of an object; give {_FORM}.")
    entries: dict[str, Any] = told
    found: dict[int, Any] = {}
    for name, entry in entries.items():
        _put(found, named, name, _entry(name, entry, source), source)
    return found


def _entry(name: str, entry: Any, source: Path) -> Any:
    """Return what JSON says of one input, checked as far as that goes without the input."""
    from heatproof.inputs.marks import is_shapes

    match entry:
        case None:
            return None
        case str():
            return source.parent / entry
        case dict() if is_shapes(entry):
            return entry
        case _:
            raise UsageError(
                f"{source} says {json.dumps(entry)[:60]} of {name!r}; write {{'boxes': [[x_min, y_min, x_max, "
                "y_max]]}, {'points': [[x, y]]}, a mask's path or null."
            )


def _from_table(source: Path, named: Named) -> dict[int, Any]:
    columns, rows = read_table(source)
    key, kind, wanted = columns[0], *_columns(columns, source)
    found: dict[int, Any] = {}
    for row in rows:
        values = [row[column] for column in wanted]
        if not any(values):
            _put(found, named, row[key], None, source)
        elif kind == "mask":
            _put(found, named, row[key], source.parent / values[0], source)
        else:
            try:
                shape = [float(value) for value in values]
            except ValueError:
                raise UsageError(
                    f"{source} says {','.join(values)} of {row[key]!r}; give {len(wanted)} numbers."
                ) from None
            place = named.place(row[key], source)
            if found.setdefault(place, {kind: []}) is None:
                raise UsageError(f"{source} marks something and nothing in {row[key]!r}; remove one of the rows.")
            found[place][kind].append(shape)
    return found


def _columns(columns: Sequence[str], source: Path) -> tuple[str, list[str]]:
    """Return what a table holds, by its columns, and these in order."""
    from heatproof.inputs.marks import marked_columns

    found = marked_columns(columns)
    if found is None:
        raise UsageError(f"{source} has the columns {', '.join(columns)}; give {_FORM}.")
    return found


def _put(found: dict[int, Any], named: Named, name: str, entry: Any, source: Path) -> None:
    place = named.place(name, source)
    if place in found:
        raise UsageError(f"{source} has several entries for {named.files[place].name}; join them into one.")
    found[place] = entry


def read_table(source: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Return a CSV's columns and its rows; the first column holds file names.

    Raises:
        InputError: it cannot be read, has no rows, or a row has another length than the heading.
    """
    try:
        with source.open(encoding="utf-8-sig", newline="") as file:
            lines = [[cell.strip() for cell in line] for line in csv.reader(file) if any(line)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"The table {source} cannot be read ({error}); give a CSV in UTF-8.") from error
    if len(lines) < 2:
        raise InputError(f"The table {source} has no rows; give a heading and one row per input.")
    head, *rows = lines
    for number, row in enumerate(rows, start=2):
        if len(row) != len(head):
            raise InputError(f"Row {number} of {source} has {len(row)} values for {len(head)} columns; mend it.")
    return head, [dict(zip(head, row, strict=True)) for row in rows]


def read_clusters(column: str, table: Path | None, files: Sequence[Path]) -> list[str]:
    """Return what each file belongs to: its value in a column of the table, or the folder that it lies in ("parent").

    Raises:
        InputError: the table cannot be read.
        UsageError: there is no such column, two rows name one input, or an input has no value.
    """
    if table is None:
        if column != "parent":
            raise UsageError(
                f"--cluster-by {column} names a column, but there is no table; add --table FILE.csv whose first column "
                "holds the file names, or use --cluster-by parent for the folders."
            )
        return [str(file.absolute().parent) for file in files]
    columns, rows = read_table(table)
    if column not in columns[1:]:
        close = nearest(column, columns[1:], 1) or "; name one of them."
        raise UsageError(f"{table} has the columns {', '.join(columns)} but no {column!r} after the file names{close}")
    named = Named(files)
    found: dict[int, Any] = {}
    for row in rows:
        if row[column] and row[columns[0]] in named:  # a table may know more inputs than these
            _put(found, named, row[columns[0]], row[column], table)
    named.complete(found, table, f"have no {column}", "add their rows")
    return [found[place] for place in range(len(files))]
