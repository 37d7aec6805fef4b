"""What an expert marked (masks, boxes, points), brought into the frame of the model's input."""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from torch import Tensor

from heatproof.errors import InputError, UsageError
from heatproof.inputs import read
from heatproof.types import Explanation, Geometry, Input


def masks_of(annotations: Any, explanation: Explanation) -> Bool[Tensor, "n *spatial"]:
    """Return one mask per input, at the size of the model's input; empty where nothing was marked in its view.

    Args:
        annotations: one entry per input, in their order: a mask (array, tensor or file; what is not zero is marked) of
            the size of the original or of the model's input; {"boxes": [(x_min, y_min, x_max, y_max), ...]} or
            {"points": [(x, y), ...]} in samples of the original, x first (3-D: x, y, z; lower corner, then upper); or
            None for an input without annotation, which is left out.
        explanation: whose inputs they belong to.

    Raises:
        UsageError: another number of entries than inputs, a mask of another size, or a box of another form.
        InputError: a mask's file cannot be read.
    """
    entries: list[Any] = list(annotations)
    if len(entries) != len(explanation):
        raise UsageError(f"There are {len(entries)} annotations for {len(explanation)} inputs; give one per input.")
    each = zip(entries, explanation.inputs, explanation.geometries, strict=True)
    return torch.stack([_in_view(_mask(entry, one), geometry, one.name) for entry, one, geometry in each])


def _mask(entry: Any, original: Input) -> Bool[Tensor, "*size"]:
    if entry is None:
        return torch.zeros(original.size, dtype=torch.bool)
    if isinstance(entry, Mapping):
        return _drawn(entry, original)  # pyright: ignore[reportUnknownArgumentType]  whatever the user gives
    if isinstance(entry, str | Path):
        found = read(entry)
        if isinstance(found, list):
            raise InputError(f"{entry} holds several pictures; give one mask per input.")
        return (found.data != 0).any(0)
    mask = torch.as_tensor(np.asarray(entry)) != 0
    return mask[0] if mask.ndim == len(original.size) + 1 and len(mask) == 1 else mask


def _drawn(entry: Mapping[str, Any], original: Input) -> Bool[Tensor, "*size"]:
    unknown = set(entry) - {"boxes", "points"}
    if unknown or not entry:
        raise UsageError(f"An annotation of {original.name} has the keys {sorted(entry)}; give 'boxes' or 'points'.")
    mask = torch.zeros(original.size, dtype=torch.bool)
    axes = len(original.size)
    for box in entry.get("boxes", ()):
        low, high = _numbers(box, 2 * axes, original)[:axes], _numbers(box, 2 * axes, original)[axes:]
        if any(b <= a for a, b in zip(low, high, strict=True)):
            raise UsageError(f"The box {tuple(box)} of {original.name} is empty; write the lower corner first.")
        # x comes first in boxes and last in tensors
        mask[tuple(slice(max(0, floor(a)), max(0, ceil(b))) for a, b in zip(low[::-1], high[::-1], strict=True))] = True
    for point in entry.get("points", ()):
        index = tuple(round(p) for p in _numbers(point, axes, original)[::-1])
        if not all(0 <= i < size for i, size in zip(index, original.size, strict=True)):
            raise UsageError(f"The point {tuple(point)} lies outside {original.name}, of size {original.size}.")
        mask[index] = True
    return mask


def _numbers(values: Iterable[Any], count: int, original: Input) -> Sequence[float]:
    found = [float(v) for v in values]
    if len(found) != count or not np.isfinite(found).all():
        raise UsageError(f"{tuple(found)} of {original.name} is not {count} finite numbers.")
    return found


def _in_view(mask: Bool[Tensor, "*size"], geometry: Geometry, name: str) -> Bool[Tensor, "*spatial"]:
    """Return the mask as the model's input shows it; a marked sample is never lost between two of the model's."""
    size = tuple(mask.shape)
    if size == geometry.model_size and size != geometry.original_size:
        return mask
    if size != geometry.original_size:
        raise UsageError(
            f"The mask of {name} has size {size}, the original {geometry.original_size} and the model's input "
            f"{geometry.model_size}; give it at one of these sizes."
        )
    seen = torch.zeros(geometry.model_size, dtype=torch.bool)
    marked = [seen, mask]
    for axis in range(mask.ndim):  # nearest sampling, one axis after another
        index = torch.tensor([_at(geometry, axis, i) for i in range(geometry.model_size[axis])])
        inside = (index >= 0) & (index < size[axis])
        marked[1] = marked[1].index_select(axis, index.clamp(0, size[axis] - 1))
        marked[1] &= inside.reshape([-1 if a == axis else 1 for a in range(mask.ndim)])
    seen |= marked[1]
    scale, offset = torch.tensor(geometry.scale), torch.tensor(geometry.offset)
    there = ((mask.nonzero() + 0.5) * scale - offset - 0.5).round().long()
    limits = torch.tensor(geometry.model_size)
    there = there[((there >= 0) & (there < limits)).all(1)]
    seen[tuple(there.T)] = True
    return seen


def _at(geometry: Geometry, axis: int, index: int) -> int:
    """Return the original's sample nearest to a sample of the model's input."""
    return round((index + 0.5 + geometry.offset[axis]) / geometry.scale[axis] - 0.5)
