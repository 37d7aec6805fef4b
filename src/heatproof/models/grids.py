"""Which tensors of a run are channels first, followed from operation to operation: no matter of what they hold."""

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from heatproof.models.outputs import tensors

_ORDERLY = ("_norm", "pool", "upsample", "_pad", "softmax", "dropout", "prelu", "pixel_")
"""What the names of operations contain that leave the order of the axes as it is, whatever they do along them."""

_PASSING = {
    "alias",
    "detach",
    "expand",
    "lift_fresh",
    "narrow",
    "roll",
    "slice",
    "split",
    "split_with_sizes",
    "to_copy",
}
_POINTWISE = {"copy", "hardswish", "rrelu_with_noise"}
"""Pointwise operations that PyTorch does not tag as such."""

_VIEWING = {"view", "unsafe_view", "reshape", "squeeze", "unsqueeze", "flatten", "unflatten"}


class GridAxes(TorchDispatchMode):
    """Follows which tensors have their grid in the last axes, in the input's order, with the batch first.

    The input has; so has what a convolution over as many axes returns, and what pooling, normalization, resampling,
    pointwise operations, channel shuffles and concatenations make of such a tensor. Of all else nothing is said.
    """

    # What is inside such an operation is not followed; without this line, PyTorch refuses to run it at all.
    supports_higher_order_operators = True

    def __init__(self, input_size: Sequence[int]) -> None:
        super().__init__()
        self._size = tuple(input_size)
        self._known = WeakTensorKeyDictionary()
        self._entered = False

    def enter(self, given: Any) -> None:
        """Note the network's own input: the tensors of the first call that have the input's size."""
        if not self._entered:
            self._entered = True
            for _, tensor in tensors(given):
                if tensor.ndim == self._least and tuple(tensor.shape[2:]) == self._size:
                    self._known[tensor] = True

    def first(self, tensor: Tensor) -> bool:
        """Say whether the tensor is known to be (n, k, *grid)."""
        return tensor.ndim == self._least and tensor in self._known

    @property
    def _least(self) -> int:
        return len(self._size) + 2

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the operation and note what is known of what it returned."""
        result = func(*args, **(kwargs or {}))
        if hasattr(func, "overloadpacket"):  # a higher-order operation has none
            name = func.overloadpacket.__name__.strip("_")
            for made in _results(result):
                known = made.ndim >= self._least and self._keeps(func, name, args, made)
                if known:
                    self._known[made] = True
                elif torch.Tag.inplace_view in func.tags:
                    self._known.pop(made, None)
        return result

    def _keeps(self, func: Any, name: str, args: Sequence[Any], made: Tensor) -> bool:
        given = [t for _, t in tensors(tuple(args))]
        if not given:
            return False
        source = given[0]
        known = source in self._known
        if "conv" in name:
            return len(given) > 1 and made.ndim == given[1].ndim == self._least and self._placed(given[1], known)
        if torch.Tag.pointwise in func.tags or name in _POINTWISE:
            return any(t in self._known and t.shape == made.shape for t in given)
        if name == "cat":
            return any(t in self._known for t in given)
        if not known:
            return False
        if name in _PASSING or any(part in name for part in _ORDERLY):
            return True
        if name in _VIEWING:
            return self._ends(source) == self._ends(made)
        return name in {"permute", "transpose"} and self._stay(name, args, source.ndim)

    def _placed(self, weight: Tensor, known: bool) -> bool:
        """Say whether a convolution tells where the grid is: all do but one that mixes the heads of attention."""
        return known or len(self._size) == 1 or max(weight.shape[2:]) > 1

    def _ends(self, tensor: Tensor) -> tuple[int, ...]:
        return (tensor.shape[0], *tensor.shape[-len(self._size) :])

    def _stay(self, name: str, args: Sequence[Any], ndim: int) -> bool:
        """Say whether the batch's axis and those of the grid stay where they are."""
        order = list(range(ndim))
        if name == "permute":
            order = [int(axis) % ndim for axis in args[1]]
        else:
            one, other = (int(axis) % ndim for axis in args[1:3])
            order[one], order[other] = order[other], order[one]
        fixed = (0, *range(ndim - len(self._size), ndim))
        return all(order[axis] == axis for axis in fixed)


def _results(result: Any) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, list | tuple):
        yield from (part for part in cast("Sequence[Any]", result) if isinstance(part, Tensor))
