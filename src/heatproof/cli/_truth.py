"""Labelled data: a table of files and labels, or a folder with one folder per class."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

from heatproof.cli._batches import Skipped
from heatproof.errors import InputError

if TYPE_CHECKING:
    from heatproof.models import Model


def read_truth(data: Path, model: "Model", skipped: Skipped) -> dict[Path, int] | None:
    """Return the class index of every file, or None where the data carry no labels.

    A CSV carries them if it has the columns `file` and `label` (a class index or name; paths are relative to the
    table). A folder carries them if its files lie in folders named after classes; for a model without labels these
    are numbered in sorted order, as torchvision's ImageFolder does.

    Raises:
        InputError: a table without rows, or in which a file or a label is missing.
        TargetError: a label that the model does not have.
    """
    if data.is_file() and data.suffix.lower() == ".csv":
        return _from_table(data, model)
    if data.is_dir():
        return _from_folders(data, model, skipped)
    return None


def _from_table(table: Path, model: "Model") -> dict[Path, int] | None:
    with table.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        if not {"file", "label"} <= set(reader.fieldnames or ()):
            return None  # a signal in columns, for example
        rows = list(reader)
    if not rows:
        raise InputError(f"{table} has the columns file and label but no rows; add one row per file.")
    truth: dict[Path, int] = {}
    for number, row in enumerate(rows, start=2):
        if not row["file"] or not row["label"]:
            raise InputError(f"line {number} of {table} lacks a file or a label; fill it in, or delete the line.")
        truth[table.parent / row["file"]] = _index(row["label"], model)
    return truth


def _from_folders(folder: Path, model: "Model", skipped: Skipped) -> dict[Path, int] | None:
    from heatproof.inputs import expand

    classes = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(classes) < 2:
        return None
    truth: dict[Path, int] = {}
    for position, one in enumerate(classes):
        index = position if model.labels is None else _index(one.name, model)
        try:
            truth.update(dict.fromkeys(expand(one), index))
        except InputError as error:
            skipped.reasons[str(one)] = str(error)
    return truth


def _index(label: str, model: "Model") -> int:
    return int(label) if label.isdecimal() else model.index(label)
