"""An explanation as a folder of files that stand on their own; the manifest comes last and proves it is whole."""

import hashlib
import io
import json
import math
import os
import platform
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import numpy as np
import PIL
import torch

import heatproof
from heatproof.errors import InputError
from heatproof.report.labelled import to_xarray
from heatproof.report.notebook import notebook_html
from heatproof.report.overlay import overlay
from heatproof.report.view import OPACITY, THRESHOLD
from heatproof.types import Axis, Explanation, Geometry, Input

__all__ = ["MANIFEST", "notebook_html", "save_bundle", "to_xarray"]

MANIFEST = "manifest.json"
_FORMAT = "heatproof explanation 1"


def save_bundle(ex: Explanation, folder: str | Path) -> Path:
    """Write overlays, `map.npz` and, last, `manifest.json` into a folder; return the folder.

    One map gives `overlay.png`, several give `overlay_<input>_<target>.png`. Every file is written aside and then moved
    into place, so that a reader sees it whole or not at all. A folder without a manifest is an unfinished bundle. An
    earlier bundle in the folder is replaced, other files in it are left alone. The same explanation gives the same
    bytes.

    Raises:
        InputError: the folder is a file or cannot be written.
    """
    folder = Path(folder)
    if "\0" in str(folder):
        raise InputError(f"{str(folder)!r} cannot be written (it holds a null character); name a folder that can be.")
    try:
        if folder.exists() and not folder.is_dir():
            raise InputError(f"{folder} is a file, so no results can be written into it; name a folder.")
        return _save(ex, folder)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{folder} cannot be written ({reason}); name a folder that can be.") from error


