"""Labels and preprocessing as users give them: values, mappings or files."""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from heatproof.errors import ModelError, UsageError, nearest
from heatproof.inputs.prepare import Preprocess
from heatproof.models.model import Labels, as_labels


def read_labels(labels: Labels | str | Path | None) -> tuple[str, ...] | None:
    """Return labels from a list, a mapping, or a .json or .txt file.

    Raises:
        ModelError: the file cannot be read, or does not hold labels.
    """
    if labels is None:
        return None
    if not isinstance(labels, str | Path):
        return as_labels(labels)
    path = Path(labels).expanduser()
    if path.suffix.lower() == ".json":
        found = _read_json(path, "labels")
        if not isinstance(found, list | dict):
            raise ModelError(
                f"labels: {path} holds {found!r:.80}, not a list of names or a mapping from index to name."
            )
        return as_labels(found)
    if path.suffix.lower() == ".txt":
        return as_labels(_read_text(path, "labels").strip("\n").split("\n"))
    raise ModelError(f"labels={str(labels)!r} must be a list of names, or the path of a .json or .txt file.")


def read_preprocess(
    preprocess: Preprocess | Callable[[Any], Any] | Mapping[str, Any] | str | Path | None,
) -> Preprocess | Callable[[Any], Any] | None:
    """Return preprocessing from a `Preprocess`, a dict of its fields, a .json file with them, or any function.

    Raises:
        ModelError: the file cannot be read, or a field does not exist or has no valid value.
    """
    if preprocess is None or callable(preprocess):
        return preprocess
    where = "preprocess"
    if isinstance(preprocess, str | Path):
        path = Path(preprocess).expanduser()
        where, found = f"preprocess ({path.name})", _read_json(path, "preprocess")
        if not isinstance(found, dict):
            raise ModelError(f"{where}: the file holds {found!r:.80}, not a mapping of Preprocess fields.")
        preprocess = found
    known = [field.name for field in fields(Preprocess)]
    for key in preprocess:
        if key not in known:
            raise ModelError(f"{where} has no field {key!r}{nearest(str(key), known)}; it has {', '.join(known)}.")
    values: dict[str, Any] = {key: tuple(v) if isinstance(v, list) else v for key, v in preprocess.items()}
    try:
        return Preprocess(**values)
    except (UsageError, TypeError) as error:
        raise ModelError(f"{where}: {error}") from error


def _read_text(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"{what}: {path} cannot be read: {error}.") from error


def _read_json(path: Path, what: str) -> Any:
    try:
        return json.loads(_read_text(path, what))
    except json.JSONDecodeError as error:
        raise ModelError(f"{what}: {path} is not valid JSON: {error}.") from error
