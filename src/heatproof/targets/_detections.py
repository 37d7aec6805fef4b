"""What detectors return for one input, brought to one form: boxes, labels, scores with a gradient."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from heatproof.errors import TargetError

_SOFTMAX = ("DetrObjectDetectionOutput", "YolosObjectDetectionOutput", "TableTransformerObjectDetectionOutput")
"""transformers' outputs in which the last class is "no object"; all its later detectors score classes on their own."""


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes found in one input.

    Attributes:
        boxes: (m, 4) x0, y0, x1, y1.
        labels: (m,) class indices.
        scores: (m,) probabilities, connected to their graph.
        relative: whether boxes are fractions of the picture, not pixels of the model's input.
    """

    boxes: Float[Tensor, "m 4"]
    labels: Int[Tensor, " m"]
    scores: Float[Tensor, " m"]
    relative: bool


def detections(output: Any, label: int | None, activation: str | None) -> Detections:
    """Return the boxes of a class, or of all classes, in a detector's output for one input.

    Takes torchvision's {boxes, labels, scores}, and what DETR and its successors return: logits (q, classes) and
    pred_boxes (q, 4), center and size as fractions of the picture; there, every query is a box of each class.

    Raises:
        TargetError: it is no such output, or there is no such class.
    """
    part = output if isinstance(output, Mapping) else vars(output) if hasattr(output, "__dict__") else {}
    if all(isinstance(part.get(name), Tensor) for name in ("boxes", "labels", "scores")):
        boxes, labels, scores = part["boxes"], part["labels"], part["scores"]
        of_label = slice(None) if label is None else labels == label
        return Detections(boxes[of_label].detach(), labels[of_label], scores[of_label], relative=False)
    logits = part.get("logits") if isinstance(part.get("logits"), Tensor) else part.get("pred_logits")
    boxes = part.get("pred_boxes")
    if not isinstance(logits, Tensor) or not isinstance(boxes, Tensor):
        keys = f" with the keys {sorted(map(str, part))}" if part else ""
        raise TargetError(
            f"The model returns {type(output).__name__}{keys} for one input, not the boxes of a detector (boxes, "
            "labels, scores, or logits and pred_boxes); use another target."
        )
    if activation is None:
        named = hasattr(output, "to_tuple") and type(output).__name__ not in _SOFTMAX
        activation = "sigmoid" if named else "softmax"
    scores = logits.softmax(-1)[:, :-1] if activation == "softmax" else logits.sigmoid()
    if label is not None and not 0 <= label < scores.shape[1]:
        raise TargetError(f"Class {label} does not exist: the detector has {scores.shape[1]} classes, 0 the first.")
    best, labels = scores.max(-1)
    if label is not None:
        best, labels = scores[:, label], torch.full_like(labels, label)
    center, half = boxes.detach()[:, :2], boxes.detach()[:, 2:] / 2
    return Detections(torch.cat([center - half, center + half], 1), labels, best, relative=True)


def iou(box: Float[Tensor, "4"], boxes: Float[Tensor, "m 4"]) -> Float[Tensor, " m"]:
    """Return the area that a box shares with each of the others, relative to what both cover; 0 to 1."""
    shared = (torch.minimum(box[2:], boxes[:, 2:]) - torch.maximum(box[:2], boxes[:, :2])).clamp(min=0).prod(1)
    both = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1) - shared
    return torch.where(both > 0, shared / both, 0)
