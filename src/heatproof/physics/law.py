"""A law: how an input may be changed, and what its target and its map must then do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import InputError, UsageError
from heatproof.types import Input, Resolution

Change = Callable[[Tensor], Tensor]
"""From a tensor to a tensor."""


def same(y: Tensor) -> Tensor:
    """Return the target as it is: the law is an invariance."""
    return y


def swapped(first: int, second: int) -> Change:
    """Return the change that swaps two classes."""

    def swap(y: Tensor) -> Tensor:
        if max(first, second) >= y.shape[-1]:
            raise UsageError(f"Classes {first} and {second} cannot be swapped in an output of {y.shape[-1]}.")
        order = list(range(y.shape[-1]))
        order[first], order[second] = second, first
        return y[..., order]

    return swap


def negated(y: Tensor) -> Tensor:
    """Return the target with its sign changed."""
    return -y


def scaled(factor: float | int) -> Change:
    """Return the change that multiplies the target.

    Raises:
        UsageError: the factor is 0 or not finite.
    """
    if factor == 0 or factor - factor != 0:
        raise UsageError(f"The target cannot be scaled by {factor}; give a finite factor other than 0.")
    return lambda y: factor * y


@dataclass(frozen=True, eq=False)
class Law:
    """A pair of actions: if the input is changed by `act`, the target must change by `act_target`.

    Attributes:
        name: what reports call it.
        act: on the data of one input (c, *spatial), in the units of the original; must keep the shape.
        act_target: on the model's output for one input (classes,), linear: `same`, `swapped(0, 1)`, `negated`,
            `scaled(2.0)` or a function of your own.
        act_map: on a scalar field over the input (*spatial); NaN where nothing is known. None derives it from `act`:
            the field marks a small change of the data, and what matters is where `act` takes that change.
        undo: the inverse of `act_map`, for the interpolation floor of an action that is not exact.
        exact: whether the action moves samples onto samples, so that nothing is interpolated.
        bind: `(input, resolution) -> Law`, for laws that depend on axes and channels; None where `act` is all.
        near: laws that are measured beside this one and carry no verdict (shifts that the grid cannot follow).
    """

    name: str
    act: Change
    act_target: Change = same
    act_map: Change | None = None
    undo: Change | None = None
    exact: bool = True
    bind: Callable[[Input, Resolution], "Law"] | None = None
    near: tuple["Law", ...] = ()

    def of(self, input: Input, resolution: Resolution) -> "Law":
        """Return the law for one input.

        Raises:
            InputError: the input lacks what the law needs.
        """
        return self if self.bind is None else self.bind(input, resolution)

    def changed(self, input: Input) -> Float[Tensor, "c *spatial"]:
        """Return the data after the action; the law must be bound.

        Raises:
            InputError: the action leaves the domain: another shape, values that are not finite, or a picture outside
                of 0..1.
            UsageError: the action returns no tensor.
        """
        data = input.data.detach()
        found: Any = self.act(data.clone())
        if not isinstance(found, Tensor):
            raise UsageError(f"The law {self.name!r} returns a {type(found).__name__}; act(x) must return a tensor.")
        if found.shape != data.shape:
            raise InputError(
                f"The law {self.name!r} leaves the domain: it makes {tuple(found.shape)} of {input.name} with shape "
                f"{tuple(data.shape)}; give inputs that it maps onto themselves, such as square ones for rotations."
            )
        if not bool(found.isfinite().all()):
            count = int((~found.isfinite()).sum())
            raise InputError(
                f"The law {self.name!r} leaves the domain: {count} values of {input.name} are not finite afterward; "
                "let it return values that the model can take."
            )
        if input.picture and (float(found.min()) < -1e-6 or float(found.max()) > 1 + 1e-6):
            raise InputError(
                f"The law {self.name!r} leaves the domain: it takes the picture {input.name} from 0..1 to "
                f"{float(found.min()):.3g}..{float(found.max()):.3g}; a picture has no such values."
            )
        return found.to(data)

    def moved(self, field: Float[Tensor, "*spatial"], input: Input) -> Float[Tensor, "*spatial"]:
        """Return a scalar field over the input after the action on maps; the law must be bound."""
        if self.act_map is not None:
            return self.act_map(field)
        return _pushed(self.act, field.double(), input.data.detach().double()).to(field.dtype)

    def target_of(self, index: int, classes: int) -> tuple[int, float]:
        """Return the class that an explained class becomes, and the factor of its score.

        Raises:
            UsageError: the action on the target is not linear, changes the shape or mixes classes.
        """
        zero, one = torch.zeros(classes, dtype=torch.float64), torch.zeros(classes, dtype=torch.float64)
        one[index] = 1.0
        nothing, found = self.act_target(zero), self.act_target(one)
        if nothing.shape != zero.shape or found.shape != one.shape:
            raise UsageError(f"act_target of {self.name!r} changes the shape of an output of {classes} classes.")
        gain = found - nothing
        places = gain.nonzero().flatten().tolist()
        if len(places) != 1:
            raise UsageError(
                f"act_target of {self.name!r} makes {len(places)} classes of class {index}; give an action that takes "
                "each class to one class."
            )
        return int(places[0]), float(gain[places[0]])


def _pushed(
    act: Change, field: Float[Tensor, "*spatial"], data: Float[Tensor, "c *spatial"]
) -> Float[Tensor, "*spatial"]:
    """Return where an action takes a small change of the data: the length over channels of what becomes of it.

    Positive and negative parts go separately, so that signs of vector components do not mix with those of the map.
    """
    size = float(data.abs().mean()) or 1.0
    reference = act(data.clone())
    largest = float(field[field.isfinite()].abs().max()) if bool(field.isfinite().any()) else 0.0
    if largest == 0.0:
        return field
    step = 1e-3 * size / largest
    parts: list[Tensor] = []
    for part in (field.clamp(min=0), (-field).clamp(min=0)):
        each: list[Tensor] = []
        for channel in range(len(data)):
            bumped = data.clone()
            bumped[channel] += step * part
            each.append((act(bumped) - reference).square().sum(0))
        parts.append((torch.stack(each).sum(0) / len(data)).sqrt() / step)
    return parts[0] - parts[1]


def names_of(laws: Sequence[Law]) -> list[str]:
    """Return the laws' names."""
    return [law.name for law in laws]
