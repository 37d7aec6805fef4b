"""What an expert marked (masks, boxes, points), brought into the frame of the model's input."""

from collections.abc import Iterable, Mapping, Sequence
from math import ceil, floor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from PIL import Image
from torch import Tensor

from heatproof.errors import InputError, UsageError
from heatproof.inputs import read
from heatproof.types import Explanation, Geometry, Input

_LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif")
_HALF = 127
"""Of 8 bits: what lies between nothing and half of that is neither marked nor unmarked in a mask of two values."""


def masks_of(annotations: Any, explanation: Explanation) -> Bool[Tensor, "n *spatial"]:
    """Return one mask per input, at the size of the model's input; empty where nothing was marked in its view.

    Args:
        annotations: one entry per input, in their order: a mask (array, tensor, picture or file; what is not zero is
            marked) of the size of the original or of the model's input; {"boxes": [(x_min, y_min, x_max, y_max), ...]}
            or {"points": [(x, y), ...]} in samples of the original, x first (3-D: x, y, z; lower corner, then upper; a
            sample i covers what lies between i and i + 1); or None for an input without annotation, which is left out.
        explanation: whose inputs they belong to.

    Raises:
        UsageError: another number of entries than inputs, a mask of another size or that is not yes or no, a box of
            another form, or a box or point outside of the picture.
        InputError: a mask's file cannot be read.
    """
    if isinstance(annotations, str | Mapping) or not isinstance(annotations, Iterable):
        raise UsageError(f"annotations is {annotations!r}; give a list with one mask, boxes or points per input.")
    entries: list[Any] = list(annotations)  # pyright: ignore[reportUnknownArgumentType]  whatever the user gives
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
        return read_mask(Path(entry))
    try:
        values = torch.as_tensor(entry.detach().cpu() if isinstance(entry, Tensor) else np.array(entry))
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(
            f"The annotation of {original.name} is of the type {type(entry).__name__}; give a mask, boxes or points."
        ) from error
    values = values[0] if values.ndim == len(original.size) + 1 and len(values) == 1 else values
    return _marked(values, original.name)


def read_mask(path: Path) -> Bool[Tensor, "*size"]:
    """Return where a mask's file marks something: what is not zero, or what is opaque in a picture with transparency.

    Raises:
        InputError: the file cannot be read.
        UsageError: its values do not say what is marked.
    """
    found = read(path)
    if isinstance(found, list):
        raise InputError(f"{path} holds several pictures; give one mask per input.")
    opaque = _opaque(path)
    if opaque is not None:
        return opaque
    values = found.data.amax(0)
    if path.suffix.lower() in _LOSSY:  # what was 0 is near 0 now
        return values > values.amax() / 2
    whole = (255 * values).round()
    return _marked(whole.long() if torch.allclose(whole, 255 * values, atol=1e-3) else values, str(path))


def _opaque(path: Path) -> Bool[Tensor, "h w"] | None:
    """Return where a picture is not see-through: what was painted, in whatever color; None where all of it is."""
    try:
        with Image.open(path) as picture:
            if not picture.has_transparency_data:
                return None
            opaque = torch.from_numpy(np.array(picture.convert("RGBA"))[..., 3] > _HALF)
    except OSError:
        return None  # no picture
    return None if bool(opaque.all()) else opaque


def _marked(values: Tensor, name: str) -> Bool[Tensor, "*size"]:
    """Return what is marked, or refuse values that do not say so: probabilities, and what compression blurred."""
    if values.is_complex() or (values.is_floating_point() and not bool(values.isfinite().all())):
        raise UsageError(f"The mask of {name} holds NaN or infinite values; give true and false.")
    kinds = values.unique()
    if len(kinds) and kinds[0] < 0:
        raise UsageError(
            f"The mask of {name} holds negative values, down to {float(kinds[0]):g}, so that it is not clear what is "
            "marked; give true and false: mask > 0 where -1 stands for the background or for what is to be ignored."
        )
    soft = bool((kinds != kinds.round()).any()) and len(kinds) > 2 if values.is_floating_point() else False
    blurred = len(kinds) > 2 and float(kinds.amax()) > _HALF and bool(((kinds > 0) & (kinds <= _HALF // 2)).any())
    if soft or blurred:
        low, high = float(kinds[0]), float(kinds[-1])
        raise UsageError(
            f"The mask of {name} holds {len(kinds)} values between {low:g} and {high:g}, so that it is not clear what "
            f"is marked; give true and false: mask > {high / 2:g} for a soft or compressed mask, mask > 0 for labels."
        )
    return values != 0


def _drawn(entry: Mapping[str, Any], original: Input) -> Bool[Tensor, "*size"]:
    unknown = set(entry) - {"boxes", "points"}
    if unknown or not entry:
        raise UsageError(f"An annotation of {original.name} has the keys {sorted(entry)}; give 'boxes' or 'points'.")
    mask = torch.zeros(original.size, dtype=torch.bool)
    axes = len(original.size)
    for box in _listed(entry, "boxes", original):
        low, high = _numbers(box, 2 * axes, original)[:axes], _numbers(box, 2 * axes, original)[axes:]
        if any(b <= a for a, b in zip(low, high, strict=True)):
            raise UsageError(f"The box {tuple(box)} of {original.name} is empty; write the lower corner first.")
        if all(0 <= v <= 1 for v in (*low, *high)) and any(v != int(v) for v in (*low, *high)):
            raise UsageError(
                f"The box {tuple(box)} of {original.name} lies within one sample, as if it were in shares of the size; "
                "give samples of the original."
            )
        if any(b <= 0 or a >= size for a, b, size in zip(low, high, original.size[::-1], strict=True)):
            raise UsageError(f"The box {tuple(box)} lies outside {original.name}, of size {original.size}.")
        # x comes first in boxes and last in tensors
        mask[tuple(slice(max(0, floor(a)), max(0, ceil(b))) for a, b in zip(low[::-1], high[::-1], strict=True))] = True
    for point in _listed(entry, "points", original):
        index = tuple(floor(p) for p in _numbers(point, axes, original)[::-1])
        if not all(0 <= i < size for i, size in zip(index, original.size, strict=True)):
            raise UsageError(f"The point {tuple(point)} lies outside {original.name}, of size {original.size}.")
        mask[index] = True
    return mask


def _listed(entry: Mapping[str, Any], key: str, original: Input) -> list[Any]:
    listed = entry.get(key, ())
    if isinstance(listed, str) or not isinstance(listed, Iterable):
        raise UsageError(f"The {key} of {original.name} are {listed!r}; give a list, which may be empty.")
    return list(listed)


def _numbers(values: Any, count: int, original: Input) -> Sequence[float]:
    try:
        found = [float(v) for v in values]
    except (TypeError, ValueError):
        found = []
    if len(found) != count or not np.isfinite(found).all():
        raise UsageError(f"{values!r} of {original.name} is not {count} finite numbers; give a list of such.")
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
