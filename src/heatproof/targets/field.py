"""A number made of an output field: its mean, largest value, ... over a region."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from heatproof.errors import TargetError, nearest
from heatproof.targets._field import tensor_of
from heatproof.targets._kind import Kind
from heatproof.targets._region import Region
from heatproof.types import Target


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.expand_as(values).sum()


def _root(square: Tensor) -> Tensor:
    return square.sqrt() if bool(square != 0) else square  # where all is 0, the gradient is 0 and not 0/0


def _rms(values: Tensor, weights: Tensor) -> Tensor:
    return _root(_mean(values.square(), weights))


def _std(values: Tensor, weights: Tensor) -> Tensor:
    return _rms(values - _mean(values, weights), weights)


_FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mean": _mean,
    "sum": lambda values, weights: (values * weights).sum(),
    "max": lambda values, weights: values[:, weights > 0].max(),
    "min": lambda values, weights: values[:, weights > 0].min(),
    "rms": _rms,
    "std": _std,
}


@dataclass(frozen=True)
class Field(Kind):
    """A functional of an output field (channels, *spatial), in the field's units.

    Attributes:
        function: "mean", "sum", "max", "min", "rms", "std" (over channels and region; all but max and min weighted by
            how much of a position lies in the region); or a function of the values (channels, places) in the region.
        mask: (*spatial) weights at any resolution, averaged by area onto the field's.
        box: (x0, y0, x1, y1), or 2 numbers for each axis of another field, instead of a mask.
        size: (height, width) of the picture that `box` is measured in; None is the field's own.
        channel: which channel; None is all of them.
        key: name of the field in a dict or object output; None finds "out", "logits", "prediction", ...

    Raises:
        TargetError: the function is unknown, the region is empty or contradicts itself; when evaluated, the output is
            no field, or has no such channel or part.
    """

    function: str | Callable[[Tensor], Tensor] = "mean"
    mask: Any = None
    box: Any = field(default=None, kw_only=True)
    size: Any = field(default=None, kw_only=True)
    channel: int | None = field(default=None, kw_only=True)
    key: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not callable(self.function) and self.function not in _FUNCTIONS:
            hint = nearest(str(self.function), _FUNCTIONS) or f"; known are {', '.join(_FUNCTIONS)}."
            raise TargetError(f"{self.function!r} is no function of a field{hint}")
        region = Region.of(self.mask, self.box, self.size)
        if region is not None:
            for name in ("mask", "box", "size"):
                object.__setattr__(self, name, getattr(region, name))

    @property
    def name(self) -> str:
        """The function, and the channel if one is chosen."""
        called = self.function if isinstance(self.function, str) else getattr(self.function, "__name__", "function")
        return f"{called} of {'the output' if self.channel is None else f'channel {self.channel}'}"

    def __call__(self, output: Any) -> Tensor:
        """Return y ()."""
        values = self._values(output)
        region = Region.of(self.mask, self.box, self.size)
        places = values[0].detach()
        weights = torch.ones_like(places) if region is None else region.weights(places)
        if callable(self.function):
            return self.function(values[:, weights > 0])
        return _FUNCTIONS[self.function](values, weights)

    def bind(self, output: Any, names: object) -> Target:
        """Return the target; its name says over what, and whether a mask is resampled."""
        region = Region.of(self.mask, self.box, self.size)
        spatial = tuple(self._values(output).shape[1:])
        over = "" if region is None else f" over {region.title(spatial)}"
        return Target(self.name + over, function=self)

    def _values(self, output: Any) -> Tensor:
        values = tensor_of(output, self.key, ("out", "prediction", "predicted_depth", "logits"), "field")
        if values.ndim == 0:
            raise TargetError("The output of one input is one number, not a field; it needs no target.")
        if values.ndim == 1:
            values = values[None]
        if self.channel is None:
            return values
        if not 0 <= self.channel < len(values):
            raise TargetError(f"Channel {self.channel} does not exist: the field has {len(values)} channels.")
        return values[self.channel : self.channel + 1]
