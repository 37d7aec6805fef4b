"""Annotations of many inputs in one file, by the inputs' names: JSON objects and CSV tables."""

import json
from collections.abc import Mapping
from typing import Any

from heatproof.audit.sources._annotation import shapes_text
from heatproof.audit.sources._names import id_of
from heatproof.audit.sources._places import folder_of, join, open_bytes
from heatproof.audit.sources._rows import is_table, open_table
from heatproof.errors import InputError, UsageError
from heatproof.inputs.marks import marked_columns


class NamedAnnotations:
    """What a file says of each input, found by as much of the input's path as the file writes.

    Args:
        place: a .json, {name: {"boxes": ...}, {"points": ...}, a mask's path or null}; or a table whose first column
            is the name, with the columns mask, x_min, ... or x, y, and one row per mask, box or point.

    Raises:
        InputError: it cannot be read.
        UsageError: it marks nothing.
    """

    def __init__(self, place: str) -> None:
        self._base = folder_of(place)
        self._told = _from_json(place) if place.lower().endswith(".json") else _from_table(place)

    def of(self, path: str) -> str | None:
        """Return what is marked in the input at a path, as the text of an entry's annotation."""
        stem = path[: path.rfind(".")] if "." in path.rpartition("/")[2] else path
        for name in (path, stem):
            while True:
                if name in self._told:
                    text = shapes_text(self._told[name])
                    return text if text is None or text.startswith("{") else id_of(join(self._base, text))
                if "/" not in name:
                    break
                name = name.partition("/")[2]
        return None


def _from_json(place: str) -> Mapping[str, Any]:
    with open_bytes(place) as file:
        try:
            told: Any = json.loads(file.read())
        except ValueError as error:
            raise InputError(f"{place} is not JSON ({' '.join(str(error).split())}); mend it.") from error
    if not isinstance(told, dict):
        raise UsageError(f"{place} holds a {type(told).__name__}; write an object, name -> {{'boxes': [...]}}.")
    return told


def _from_table(place: str) -> Mapping[str, Any]:
    if not is_table(place):
        raise UsageError(f"{place} is neither a folder, a .json nor a table, so that it cannot hold annotations.")
    table = open_table(place)
    key = table.columns[0]
    found = marked_columns(table.columns[1:])
    if found is None:
        raise UsageError(
            f"{place} has the columns {', '.join(table.columns)}; add mask, or x_min, y_min, x_max, y_max."
        )
    kind, columns = found
    told: dict[str, Any] = {}
    for row in table:
        values = [row[column] for column in columns]
        name = str(row[key])
        if kind == "mask":
            told[name] = values[0]
        elif all(value is None for value in values):
            told.setdefault(name, {kind: []})
        else:
            told.setdefault(name, {kind: []})[kind].append(values)
    return told
