"""Conservation laws as residuals: what is left of d(density)/dt + div(flux), which nature leaves at zero."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import UsageError
from heatproof.physics._parts import axis_of, channel_of, need_unit
from heatproof.physics.fields import derivative
from heatproof.types import Input


@dataclass(frozen=True, eq=False)
class Balance:
    """A conservation law.

    Attributes:
        name: what is conserved.
        terms: `input -> terms (k, *spatial)` whose sum is zero where it holds.
    """

    name: str
    terms: Callable[[Input], Float[Tensor, "k *spatial"]]


def divergence(components: Mapping[str, str | int]) -> Balance:
    """Return the balance of an incompressible flow or a solenoidal field: div = 0.

    Args:
        components: axis -> channel, {"x": "u", "y": "v"}.
    """

    def terms(input: Input) -> Tensor:
        data = input.data.detach().double().cpu()
        return torch.stack(
            [
                derivative(data[channel_of(input, channel)], input, axis_of(input, axis))
                for axis, channel in components.items()
            ]
        )

    return Balance("div = 0", terms)


def continuity(
    density: str | int,
    flux: Mapping[str, str | int | Callable[[Input], Tensor]],
    time: str = "time",
) -> Balance:
    """Return the balance d(density)/dt + sum of d(flux)/dx over fields in which one axis is time.

    Args:
        density: channel that holds it.
        flux: spatial axis -> channel with the flux along it, or a function of the input that returns it (*spatial).
        time: name of the axis that is time.

    Raises:
        InputError: (when used) an axis has no unit.
    """
    if not flux:
        raise UsageError("A conservation law needs a flux along at least one axis; give flux={'x': ...}.")

    def terms(input: Input) -> Tensor:
        data = input.data.detach().double().cpu()
        clock = axis_of(input, time)
        need_unit(input, clock, "a conservation law")
        found = [derivative(data[channel_of(input, density)], input, clock)]
        for axis, along in flux.items():
            at = axis_of(input, axis)
            need_unit(input, at, "a conservation law")
            flow = along(input).double().cpu() if callable(along) else data[channel_of(input, along)]
            found.append(derivative(flow, input, at))
        return torch.stack(found)

    return Balance(f"conservation of {density}", terms)
