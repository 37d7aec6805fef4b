"""Arrays and tensors -> Input: which axis holds the channels, said or evident."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from heatproof.errors import InputError
from heatproof.inputs.assemble import assemble
from heatproof.types import Axis, Input

_FEW = range(1, 5)  # as many channels as pictures have; a picture's side is longer
_LETTERS = {"h": "y", "w": "x", "d": "z", "l": "position", "t": "time"}  # other letters name their axis themselves
_TORCH_TYPES = ("u1", "u2", "f2", "f4", "f8", "c8", "c16")
_BATCH_HINT = "pass a batch through heatproof.inputs.read_batch"


def from_array(
    array: np.ndarray,
    *,
    layout: str | None = None,
    axis: Axis | str | Sequence[Axis | str] | None = None,
    channels: Sequence[str] | None = None,
    name: str = "input",
    source: Path | None = None,
    allow_nan: bool = False,
) -> Input:
    """Make an Input of a numpy array; the array is copied.

    Without `layout`, one axis is a signal, two are a one-channel picture, and of three the first or the last holds the
    channels, if just one of both has 1 to 4 entries. Everything else is ambiguous, hence an error.

    Args:
        array: numbers; uint8 and uint16 become 0..1, all else keeps its values.
        layout: one letter per axis, "c" for the channels: "chw", "hwc", "lc", "dhw".
        axis: an `Axis` or a name for each spatial axis, in order.
        channels: a name for each channel.
        name: what reports call it.
        source: the file it came from.
        allow_nan: let values that are not finite through.

    Raises:
        InputError: no numbers, an ambiguous shape, or descriptions that do not fit it.
    """
    if array.dtype.kind not in "buifc":
        raise InputError(f"{name} is an array of type {array.dtype}; give one of numbers (uint8, float32, ...).")
    if isinstance(array, np.ma.MaskedArray):
        raise InputError(f"{name} is a masked array, whose mask would be lost; fill it first, as with .filled(0).")
    if array.size == 0:
        raise InputError(f"{name} is empty: its shape is {array.shape}; give at least one sample.")
    if layout is None:
        layout = _evident_layout(array.shape, name)
    # a copy of its own, of a type and byte order that torch knows
    known = array.dtype.newbyteorder("=") if array.dtype.str[1:] in _TORCH_TYPES else np.dtype(np.float64)
    tensor = torch.from_numpy(np.array(array, dtype=known, order="C"))
    return _laid_out(tensor, layout, axis, channels, name, source, allow_nan)


def from_tensor(
    tensor: Tensor,
    *,
    layout: str | None = None,
    axis: Axis | str | Sequence[Axis | str] | None = None,
    channels: Sequence[str] | None = None,
    name: str = "input",
    allow_nan: bool = False,
) -> Input:
    """Make an Input of a tensor (c, *spatial); the tensor is copied and stays on its device.

    Tensors have their channels first; one axis is a one-channel signal and two are a one-channel picture. Arguments
    as in `from_array`.

    Raises:
        InputError: what looks like a batch, or descriptions that do not fit.
    """
    if tensor.layout is not torch.strided or tensor.is_quantized or tensor.is_meta:
        where = "without values (on the meta device)" if tensor.is_meta else f"of layout {tensor.layout}"
        raise InputError(f"{name} is a tensor {where} and type {tensor.dtype}; pass a dense one.")
    if layout is None:
        if tensor.ndim == 4 and tensor.shape[1] in _FEW:
            raise InputError(
                f"{name} of shape {tuple(tensor.shape)} may be a batch of {tensor.shape[0]} pictures or one volume; "
                f"{_BATCH_HINT}, and a volume with layout='cdhw'."
            )
        layout = {0: "", 1: "l", 2: "hw", 3: "chw", 4: "cdhw"}.get(tensor.ndim)
    if layout is None:
        raise InputError(f"{name} of shape {tuple(tensor.shape)} has too many axes for one input; {_BATCH_HINT}.")
    return _laid_out(tensor, layout, axis, channels, name, None, allow_nan)


def _evident_layout(shape: tuple[int, ...], name: str) -> str:
    if len(shape) < 3:
        return ("", "l", "hw")[len(shape)]
    if len(shape) == 3:
        first, last = shape[0] in _FEW, shape[2] in _FEW
        if first != last:
            return "chw" if first else "hwc"
        choices = "layout='chw' (channels first), 'hwc' (channels last) or 'dhw' (a volume)"
    else:
        choices = f"layout='cdhw' or 'dhwc' for a volume with channels, or {_BATCH_HINT}"
    raise InputError(f"Which axis of {name} of shape {shape} holds the channels is ambiguous; say so: {choices}.")


def _laid_out(
    tensor: Tensor,
    layout: str,
    axis: Any,
    channels: Sequence[str] | None,
    name: str,
    source: Path | None,
    allow_nan: bool,
) -> Input:
    """Bring the channels to the front and name the spatial axes after the layout's letters."""
    shape = tuple(tensor.shape)
    letters = layout.lower()
    spatial = [letter for letter in letters if letter != "c"]
    if tensor.ndim == 0:
        raise InputError(f"{name} is a single number; give an array with at least one axis.")
    if len(letters) != tensor.ndim or len(set(letters)) != len(letters) or not letters.isalpha():
        raise InputError(
            f"layout={layout!r} does not fit {name} of shape {shape}; "
            f"give {tensor.ndim} different letters, one per axis, with 'c' for the channels."
        )
    if not spatial:
        raise InputError(f"layout={layout!r} leaves {name} of shape {shape} without a spatial axis; name at least one.")
    data = tensor.movedim(letters.index("c"), 0) if "c" in letters else tensor[None]
    if axis is None:
        names = [_LETTERS.get(letter, letter) for letter in spatial]
        axis = [Axis(one, "px" if one in "xy" and len(spatial) == 2 else None) for one in names]
    return assemble(data, name=name, axis=axis, channels=channels, source=source, allow_nan=allow_nan)