def _save(ex: Explanation, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / MANIFEST
    earlier = _files_of(manifest)
    manifest.unlink(missing_ok=True)  # from here on the folder is an unfinished bundle
    names = overlay_names(ex)
    files: dict[str, dict[str, Any]] = {}
    for index, row in enumerate(names):
        for target, name in enumerate(row):
            files[name] = _write(folder / name, _png(ex, index, target))
    files["map.npz"] = _write(folder / "map.npz", _arrays(ex))
    for name in earlier - files.keys():
        (folder / name).unlink(missing_ok=True)
    text = json.dumps(_manifest(ex, names, files), indent=2, ensure_ascii=False, allow_nan=False)
    # a name that is not UTF-8 reaches us as lone surrogates; written as JSON's \udcff it comes back as it was
    _write(manifest, text.encode(errors="backslashreplace") + b"\n")
    return folder


def overlay_names(ex: Explanation) -> list[list[str]]:
    """Return the file name of every overlay, per input and target."""
    if len(ex) == 1 and len(ex.targets[0]) == 1:
        return [["overlay.png"]]
    digits = len(str(len(ex) - 1))
    names: list[list[str]] = []
    for index, targets in enumerate(ex.targets):
        slugs = [_slug(target.name) for target in targets]
        # told apart by number where names are equal, also on file systems that do not tell "A" from "a"
        twice = len({slug.lower() for slug in slugs}) < len(slugs)
        stems = [f"{position}-{slug}" if twice else slug for position, slug in enumerate(slugs)]
        names.append([f"overlay_{index:0{digits}}_{stem}.png" for stem in stems])
    return names


def _slug(text: str) -> str:
    """Return a label as part of a file name that every file system takes."""
    kept = "".join(c if c.isalnum() and c.isascii() else "-" for c in text)
    return "-".join(part for part in kept.split("-") if part)[:60] or "target"


def _png(ex: Explanation, index: int, target: int) -> bytes:
    buffer = io.BytesIO()
    overlay(ex, index, target).save(buffer, format="PNG")
    return buffer.getvalue()


def _arrays(ex: Explanation) -> bytes:
    """Return everything numerical as an .npz that loads without pickle."""
    buffer = io.BytesIO()
    dims = range(len(ex.input_size))
    np.savez_compressed(
        buffer,
        maps=ex.to_numpy(),
        scores=ex.scores.detach().double().cpu().numpy(),
        targets=np.array([[target.name for target in row] for row in ex.targets], dtype=np.str_),
        grid=np.array(ex.resolution.grid, dtype=np.int64),
        spacing=np.array(ex.resolution.spacing, dtype=np.float64),
        input_size=np.array(ex.input_size, dtype=np.int64),
        original_size=np.array([[g.original_size[d] for d in dims] for g in ex.geometries], dtype=np.int64),
        scale=np.array([[g.scale[d] for d in dims] for g in ex.geometries], dtype=np.float64),
        offset=np.array([[g.offset[d] for d in dims] for g in ex.geometries], dtype=np.float64),
    )
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> dict[str, Any]:
    """Write a file aside, move it into place, and return its size and SHA-256."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with aside.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            aside.unlink(missing_ok=True)
        raise
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def _files_of(manifest: Path) -> set[str]:
    """Return the files of an earlier bundle; none if its manifest is not one of ours."""
    try:
        known = json.loads(manifest.read_bytes())
    except (FileNotFoundError, ValueError):
        return set()
    if not isinstance(known, dict) or cast("dict[str, Any]", known).get("format") != _FORMAT:
        return set()
    names = cast("dict[str, Any]", known).get("files")
    if not isinstance(names, dict):
        return set()
    # only plain names of files: a manifest that someone changed must not reach beyond its folder
    return {
        name
        for name in cast("dict[str, Any]", names)
        if Path(name).name == name and name != MANIFEST and (manifest.parent / name).is_file()
    }


def _manifest(ex: Explanation, names: list[list[str]], files: dict[str, dict[str, Any]]) -> dict[str, Any]:
    content = {
        "format": _FORMAT,
        "versions": {
            "heatproof": heatproof.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "pillow": PIL.__version__,
            "matplotlib": mpl.__version__,
        },
        "model": ex.model,
        "method": ex.method,
        "layer": ex.layer,
        "resolution": asdict(ex.resolution),
        "input_size": ex.input_size,
        "display": {"opacity": OPACITY, "threshold": THRESHOLD},
        "provenance": ex.provenance,
        "inputs": [_about_input(ex, index, names[index]) for index in range(len(ex))],
        "files": files,
    }
    return plain(content)


def _about_input(ex: Explanation, index: int, names: list[str]) -> dict[str, Any]:
    given: Input = ex.inputs[index]
    geometry: Geometry = ex.geometries[index]
    return {
        "name": given.name,
        "source": given.source,
        "sha256": data_digest(given),
        "size": given.size,
        "channels": given.channels,
        "axes": [_about_axis(axis) for axis in given.axes],
        "geometry": asdict(geometry),
        "targets": [_about_map(ex, index, target, name) for target, name in enumerate(names)],
    }


def _about_map(ex: Explanation, index: int, target: int, name: str) -> dict[str, Any]:
    values = ex.maps[index, target].detach()
    checked = () if ex.quick_checks is None else ex.quick_checks[index][target : target + 1]  # the first target's only
    return {
        "name": ex.targets[index][target].name,
        "index": ex.targets[index][target].index,
        "score": float(ex.scores[index, target].detach()),
        "minimum": float(values.min()),
        "maximum": float(values.max()),
        "flags": ex.flags[index][target],
        "overlay": name,
        "quick_checks": asdict(checked[0]) if checked else None,
    }


def _about_axis(axis: Axis) -> dict[str, Any]:
    ends = None if axis.coordinates is None else [float(axis.coordinates[0]), float(axis.coordinates[-1])]
    return {"name": axis.name, "unit": axis.unit, "ends": ends, "periodic": axis.periodic}


def data_digest(given: Input) -> str:
    """Return the SHA-256 of an input's values: little-endian float32, channels first, in C order."""
    values = np.ascontiguousarray(given.data.detach().float().cpu().numpy(), dtype="<f4")
    return hashlib.sha256(values.reshape(-1).data).hexdigest()


def plain(value: Any) -> Any:
    """Return a value in JSON's own types; what has none, NaN and infinity among it, becomes text."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, np.generic | np.ndarray):
        return plain(value.tolist())
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in cast("set[Any]", value)), key=str)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [plain(item) for item in cast("Sequence[Any]", value)]
    return str(value)
