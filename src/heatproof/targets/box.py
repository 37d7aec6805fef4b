"""Why this box: the score of a detection, followed by its overlap while the input is changed."""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from heatproof.errors import TargetError
from heatproof.models.targets import Names, class_index
from heatproof.targets._detections import Detections, detections, iou
from heatproof.targets._kind import Kind
from heatproof.types import Target


@dataclass(frozen=True)
class Box(Kind):
    """The score (probability) of the detection that is most this box: largest IoU x score, of IoU `min_iou` or more.

    A box that is not found on the explained input is an error. While inputs are changed (masked, perturbed), a box that
    vanishes has the score 0, with a gradient of 0.
    Source: Petsiuk et al. 2021, "D-RISE" (the detection with the largest product of overlap and score).

    Attributes:
        box: x0, y0, x1, y1 in the detector's own units: pixels of the model's input for torchvision, fractions of the
            picture for DETR and its successors (or pixels, with `size`).
        label: class index or label; None takes the class of the matched detection, and keeps it.
        min_iou: smallest overlap, above 0 and up to 1.
        size: (height, width) of the picture that `box` is measured in, for detectors that return fractions.
        activation: of logits: "softmax" with the last class "no object" (DETR), or "sigmoid"; None knows transformers'
            detectors by the type of their output and takes "softmax" otherwise.

    Raises:
        TargetError: the box has no extent, min_iou is out of range; when bound, no detection matches (the message says
            how close the nearest comes), or the output is not a detector's.
    """

    box: Any
    label: int | str | None = None
    min_iou: float = 0.5
    size: Any = field(default=None, kw_only=True)
    activation: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        try:
            corners = tuple(float(v) for v in self.box)
        except (TypeError, ValueError) as error:
            raise TargetError(f"The box is {self.box!r}; give four numbers: x0, y0, x1, y1.") from error
        if len(corners) != 4 or not (corners[0] < corners[2] and corners[1] < corners[3]):
            raise TargetError(f"The box {corners} has no extent; give x0, y0, x1, y1 with x0 < x1 and y0 < y1.")
        if not 0 < self.min_iou <= 1:
            raise TargetError(f"min_iou is {self.min_iou}; it must be above 0 and at most 1.")
        if self.size is not None:
            size = tuple(int(v) for v in self.size)
            if len(size) != 2 or min(size) < 1:
                raise TargetError(f"size={size} is not the (height, width) of a picture.")
            object.__setattr__(self, "size", size)
        check_activation(self.activation)
        object.__setattr__(self, "box", corners)

    @property
    def name(self) -> str:
        """The class as it was given, and the box."""
        label = (
            "detection" if self.label is None else self.label if isinstance(self.label, str) else f"class {self.label}"
        )
        return self._title(label)

    @property
    def route(self) -> Hashable:
        """The same for all: every box is read off the same scales."""
        return type(self)

    def __call__(self, output: Any) -> Tensor:
        """Return y (), 0 where the box is not found."""
        found = detections(output, plain(self.label), self.activation)
        index, _ = self._match(found)
        return found.scores[:0].sum() if index is None else found.scores[index]

    def bind(self, output: Any, names: Names) -> Target:
        """Return the target with the class of the detection that matches now."""
        label = None if self.label is None else class_index(self.label, names)
        found = detections(output, label, self.activation)
        index, overlaps = self._match(found)
        if index is None:
            raise TargetError(self._missing(found, overlaps, label, names))
        label = int(found.labels[index])
        return Target(self._title(names.label(label)), function=replace(self, label=label))

    def _title(self, label: str) -> str:
        return f"{label} in the box ({', '.join(f'{v:g}' for v in self.box)})"

    def _match(self, found: Detections) -> tuple[int | None, Tensor]:
        """Return which detection matches, or None, and the IoU (m,) of all."""
        overlaps = iou(self._corners(found), found.boxes)
        near = overlaps >= self.min_iou
        if not bool(near.any()):
            return None, overlaps
        return int(torch.where(near, overlaps * found.scores.detach(), -1).argmax()), overlaps

    def _corners(self, found: Detections) -> Tensor:
        corners = found.boxes.new_tensor(self.box)
        if not found.relative:
            if self.size is not None:
                raise TargetError(
                    "This detector's boxes are pixels of its input; give the box in these, without size=."
                )
            return corners
        if self.size is not None:
            return corners / corners.new_tensor([self.size[1], self.size[0]] * 2)
        if max(self.box) > 2:
            raise TargetError(
                f"The box {self.box} is not in fractions of the picture, as this detector's are; pass "
                "size=(height, width) of the picture that it is measured in."
            )
        return corners

    def _missing(self, found: Detections, overlaps: Tensor, label: int | None, names: Names) -> str:
        which = "" if label is None else f" of {names.label(label)!r}"
        if not len(overlaps):
            return (
                f"The detector finds no box{which} in this input, so {self.box} cannot be explained; try another label."
            )
        best = int(overlaps.argmax())
        scale = found.boxes.new_tensor([self.size[1], self.size[0]] * 2) if self.size is not None else 1
        nearest = ", ".join(f"{v:.4g}" for v in (found.boxes[best] * scale).tolist())
        return (
            f"No detection{which} overlaps the box {self.box} with IoU {self.min_iou:g} or more: the best of "
            f"{len(overlaps)} has IoU {float(overlaps[best]):.2f}, at ({nearest}); "
            "give a detected box, or a lower min_iou."
        )


def check_activation(activation: object) -> None:
    """Raise TargetError if this is no activation of a detector's logits."""
    if activation not in (None, "softmax", "sigmoid"):
        raise TargetError(f"activation is {activation!r}; it must be 'softmax', 'sigmoid' or None.")


def plain(label: int | str | None) -> int | None:
    """Return a label that needs no model's names.

    Raises:
        TargetError: it needs them.
    """
    if isinstance(label, str):
        raise TargetError(f"The label {label!r} is looked up in the model's labels; pass it to explain(), or an index.")
    return label
