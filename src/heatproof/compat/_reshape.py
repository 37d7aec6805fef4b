"""The peers' `reshape_transform`: a user's own function from what a layer returns to a grid, as a layout of ours."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heatproof.errors import LayerError
from heatproof.models.layers import TargetLayer
from heatproof.models.layout import Layout
from heatproof.models.trace import Trace
from heatproof.models.view import unwrap

Transform = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Reshaped(Layout):
    """A layout that a function of the user describes: raw output -> (n, k, *grid)."""

    transform: Transform = torch.clone

    def to_grid(self, raw: Float[Tensor, "..."], lead: int = 1) -> Float[Tensor, "..."]:
        """Return the raw output (or its gradient) as (*lead, k, *grid); `lead` counts the axes before it."""
        return self.transform(raw.flatten(0, lead - 1)).unflatten(0, raw.shape[:lead])

    def from_grid(self, grid: Float[Tensor, "m k *grid"], raw: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return a raw output that carries `grid`; what the transform leaves out is taken from `raw`.

        Raises:
            LayerError: the transform does more than select and rearrange, so that there is no way back.
        """
        numbers = torch.arange(raw[0].numel(), dtype=torch.float64).reshape(1, *raw.shape[1:])
        places = self.transform(numbers).long().flatten().to(raw.device)
        flat = raw.flatten(1)
        valid = bool(((places >= 0) & (places < flat.shape[1])).all()) and len(places.unique()) == len(places)
        if not valid or not torch.equal(flat[:, places], self.transform(raw).flatten(1)):
            raise LayerError(
                "This method runs the network again from changed activations, but the reshape_transform does more than "
                "select and rearrange, so that there is no way back; leave it out, the grid is found without it."
            )
        return flat.index_copy(1, places, grid.flatten(1)).reshape(raw.shape)


def reshaped(trace: Trace, net: nn.Module, layer: nn.Module | str, transform: Transform) -> TargetLayer:
    """Return the layer (a module of `net` or its name) as a target layer that lies as `transform` says.

    Raises:
        LayerError: there is no such layer, it never ran, or the transform makes no grid of what it returns.
    """
    names = [name for name, module in unwrap(net).named_modules() if layer in (name, module)]
    calls = [call for call in trace.calls if call.name in names and call.name]
    if not calls:
        called = layer if isinstance(layer, str) else type(layer).__name__
        raise LayerError(f"The layer {called} is not a module of this network that ran; pass one that does.")
    call = calls[-1]
    shapes = [output.shape for output in call.outputs if output.floating]
    axes = len(trace.input_size)
    if len(shapes) != 1:
        raise LayerError(
            f"The layer {call.name!r} returns {len(shapes)} tensors, and a reshape_transform takes one; pass "
            "the layer that makes the one that you mean."
        )
    try:
        grid = tuple(transform(torch.zeros(shapes[0])).shape)
    except (RuntimeError, IndexError, TypeError, ValueError) as error:
        raise LayerError(
            f"The reshape_transform does not fit the layer {call.name!r}, which returns {shapes[0]}: {error} "
            "Leave it out: the grid is found without it."
        ) from error
    if len(grid) != axes + 2 or grid[0] != shapes[0][0]:
        raise LayerError(
            f"The reshape_transform makes {grid} of {shapes[0]}; it must return (n, k, *grid) with {axes} grid axes."
        )
    key = next(output.key for output in call.outputs if output.floating)
    return TargetLayer(call.name, call.count, key, Reshaped("channels_first", grid[2:], 0, transform), None, call.start)
