"""Reading and rewriting the nested things that networks take and return: tensors, tuples, dicts, dataclasses."""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor

from heatproof.errors import TargetError

Key = tuple[str | int, ...]


def _children(value: Any) -> dict[Any, Any]:
    """Return the parts of a mapping, list, tuple or dataclass by key, index or field name; nothing for all else."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple):
        return dict(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if hasattr(value, f.name)}
    return {}


def _with(value: Any, parts: dict[Any, Any]) -> Any:
    """Return a shallow copy of a nested value with other parts; the original is not changed."""
    if isinstance(value, Mapping):
        if hasattr(value, "to_tuple"):  # a transformers ModelOutput: a dataclass and a dict at once
            return type(value)(**parts)
        if not isinstance(value, MutableMapping):
            return dict(parts)
        changed = copy.copy(value)
        changed.update(parts)
        return changed
    if isinstance(value, list | tuple):
        items = [parts[i] for i in range(len(value))]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    changed = copy.copy(value)
    for name, part in parts.items():
        object.__setattr__(changed, name, part)  # a frozen dataclass, too: the copy is ours
    return changed


def tensors(value: Any, key: Key = ()) -> Iterator[tuple[Key, Tensor]]:
    """Yield every tensor in a nested value with its path."""
    if isinstance(value, Tensor):
        yield key, value
    else:
        for name, part in _children(value).items():
            yield from tensors(part, (*key, name))


def pick(value: Any, key: Key) -> Any:
    """Return the part of a nested value that lies at `key`."""
    for step in key:
        value = _children(value)[step]
    return value


def put(value: Any, key: Key, new: Any) -> Any:
    """Return a shallow copy of a nested value with `new` at `key`; the original is not changed."""
    if not key:
        return new
    parts = _children(value)
    parts[key[0]] = put(parts[key[0]], key[1:], new)
    return _with(value, parts)


def map_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return a nested value with `change` applied to every tensor; containers without tensors stay what they are."""
    if isinstance(value, Tensor):
        return change(value)
    parts = _children(value)
    changed = {name: map_tensors(part, change) for name, part in parts.items()}
    return _with(value, changed) if any(changed[name] is not part for name, part in parts.items()) else value


def take(value: Any, rows: Tensor, n: int) -> Any:
    """Return a nested value with the given rows of every tensor whose first axis has length n; the rest as it is."""
    if _one_each(value, n):
        return [value[int(r)] for r in rows]
    if isinstance(value, Tensor):
        return value.index_select(0, rows.to(value.device)) if value.ndim and value.shape[0] == n else value
    parts = {name: take(part, rows, n) for name, part in _children(value).items()}
    return _with(value, parts) if parts else value


def lend(value: Any, rows: Tensor, n: int) -> Any:
    """Return what `take` does; where all rows are the same one, as views of it that nobody may write to."""
    first = int(rows[0])
    if _one_each(value, n) or not bool((rows == first).all()):
        return take(value, rows, n)
    if isinstance(value, Tensor):
        return value[first].expand(len(rows), *value.shape[1:]) if value.ndim and value.shape[0] == n else value
    parts = {name: lend(part, rows, n) for name, part in _children(value).items()}
    return _with(value, parts) if parts else value


def of_one(value: Any, index: int, n: int) -> Any:
    """Return the model's output for one input of a batch of n, without the batch axis."""
    if _one_each(value, n):
        return value[index]
    if isinstance(value, Tensor):
        return value[index] if value.ndim and value.shape[0] == n else value
    parts = {name: of_one(part, index, n) for name, part in _children(value).items()}
    return _with(value, parts) if parts else value


def _one_each(value: Any, n: int) -> bool:
    """Say whether this is what detectors return: a list with one dict per input."""
    return isinstance(value, list | tuple) and len(value) == n and all(isinstance(v, dict) for v in value)


def class_scores(output: Any, n: int) -> Tensor:
    """Return the (n, classes) scores in a model's output.

    Takes a tensor (n,), (n, classes), also with trailing axes of length 1; "logits" or "out" of a ModelOutput, a dict
    or another object; the first tensor of a tuple.

    Raises:
        TargetError: the output is not a score per class; a callable target is needed.
    """
    found = output
    if isinstance(found, Mapping):
        found = next((found[k] for k in ("logits", "out") if k in found), None)
    elif not isinstance(found, Tensor):
        found = getattr(output, "logits", output[0] if isinstance(output, list | tuple) and output else None)
    mend = "; pass a callable target that maps the output of one input to a number"
    if not isinstance(found, Tensor):
        keys = f" with the keys {sorted(map(str, output))}" if isinstance(output, Mapping) else ""
        raise TargetError(f"The model returns {type(output).__name__}{keys}, not a score per class{mend}.")
    if not found.is_floating_point():
        raise TargetError(f"The model returns {found.dtype} values, not scores with a gradient{mend}.")
    if found.ndim == 0 or found.shape[0] != n:
        raise TargetError(f"The model returns shape {tuple(found.shape)} for {n} inputs, not a score per class{mend}.")
    while found.ndim > 2 and found.shape[-1] == 1:
        found = found.squeeze(-1)
    if found.ndim == 1:
        found = found.unsqueeze(1)
    if found.ndim != 2:
        raise TargetError(
            f"The model returns shape {tuple(found.shape)}: a score for every place, not one per class{mend}, "
            "for example lambda out: out[3].mean() for class 3 over the whole field."
        )
    return found


def agree(a: Tensor, b: Tensor, dtype: torch.dtype) -> bool:
    """Say whether two results are the same but for rounding (which depends on the batch size) in `dtype`."""
    if a.shape != b.shape or a.numel() == 0:
        return a.shape == b.shape
    exact = dtype != torch.float32 or a.device.type != "cuda"
    eps = torch.finfo(dtype).eps if exact else 2**-10  # convolutions on CUDA may round float32 to TF32
    a, b = a.detach().double().nan_to_num(), b.detach().double().nan_to_num()
    return bool(((a - b).abs() <= max(4 * eps, 1e-4) * b.abs().max().clamp(min=1e-30)).all())


def device_and_dtype(net: torch.nn.Module) -> tuple[torch.device | None, torch.dtype | None]:
    """Return where the network's first floating-point parameter (else buffer) lies and its type; None without one."""
    for tensor in chain(net.parameters(), net.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return None, None
