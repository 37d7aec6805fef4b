"""Reading tensors out of a checkpoint file, whatever a trainer wrapped them in, without running any code in it."""

import io
import threading
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from heatproof.errors import ModelError
from heatproof.models.inert import Inert, imports_of, refuse_hostile, stand_ins

# Where trainers put the weights. Averaged weights come first: they are what trainers evaluate and publish.
WRAPPERS = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema", "model_ema_state_dict"),
    *(
        "state_dict",
        "model_state_dict",
        "model",
        "net",
        "network",
        "module",
        "weights",
        "params",
        "generator",
        "checkpoint",
    ),
)
_LEGACY_PICKLES = 5  # torch.save before 1.6: magic number, protocol, system, the object, keys of its storages
_LOCK = threading.Lock()


def read_weights(path: Path) -> tuple[dict[str, Tensor], str]:
    """Return the state dict in a .safetensors, .pt, .pth or .ckpt file, and the key it was found under.

    Among several, averaged (EMA) weights are preferred; "" means that the file itself is the state dict.

    Raises:
        ModelError: the file is no checkpoint, or TorchScript, or a pickled network, or would run code.
    """
    try:
        found = _read_safetensors(path) if path.suffix.lower() == ".safetensors" else _read_pickle(path)
        return _unwrap(found)
    except ModelError as error:
        raise ModelError(f"{path.name} cannot be loaded: {str(error).rstrip('.')}.") from error


def is_exported(path: Path) -> bool:
    """Whether a file is a program of torch.export, by its content or its suffix."""
    if path.suffix.lower() == ".pt2":
        return True
    return zipfile.is_zipfile(path) and any(
        name.rpartition("/")[2] in ("archive_format", "serialized_exported_program.json") for name in _entries(path)
    )


def _entries(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise ModelError(f"the archive is damaged: {error}") from error


def _entry(path: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    # zipfile's own errors for damaged, encrypted and unknown compressions
    except (zipfile.BadZipFile, OSError, RuntimeError, zlib.error) as error:
        raise ModelError(f"the archive is damaged: {error}") from error


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise ModelError(f"it is no safetensors file, or a damaged one ({error})") from error


def _read_pickle(path: Path) -> Any:
    """Load with `weights_only=True`; what torch does not know becomes a stand-in that does nothing."""
    names = _imports(path)
    refuse_hostile(names)
    # the list of safe names belongs to the whole process: one reader at a time, and only while it reads
    with _LOCK:
        # what the process itself has declared safe stays what it is
        declared = {_full_name(item) for item in torch.serialization.get_safe_globals()}
        unknown = stand_ins({name: kind for name, kind in names.items() if name not in declared})
        try:
            with torch.serialization.safe_globals(list(unknown)):
                return torch.load(path, map_location="cpu", weights_only=True)
        # a damaged or forged file can make torch raise nearly anything
        except Exception as error:
            raise ModelError(_reason(error)) from error


def _reason(error: Exception) -> str:
    """Return torch's own reason, without its advice to load the file unsafely."""
    text = str(error).rpartition("WeightsUnpickler error:")[2].strip()
    if "persistent_load of storage" in text:  # torch.save before 1.6 wrote the source code of pickled networks this way
        return (
            "it holds a whole pickled network, which only running its code could bring back; "
            "in the code that made it, save the weights: torch.save(net.state_dict(), PATH)"
        )
    return f"torch.load(weights_only=True) refuses it ({next(iter(text.splitlines()), type(error).__name__)})"


def _imports(path: Path) -> dict[str, str]:
    """Return what the pickle in a file would import.

    Raises:
        ModelError: it is no pickle of torch.save, or TorchScript.
    """
    with path.open("rb") as file:
        start = file.read(512)
        file.seek(0)
        if start[:2] == b"PK":
            entries = _entries(path)
            if any(entry.endswith("constants.pkl") for entry in entries):
                raise ModelError(
                    "it is TorchScript, whose layers run inside an interpreter, where activations cannot be read; "
                    "save the Python network's state_dict(), or export it with torch.export (.pt2)"
                )
            pickle = next((entry for entry in entries if entry.endswith("data.pkl")), None)
            if pickle is None:
                raise ModelError("it is a zip archive, but not one of torch.save")
            return imports_of(io.BytesIO(_entry(path, pickle)))
        if start.startswith(b"version https://git-lfs"):
            raise ModelError("it is a Git LFS pointer, not the weights; fetch them with 'git lfs pull'")
        if not start:
            raise ModelError("the file is empty; fetch it again")
        if start[:1] != b"\x80":
            raise ModelError(f"it is no checkpoint of torch.save (it begins with {start[:16]!r})")
        return imports_of(file, _LEGACY_PICKLES)


def _full_name(item: Any) -> str:
    return item[1] if isinstance(item, tuple) else f"{item.__module__}.{item.__qualname__}"


def _unwrap(found: Any, under: str = "") -> tuple[dict[str, Tensor], str]:
    """Go down through wrappers to the mapping of names to tensors."""
    if isinstance(found, Inert) and found.is_module:
        raise ModelError(
            f"it holds a whole pickled network ({found.name}), which only running its code could bring back; "
            "in the code that made it, save the weights: torch.save(net.state_dict(), PATH)"
        )
    if not isinstance(found, Mapping):
        what = found.name if isinstance(found, Inert) else type(found).__name__
        raise ModelError(f"it holds a {what}, not a state dict; save net.state_dict()")
    tensors = {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
    problem: ModelError | None = None
    for key in WRAPPERS:
        if isinstance(found.get(key), Mapping | Inert):
            try:
                return _unwrap(found[key], f"{under}.{key}" if under else key)
            except ModelError as error:  # e.g. a pickled network under "ema" beside a state dict
                problem = problem or error
    if tensors and len(tensors) >= len(found) / 2:
        odd = [f"{key} ({value.name})" for key, value in found.items() if isinstance(value, Inert)]
        if odd:
            raise ModelError(f"these weights are no tensors: {', '.join(odd[:10])}; save them as tensors")
        return tensors, under
    if problem is not None:
        raise problem
    keys = ", ".join(repr(key) for key in list(found)[:10])
    raise ModelError(f"no state dict was found in it, under none of its keys ({keys}); save {{'state_dict': ...}}")
