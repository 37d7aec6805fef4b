"""Signals in tables: CSV and TSV, one row a sample, one column a channel."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from heatproof.errors import InputError, nearest
from heatproof.inputs.assemble import assemble
from heatproof.types import Axis, Input

NAME = "table"
ALIASES = (".csv", ".tsv")
TIER = "core"

_DELIMITERS = ",;\t"
_UNIT = re.compile(r"^(?P<name>.*?)\s*[(\[](?P<unit>[^)\]]*)[)\]]$")  # "wavelength (nm)", "time [s]"


def read(
    path: Path,
    *,
    name: str,
    axis: str | Axis | None = None,
    channels: Sequence[str] | None = None,
    allow_nan: bool = False,
) -> Input:
    """Read a 1-D signal with one channel per column.

    A first row that holds no number is the header. Lines that begin with "#" and blank lines are skipped. Columns are
    separated by comma, semicolon or tab, whichever splits the first line most often.

    Args:
        path: the file, UTF-8.
        name: what reports call it.
        axis: header of the column that holds the coordinates, with or without its unit ("time" finds "time [s]"), or
            an `Axis`; None makes every column a channel, and the coordinates 0, 1, 2, ...
        channels: headers of the columns to take as channels, in this order; None takes all but the axis.
        allow_nan: let empty cells and values that are not finite through, as NaN.

    Raises:
        InputError: no text, no rows, ragged rows, a cell that is no number, or a column that does not exist.
    """
    header, rows = _parse(path, name)
    taken = list(range(len(header)))
    if isinstance(axis, str):
        column = _column(axis, header, name)
        taken.remove(column)
        axis = _axis(header[column], _numbers(header, rows, [column], name)[0])
    if channels is not None:
        taken = [_column(channel, header, name) for channel in channels]
    if not taken:
        raise InputError(f"{name} has no column but the axis; it needs at least one more, for the channel.")
    data = torch.from_numpy(_numbers(header, rows, taken, name))
    return assemble(data, name=name, axis=axis, channels=[header[i] for i in taken], source=path, allow_nan=allow_nan)


def _parse(path: Path, name: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the header, made up where there is none, and the rows with their line numbers."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{name} is no UTF-8 text ({error.reason} at byte {error.start}); save it as UTF-8."
        ) from error
    lines = [(i, line) for i, line in enumerate(text.splitlines(), start=1) if line.strip() and line.lstrip()[0] != "#"]
    if not lines:
        raise InputError(f"{name} has no rows; give a table with one row per sample.")
    delimiter = max(_DELIMITERS, key=lines[0][1].count)
    try:
        cells = csv.reader((line for _, line in lines), delimiter=delimiter, strict=True)
        rows = [(i, [cell.strip() for cell in row]) for (i, _), row in zip(lines, cells, strict=True)]
    except (csv.Error, ValueError) as error:
        raise InputError(f"{name} is no intact table ({error}); quote no line breaks, close every quote.") from error
    first = rows[0][1]
    if any(_is_number(cell) for cell in first):
        return [f"column {i}" for i in range(len(first))], rows
    if len(rows) == 1:
        raise InputError(f"{name} has a header ({', '.join(first)}) and no rows; give one row per sample.")
    return first, rows[1:]


def _numbers(header: list[str], rows: list[tuple[int, list[str]]], columns: list[int], name: str) -> np.ndarray:
    """Return (column, row) for the given columns."""
    table = np.empty((len(columns), len(rows)))
    for out, (line, row) in zip(table.T, rows, strict=True):
        if len(row) != len(header):
            raise InputError(f"{name}, line {line}: {len(row)} cells instead of {len(header)}; fill or cut the row.")
        for place, i in enumerate(columns):
            cell = row[i]
            try:
                out[place] = float(cell) if cell else np.nan
            except ValueError as error:
                raise InputError(
                    f"{name}, line {line}: {cell!r} in column {header[i]!r} is no number; "
                    "take other columns with channels=, and let no name in a header be a number."
                ) from error
    return table


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _column(wanted: str, header: list[str], name: str) -> int:
    if header.count(wanted) > 1:
        raise InputError(f"{name} has {header.count(wanted)} columns {wanted!r}; give each a name of its own.")
    if wanted in header:
        return header.index(wanted)
    bare = [_axis(title).name for title in header]
    if bare.count(wanted) == 1:
        return bare.index(wanted)
    raise InputError(f"{name} has no column {wanted!r}{nearest(wanted, header) or '.'} It has {', '.join(header)}.")


def _axis(title: str, coordinates: np.ndarray | None = None) -> Axis:
    match = _UNIT.match(title)
    if match is None:
        return Axis(title, None, coordinates)
    return Axis(match["name"], match["unit"].strip() or None, coordinates)
