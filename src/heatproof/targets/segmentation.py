"""The mean logit of a class over a region of a segmentation, or over where the class is predicted."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from heatproof.errors import TargetError
from heatproof.models.targets import Names, class_index
from heatproof.targets._field import tensor_of
from heatproof.targets._frozen import FrozenArray
from heatproof.targets._kind import Kind
from heatproof.targets._region import Region
from heatproof.types import Target


@dataclass(frozen=True)
class Segmentation(Kind):
    """The mean logit of a class over a region of the output (classes, *spatial).

    Without a region: over where the class is predicted (the largest logit; above 0 for a single channel). These places
    are found once, on the explained input, and kept while inputs are changed.
    Source: Vinogradova et al. 2020, "Seg-Grad-CAM", with the mean in place of the sum.

    Attributes:
        label: class index or label.
        mask: (*spatial) weights at any resolution (the input's, the output's): averaged by area onto the output's.
        box: (x0, y0, x1, y1) instead of a mask.
        size: (height, width) of the picture that `box` is measured in; None is the output's own.
        key: name of the field in a dict or object output; None finds "out" and "logits".

    Raises:
        TargetError: the region is empty or contradicts itself; when bound, there is no such class, it is predicted
            nowhere, or the region does not fit the output.
    """

    label: int | str
    mask: Any = None
    box: Any = field(default=None, kw_only=True)
    size: Any = field(default=None, kw_only=True)
    key: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        region = Region.of(self.mask, self.box, self.size)
        if region is not None:
            for name in ("mask", "box", "size"):
                object.__setattr__(self, name, getattr(region, name))

    @property
    def name(self) -> str:
        """The class, as it was given."""
        return self.label if isinstance(self.label, str) else f"class {self.label}"

    def __call__(self, output: Any) -> Tensor:
        """Return y ()."""
        field = _field(output, self.key)
        if isinstance(self.label, str):
            raise TargetError(f"The label {self.label!r} is looked up in the model's labels; pass it to explain().")
        if not 0 <= self.label < len(field):
            raise TargetError(f"Class {self.label} does not exist: the output has {len(field)} classes.")
        logits = field[self.label]
        region = Region.of(self.mask, self.box, self.size)
        weights = region.weights(logits.detach()) if region is not None else _predicted(field, self.label)
        return (logits * weights).sum() / weights.sum()

    def bind(self, output: Any, names: Names) -> Target:
        """Return the target with the model's label and, where no region is given, the places where it is predicted."""
        field = _field(output, self.key)
        index = class_index(self.label, names)
        two = len(field) == 1 and names.count == 2
        if two and isinstance(self.label, str):
            if index == 0:
                raise TargetError(f"The one channel is the logit of {names.label(1)!r}; use Against(Segmentation(0)).")
            index = 0
        bound = replace(self, label=index)
        bound(output)  # says now what does not fit
        label = names.label(1) if two else names.label(index)
        spatial = tuple(field.shape[1:])
        region = Region.of(self.mask, self.box, self.size)
        if region is not None:
            return Target(f"{label}, mean over {region.title(spatial)}", function=bound)
        places = FrozenArray.of(_predicted(field, index).bool(), "mask")
        return Target(f"{label}, mean over where it is predicted", function=replace(bound, mask=places))


def _field(output: Any, key: str | None) -> Tensor:
    field = tensor_of(output, key, ("out", "logits"), "segmentation")
    if field.ndim < 2:
        raise TargetError(f"The output of one input has shape {tuple(field.shape)}, not (classes, *spatial).")
    return field


def _predicted(field: Tensor, index: int) -> Tensor:
    winner = field.detach().argmax(0)
    places = field[0].detach() > 0 if len(field) == 1 else winner == index
    if not bool(places.any()):
        others = "" if len(field) == 1 else f" (predicted are {torch.unique(winner).tolist()[:10]})"
        raise TargetError(
            f"Class {index} is predicted nowhere in this input{others}; pass a mask or box, or another class."
        )
    return places.to(field.dtype)
