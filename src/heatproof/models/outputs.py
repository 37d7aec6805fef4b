"""Reading and rewriting the nested things that networks take and return: tensors, tuples, dicts, ModelOutputs."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from heatproof.errors import TargetError

Key = tuple[str | int, ...]


def tensors(value: Any, key: Key = ()) -> Iterator[tuple[Key, Tensor]]:
    """Yield every tensor in a nested value with its path."""
    if isinstance(value, Tensor):
        yield key, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from tensors(item, (*key, name))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from tensors(item, (*key, index))


def pick(value: Any, key: Key) -> Any:
    """Return the part of a nested value that lies at `key`."""
    for step in key:
        value = value[step]
    return value


def put(value: Any, key: Key, new: Any) -> Any:
    """Return a shallow copy of a nested value with `new` at `key`; the original is not changed."""
    if not key:
        return new
    first, rest = key[0], key[1:]
    child = put(value[first], rest, new)
    if isinstance(value, Mapping):
        if hasattr(value, "to_tuple"):  # a transformers ModelOutput: a dataclass and a dict at once
            fields: dict[str, Any] = {**value, str(first): child}
            return type(value)(**fields)
        changed: Any = value.copy() if hasattr(value, "copy") else dict(value)  # pyright: ignore[reportAttributeAccessIssue]
        changed[first] = child
        return changed
    items = [child if i == first else item for i, item in enumerate(value)]
    if hasattr(value, "_fields"):
        return type(value)(*items)
    return type(value)(items)


def take(value: Any, rows: Tensor, n: int) -> Any:
    """Return a nested value with the given rows of every tensor whose first axis has length n; the rest as it is."""
    if isinstance(value, Tensor):
        return value.index_select(0, rows.to(value.device)) if value.ndim and value.shape[0] == n else value
    if isinstance(value, Mapping):
        changed: dict[Any, Any] = {k: take(v, rows, n) for k, v in value.items()}
        return type(value)(**changed) if hasattr(value, "to_tuple") else type(value)(changed)  # pyright: ignore[reportCallIssue]
    if isinstance(value, list | tuple):
        if len(value) == n and all(isinstance(v, dict) for v in value):  # detectors: one dict per input
            return [value[int(r)] for r in rows]
        items = [take(v, rows, n) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def of_one(value: Any, index: int, n: int) -> Any:
    """Return the model's output for one input of a batch of n, without the batch axis."""
    if isinstance(value, Tensor):
        return value[index] if value.ndim and value.shape[0] == n else value
    if isinstance(value, Mapping):
        changed: dict[Any, Any] = {k: of_one(v, index, n) for k, v in value.items()}
        return type(value)(**changed) if hasattr(value, "to_tuple") else type(value)(changed)  # pyright: ignore[reportCallIssue]
    if isinstance(value, list | tuple):
        if len(value) == n and all(isinstance(v, dict) for v in value):
            return value[index]
        items = [of_one(v, index, n) for v in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    return value


def class_scores(output: Any, n: int) -> Tensor:
    """Return the (n, classes) scores in a model's output.

    Takes a tensor (n,), (n, classes), also with trailing axes of length 1; `.logits` or "logits" of a ModelOutput or
    dict; the first tensor of a tuple.

    Raises:
        TargetError: the output is not a score per class; a callable target is needed.
    """
    found = output
    if isinstance(found, Mapping):
        found = next((found[k] for k in ("logits", "out") if k in found), None)
    elif isinstance(found, list | tuple) and found and isinstance(found[0], Tensor):
        found = found[0]
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


def device_and_dtype(net: torch.nn.Module) -> tuple[torch.device | None, torch.dtype | None]:
    """Return where the network's first floating-point parameter (else buffer) lies and its type; None without one."""
    for tensor in (*net.parameters(), *net.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return None, None
