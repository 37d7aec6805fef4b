"""Every softmax attention that runs in this thread, made explicit: its weights can be kept and differentiated."""

from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_SOFTMAX = (F.softmax, torch.softmax, Tensor.softmax, torch.special.softmax)
_PRODUCTS = (
    torch.matmul,
    torch.bmm,
    torch.baddbmm,
    torch.einsum,
    Tensor.matmul,
    Tensor.__matmul__,
    Tensor.__rmatmul__,
    Tensor.bmm,
)


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights of one attention layer, in the graph of the scores.

    Attributes:
        tensor: (n, heads, queries, keys) or (n * heads, queries, keys), or something else where it attends in groups.
        layer: dotted name of the module that computed it.
        recorded: False where the network itself had switched recording off, so that the weights begin a graph anew.
    """

    tensor: Tensor
    layer: str
    recorded: bool


class Softmax(TorchFunctionMode):
    """Keeps the weights of all attention that is computed in this thread while it is entered.

    Fused attention is computed by an explicit softmax, to rounding the same. Recording starts at the first weights,
    which become a leaf: nothing before them gets into the graph. An explicit softmax counts as attention once its
    result, perhaps after dropout, casts or mixing of its heads, is multiplied by a matrix.

    A mode is off inside the functions it intercepts, and torch's fast paths for whole encoder layers are off under a
    mode; so nothing global is touched, and other threads see nothing.

    Attributes:
        found: the weights, in the order of their first use.
    """

    def __init__(self, layer: Callable[[], str], *, recording: bool) -> None:
        super().__init__()
        self.found: list[Weights] = []
        self._layer = layer
        self._recording = recording
        self._pending: dict[int, tuple[Tensor, Weights]] = {}  # holds the tensors, so that no id is used again

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run one function of torch, or what stands in for it."""
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention and not _nested((*args, *kwargs.values())):
            return self._attend(*args, **kwargs)
        if func is F.multi_head_attention_forward:
            with self:
                return _transparent(func)(*args, **kwargs)
        result = func(*args, **kwargs)
        if func in _SOFTMAX and isinstance(result, Tensor) and _last_axis(result, args, kwargs):
            weights = self._record(result)
            self._pending[id(weights.tensor)] = (weights.tensor, weights)
            return weights.tensor
        if self._pending:
            self._follow(func, (*args, *kwargs.values()), result)
        return result

    def _follow(self, func: Any, given: tuple[Any, ...], result: Any) -> None:
        """Carry pending weights through functions that only pass them on; those that weigh something are attention."""
        given = tuple(t for value in given for t in (value if isinstance(value, list | tuple) else (value,)))
        used = next((self._pending[id(t)] for t in given if id(t) in self._pending), None)
        if used is None or not isinstance(result, Tensor):
            return
        if func in _PRODUCTS:
            self.found.append(used[1])
            self._pending = {key: entry for key, entry in self._pending.items() if entry[1] is not used[1]}
        elif result.numel() == used[0].numel():
            self._pending[id(result)] = (result, used[1])

    def _record(self, weights: Tensor) -> Weights:
        """Return the weights as a part of the graph; the first become its beginning."""
        recorded = torch.is_grad_enabled() or not self._recording
        if not weights.requires_grad:
            weights = weights.detach().requires_grad_()
        self._recording = True
        torch.set_grad_enabled(True)  # ends with the block around the run, also when that raises
        return Weights(weights, self._layer(), recorded)

    def _attend(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """Compute what `F.scaled_dot_product_attention` does, in at least float32 as its kernels do."""
        kind = query.device.type
        out = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else query.dtype
        precision = torch.promote_types(query.dtype, torch.float32)
        with torch.autocast(kind, enabled=False):
            query, key, value = (t.to(precision) for t in (query, key, value))
            if enable_gqa:
                key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
                value = value.repeat_interleave(query.shape[-3] // value.shape[-3], -3)
            logits = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
            if is_causal:
                attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
            weights = self._record(_softmax(logits, attn_mask))
            self.found.append(weights)
            return (F.dropout(weights.tensor, dropout_p) @ value).to(out)


def _softmax(logits: Tensor, mask: Tensor | None) -> Tensor:
    """Return the softmax over what the mask leaves; a query that may attend to nothing has weights of zero."""
    if mask is None:
        return logits.softmax(-1)
    zero = torch.zeros((), dtype=logits.dtype, device=logits.device)
    logits = logits + (zero.where(mask, -torch.inf) if mask.dtype == torch.bool else mask)
    blind = (logits == -torch.inf).all(-1, keepdim=True)
    return logits.masked_fill(blind, 0).softmax(-1).masked_fill(blind, 0)


def _last_axis(result: Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    axis = args[1] if len(args) > 1 else kwargs.get("dim")
    return result.ndim >= 3 and result.is_floating_point() and axis in (-1, result.ndim - 1)


def _nested(values: tuple[Any, ...]) -> bool:
    return any(isinstance(value, Tensor) and value.is_nested for value in values)


def _no_override(_tensors: Any) -> bool:
    return False


def _transparent(function: Any) -> Any:
    """Return a twin of one of torch's Python functions that does not ask for overrides of itself.

    With the mode entered again, the function would hand itself to the mode for ever; its twin goes on to its body,
    whose own calls the mode gets to see.
    """
    names = {**function.__globals__, "has_torch_function": _no_override}
    twin = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    twin.__kwdefaults__ = function.__kwdefaults__
    return twin
