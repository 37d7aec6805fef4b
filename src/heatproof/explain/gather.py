"""Whatever the user passes (paths, pictures, arrays, tensors, tuples, dicts) as one batch with its originals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from heatproof.capture import Batch
from heatproof.errors import InputError
from heatproof.inputs import read
from heatproof.inputs.prepare import Preprocess
from heatproof.models import Model
from heatproof.models.outputs import tensors
from heatproof.types import Axis, Geometry, Input, Prepared

_AXES = {1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}
_LAYOUTS = {1: "cl", 2: "chw", 3: "cdhw"}


@dataclass(frozen=True, eq=False)
class Gathered:
    """One batch for the network, with the original and the geometry of each of its inputs, of `total` inputs in all."""

    batch: Batch
    inputs: tuple[Input, ...]
    geometries: tuple[Geometry, ...]
    total: int


def gather(x: Any, model: Model, batch_size: int) -> Iterator[Gathered]:
    """Yield batches of at most `batch_size` inputs.

    A batched tensor (n, c, *spatial), a tuple (positional arguments) or a dict (keyword arguments) is what the network
    takes: it goes in as it is. All else (paths, pictures, arrays, unbatched tensors, lists of these) are originals,
    which the model's own preprocessing prepares.

    Raises:
        InputError: there is nothing to explain, an input cannot be read, or prepared sizes differ.
    """
    if isinstance(x, tuple | Mapping) or (isinstance(x, Tensor) and _is_batch(x, model)):
        yield from _ready(x, model, batch_size)
        return
    items: list[Any] = list(x) if isinstance(x, list) else [x]
    if not items:
        raise InputError("There is nothing to explain: the list of inputs is empty.")
    size: tuple[int, ...] | None = None
    for begin in range(0, len(items), batch_size):
        prepared = [_prepare(item, model) for item in items[begin : begin + batch_size]]
        for one in prepared:
            size = size or tuple(one.tensor.shape)
            if tuple(one.tensor.shape) != size:
                raise InputError(
                    f"{one.input.name} has shape {tuple(one.tensor.shape)} where the first input has {size}; give the "
                    "model a preprocessing that brings inputs to one size, or explain them one at a time."
                )
        batch = Batch.of(torch.stack([p.tensor for p in prepared]), model.net)
        yield Gathered(batch, tuple(p.input for p in prepared), tuple(p.geometry for p in prepared), len(items))


def spatial_axes(net: nn.Module) -> int | None:
    """Return the number of spatial axes of the network's first convolution, or None without one."""
    kinds = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}
    return next((axes for m in net.modules() for kind, axes in kinds.items() if isinstance(m, kind)), None)


def _is_batch(x: Tensor, model: Model) -> bool:
    if not x.is_floating_point() and x.ndim >= 4:
        raise InputError(
            f"A {x.dtype} tensor of shape {tuple(x.shape)} is not what a network takes; pass the pictures as a list, "
            "so that the model's own preprocessing is applied to each, or convert the batch to floating point."
        )
    axes = spatial_axes(model.net)
    if axes is None:
        return x.ndim >= 4 or (x.ndim == 3 and model.preprocess is None)
    if x.ndim == axes + 1:
        return False
    if x.ndim == axes + 2:
        return True
    raise InputError(
        f"An input of shape {tuple(x.shape)} does not fit a network with {axes} spatial axes; pass "
        f"(n, c, {', '.join(_AXES[axes])}) or one input (c, {', '.join(_AXES[axes])})."
    )


def _prepare(item: Any, model: Model) -> Prepared:
    if isinstance(item, Prepared):
        return item
    original = item if isinstance(item, Input) else _read(item, model)
    return model.prepare(original)


def _read(item: Any, model: Model) -> Input:
    axes = spatial_axes(model.net)
    if isinstance(item, Tensor) and axes is not None and item.ndim == axes + 1:
        found = read(item, layout=_LAYOUTS[axes])  # the network says what the tensor alone would leave open
    else:
        found = read(item if not isinstance(item, str) else Path(item))
    if isinstance(found, list):
        raise InputError("Lists of inputs cannot be nested; pass one flat list.")
    return found


def _ready(x: Any, model: Model, batch_size: int) -> Iterator[Gathered]:
    whole = Batch.of(x, model.net)
    first = next(t for _, t in tensors(x) if t.ndim >= 3).detach().float().cpu()
    low, high = first.aminmax()
    unit = bool(low >= 0) and bool(high <= 1)
    for begin in range(0, whole.n, batch_size):
        rows = torch.arange(begin, min(begin + batch_size, whole.n))
        batch = whole if len(rows) == whole.n else whole.rows(rows)
        inputs = [_original(first[r], model, f"input {r}", unit) for r in rows.tolist()]
        yield Gathered(batch, tuple(inputs), tuple(Geometry.identity(i.size) for i in inputs), whole.n)


def _original(tensor: Tensor, model: Model, name: str, unit: bool) -> Input:
    """Return what a network-ready tensor shows: normalization undone where the model says how it was done.

    Without that, one or three channels are a picture if the batch lies in 0..1 (`unit`).
    """
    data = tensor
    picture = False
    prep = model.preprocess
    if isinstance(prep, Preprocess) and prep.mean and prep.std and len(prep.mean) == len(data):
        shape = (-1,) + (1,) * (data.ndim - 1)
        data = (data * torch.tensor(prep.std).reshape(shape) + torch.tensor(prep.mean).reshape(shape)) / prep.scale
        picture = data.ndim == 3 and len(data) in (1, 3)
        data = data.clamp(0, 1) if picture else data
    elif data.ndim == 3 and len(data) in (1, 3):
        picture = unit
    axes = tuple(Axis(n, "px") for n in _AXES[data.ndim - 1])
    channels: Sequence[str] = (
        ("red", "green", "blue") if picture and len(data) == 3 else [f"channel {i}" for i in range(len(data))]
    )
    return Input(data, axes, tuple(channels), name=name, picture=picture)
