"""A folder of results that is never half-written: files are moved into place one by one, the document last."""

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch


def write_folder(folder: Path, made: Mapping[str, bytes], document: str, form: str, told: Mapping[str, Any]) -> None:
    """Write the files, then the document, which says by its presence that the folder is whole.

    Files of an earlier run with a document of the same form are replaced, and those that this run does not make are
    removed.

    Args:
        folder: made if need be.
        made: contents by file name.
        document: name of the JSON document.
        form: its format's name, under "format".
        told: its contents, with the names of the files under "files".
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / document
    earlier = _files_of(path, form)
    path.unlink(missing_ok=True)  # from here on the folder is unfinished
    for name, data in made.items():
        _write(folder / name, data)
    for name in earlier - made.keys():
        (folder / name).unlink(missing_ok=True)
    _write(
        path, json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False).encode(errors="backslashreplace") + b"\n"
    )


def _write(path: Path, data: bytes) -> None:
    """Write a file aside and move it into place, so that it is there as a whole or not at all."""
    aside = path.with_name(f".{path.name}.part")
    aside.write_bytes(data)
    aside.replace(path)


def _files_of(document: Path, form: str) -> set[str]:
    """Return the files of an earlier run; none if its document is not one of ours."""
    try:
        told: Any = json.loads(document.read_bytes())
    except (FileNotFoundError, ValueError):
        return set()
    listed = told.get("files", []) if isinstance(told, dict) and told.get("format") == form else []
    return {name for name in listed if isinstance(name, str) and Path(name).name == name}


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if value - value == 0 else None
        case torch.Tensor():
            return plain(value.tolist())
        case np.ndarray() | np.generic():
            return plain(value.tolist())
        case Mapping():
            return {str(key): plain(one) for key, one in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(one) for one in value]
        case _ if is_dataclass(value):
            return {field.name: plain(getattr(value, field.name)) for field in fields(value) if field.repr}
        case _:
            return str(value)
