"""What a network is called with: arguments for n inputs, of one tensor or several."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from heatproof.errors import InputError
from heatproof.models.outputs import device_and_dtype, map_tensors, take, tensors


@dataclass(frozen=True, eq=False)
class Batch:
    """Arguments of one call of the network.

    Attributes:
        args: positional arguments.
        kwargs: keyword arguments.
        n: number of inputs.
        size: spatial size of the first tensor, which is the one that maps lie over.
    """

    args: tuple[Any, ...]
    n: int
    size: tuple[int, ...]
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])

    @classmethod
    def of(cls, value: Any, net: nn.Module) -> "Batch":
        """Return the batch for a tensor, a tuple of positional arguments or a dict of keyword arguments.

        Tensors are moved to the network's device and, where floating, its type; tensors made under inference mode are
        copied out of it.

        Raises:
            InputError: there is no tensor with a batch and at least one spatial axis, or it is empty.
        """
        device, dtype = device_and_dtype(net)
        args, kwargs = (value,), {}
        if isinstance(value, tuple):
            args = value
        elif isinstance(value, Mapping):
            args, kwargs = (), dict(value)
        found = [t for _, t in tensors((args, kwargs)) if t.ndim >= 3]
        if not found:
            shapes = [tuple(t.shape) for _, t in tensors((args, kwargs))]
            raise InputError(
                f"Inputs of shapes {shapes} have no channels and spatial axes; pass (n, c, *spatial) with 1 to 3 "
                "spatial axes."
            )
        first = found[0]
        if first.ndim > 5:
            raise InputError(f"Inputs of shape {tuple(first.shape)} have more than 3 spatial axes.")
        if first.numel() == 0:
            raise InputError(f"Inputs of shape {tuple(first.shape)} are empty; pass at least one input of size > 0.")
        # The sum is finite only if every value is (eight times faster to see); if it is not, each value is looked at.
        suspect = first.is_floating_point() and not bool(first.sum().isfinite())
        bad = int((~torch.isfinite(first)).sum()) if suspect else 0
        if bad:
            raise InputError(f"The input holds {bad} values that are NaN or infinite; replace them first.")
        args, kwargs = (_move(v, device, dtype) for v in (args, kwargs))
        return cls(args, first.shape[0], tuple(first.shape[2:]), kwargs)

    def run(self, net: nn.Module) -> Any:
        """Call the network, with a copy of the tensors: some networks normalize what they are given in place."""
        batch = self.copy()
        return net(*batch.args, **batch.kwargs)

    def copy(self) -> "Batch":
        """Return the same batch with tensors of its own."""
        args, kwargs = map_tensors((self.args, self.kwargs), Tensor.clone)
        return Batch(args, self.n, self.size, kwargs)

    @property
    def shape(self) -> tuple[Any, ...]:
        """What two batches must share for the network to do the same with both: all but the number of inputs."""
        return tuple((key, tuple(t.shape[1:]), t.dtype) for key, t in tensors((self.args, self.kwargs)))

    def rows(self, rows: Tensor, get: Callable[[Any, Tensor, int], Any] = take) -> "Batch":
        """Return the batch of the given inputs, in that order; what `get` (`take` or `lend`) gives of them."""
        args, kwargs = get(self.args, rows, self.n), get(self.kwargs, rows, self.n)
        return Batch(args, len(rows), self.size, kwargs)

    @property
    def tensor(self) -> Tensor | None:
        """The input, if the network takes one tensor only."""
        found = [t for _, t in tensors((self.args, self.kwargs))]
        return found[0] if len(found) == 1 else None

    def with_tensor(self, tensor: Tensor) -> "Batch":
        """Return the batch in which `tensor` (m, c, *spatial) stands in place of the only tensor."""
        if self.tensor is None:
            raise InputError("This network takes several tensors; it is not clear which of them is to be changed.")
        args, kwargs = map_tensors((self.args, self.kwargs), lambda old: tensor.to(old.device, old.dtype))
        return Batch(args, tensor.shape[0], tuple(tensor.shape[2:]), kwargs)


def _move(value: Any, device: torch.device | None, dtype: torch.dtype | None) -> Any:
    def change(tensor: Tensor) -> Tensor:
        if tensor.is_inference():
            tensor = tensor.clone()
        tensor = tensor.detach()
        if tensor.is_floating_point() and dtype is not None:
            return tensor.to(device, dtype)
        return tensor.to(device) if device is not None else tensor

    with torch.inference_mode(False):
        return map_tensors(value, change)
