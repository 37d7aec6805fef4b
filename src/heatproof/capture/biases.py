"""What the affine layers of a network add, and how the scores depend on it: the bias gradients of FullGrad."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

from heatproof.capture.rectify import function_name

_CHANNELS_FIRST = frozenset(
    (
        *(f"conv{axes}d" for axes in (1, 2, 3)),
        *(f"conv_transpose{axes}d" for axes in (1, 2, 3)),
        *("convolution", "batch_norm", "group_norm", "instance_norm"),
    )
)
_CHANNELS_LAST = frozenset(("linear", "layer_norm"))


@dataclass(frozen=True, eq=False)
class Added:
    """One call of an affine layer.

    Attributes:
        output: z, in the graph.
        bias: b, what the layer puts out for zero; has z's axes.
        channels_last: whether z is (n, *grid, c).
    """

    output: Tensor
    bias: Tensor
    channels_last: bool


class Biases(TorchFunctionMode):
    """While it is entered, keeps what the affine layers that this thread runs put out, and what part of it is bias.

    Seen are convolutions, linear layers and normalizations, as modules or functions. A normalization with fixed
    statistics has an implicit bias, beta - gamma mu / sigma. Functions compiled by torch.jit are not seen.

    Attributes:
        found: the calls, first to last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Added] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run one function of torch; its own calls are not seen any more."""
        kwargs = dict(kwargs or {})
        output = func(*args, **kwargs)
        name = function_name(func)
        if name not in _CHANNELS_FIRST | _CHANNELS_LAST or not output.requires_grad or output.ndim < 2:
            return output
        x: Tensor = args[0] if args else kwargs.pop("input")
        with torch.no_grad():
            bias = func(torch.zeros_like(x[:1]), *args[1:], **kwargs)
        if not bool(bias.any()):
            return output
        # a layer norm over all axes of the input at once keeps their order
        whole = name == "layer_norm" and len(args[1] if len(args) > 1 else kwargs["normalized_shape"]) > 1
        self.found.append(Added(output, bias, channels_last=name in _CHANNELS_LAST and not whole))
        return output.clone()  # what follows may write into it


def contribution(
    added: Added, gradient: Float[Tensor, "t ..."], n: int, axes: int
) -> Float[Tensor, "n t c *grid"] | None:
    """Return b dy/dz (n, t, c, *grid), summed over the places, (n, t, c), where they are not a grid of that many axes.

    None where the rows of the layer do not belong to the inputs.
    """
    precision = torch.promote_types(gradient.dtype, torch.float32)
    product = (gradient.to(precision) * added.bias.to(precision)).transpose(0, 1)  # (rows, t, ...)
    if added.channels_last:
        product = product.movedim(-1, 2)
    if product.shape[0] == n and product.ndim == 3 + axes:
        return product
    if product.shape[0] % n:
        return None
    summed = product.flatten(3).sum(-1) if product.ndim > 3 else product
    return summed.unflatten(0, (n, -1)).sum(1)  # windows of one input lie one after the other
