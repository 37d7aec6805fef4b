"""pytorch-grad-cam's target objects: callables from the output of one input to the scalar that is explained."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import TargetError


class ClassifierOutputTarget:
    """The score of a class; of an output (classes,), or of every row of (n, classes)."""

    def __init__(self, category: int) -> None:
        self.category = category

    def __call__(self, model_output: Float[Tensor, "*n classes"]) -> Float[Tensor, "*n"]:
        """Return the score."""
        return _of_class(model_output, self.category)


class ClassifierOutputSoftmaxTarget:
    """The probability of a class after the softmax."""

    def __init__(self, category: int) -> None:
        self.category = category

    def __call__(self, model_output: Float[Tensor, "*n classes"]) -> Float[Tensor, "*n"]:
        """Return the probability."""
        return _of_class(model_output, self.category, lambda scores: scores.softmax(-1))


class ClassifierOutputReST:
    """The score of a class plus the logarithm of its probability (arXiv:2501.06261)."""

    def __init__(self, category: int) -> None:
        self.category = category

    def __call__(self, model_output: Float[Tensor, "*n classes"]) -> Float[Tensor, "*n"]:
        """Return the sum."""
        return _of_class(model_output, self.category, lambda scores: scores + F.log_softmax(scores, -1))


class BinaryClassifierOutputTarget:
    """The only score of a two-class network, with its sign turned around for class 0."""

    def __init__(self, category: int) -> None:
        self.category = category

    def __call__(self, model_output: Tensor) -> Tensor:
        """Return the signed score."""
        return model_output if self.category == 1 else -model_output


class SoftmaxOutputTarget:
    """All probabilities after the softmax."""

    def __call__(self, model_output: Tensor) -> Tensor:
        """Return them; as a target only for one class, because a map explains one number."""
        return model_output.softmax(-1)


class RawScoresOutputTarget:
    """The output as it is, which must be one number per input."""

    def __call__(self, model_output: Tensor) -> Tensor:
        """Return the output."""
        return model_output


class SemanticSegmentationTarget:
    """The sum of a class's scores over a mask (h, w)."""

    def __init__(self, category: int, mask: np.ndarray) -> None:
        self.category = category
        self.mask = torch.from_numpy(mask)

    def __call__(self, model_output: Float[Tensor, "classes h w"]) -> Float[Tensor, ""]:
        """Return the sum."""
        return (model_output[self.category] * self.mask.to(model_output.device)).sum()


class FasterRCNNBoxScoreTarget:
    """How well boxes are found again: the sum of overlap and score of the best overlapping box of the same class.

    Args:
        labels: class of each box.
        bounding_boxes: (boxes, 4) as x1, y1, x2, y2.
        iou_threshold: a box whose best match overlaps no more than this, or has another class, adds 0.
    """

    def __init__(
        self, labels: Sequence[Any], bounding_boxes: np.ndarray | Tensor | Sequence[Any], iou_threshold: float = 0.5
    ) -> None:
        self.labels = labels
        self.bounding_boxes = bounding_boxes
        self.iou_threshold = iou_threshold

    def __call__(self, model_outputs: dict[str, Tensor]) -> Float[Tensor, "1"]:
        """Return the sum over the boxes."""
        boxes, scores, classes = (model_outputs[key] for key in ("boxes", "scores", "labels"))
        total = boxes.new_zeros(1)
        if len(boxes) == 0:
            return total
        for wanted, label in zip(self.bounding_boxes, self.labels, strict=True):
            overlaps = _overlaps(torch.as_tensor(wanted, device=boxes.device, dtype=boxes.dtype), boxes)
            best = int(overlaps.argmax())
            if overlaps[best] > self.iou_threshold and classes[best] == label:
                total = total + overlaps[best] + scores[best]
        return total


class FinerWeightedTarget:
    """The class's score above those of similar classes, averaged with their probabilities (arXiv:2501.11309).

    Args:
        main_category: the class.
        comparison_categories: the classes to compare with.
        alpha: how much of their scores is taken off.
    """

    def __init__(self, main_category: int, comparison_categories: Sequence[int], alpha: float) -> None:
        self.main_category = main_category
        self.comparison_categories = list(comparison_categories)
        self.alpha = alpha

    def __call__(self, model_output: Float[Tensor, "*n classes"]) -> Float[Tensor, "*n"]:
        """Return the weighted difference."""
        # a softmax over these classes alone is their probabilities divided by the sum, and never 0 / 0
        weights = model_output[..., self.comparison_categories].softmax(-1)
        differences = (
            model_output[..., [self.main_category]] - self.alpha * model_output[..., self.comparison_categories]
        )
        return (weights * differences).sum(-1)


def _of_class(output: Any, category: Any, change: Callable[[Tensor], Tensor] = lambda scores: scores) -> Tensor:
    """Return a class's column of the changed scores.

    Raises:
        TargetError: the output is no tensor of scores, or has no such class.
    """
    if not isinstance(output, Tensor) or not output.ndim:
        raise TargetError(
            f"The output of the model is {type(output).__name__}, not one score per class; pass a callable that "
            "returns a number of it, for example lambda output: output['logits'][3]."
        )
    if not -output.shape[-1] <= category < output.shape[-1]:
        raise TargetError(f"Class {category} does not exist: the model has {output.shape[-1]} classes.")
    return change(output)[..., category]


def _overlaps(box: Float[Tensor, "4"], boxes: Float[Tensor, "m 4"]) -> Float[Tensor, " m"]:
    """Return intersection over union."""
    sides = (torch.minimum(box[2:], boxes[:, 2:]) - torch.maximum(box[:2], boxes[:, :2])).clamp(min=0)
    common = sides.prod(-1)
    union = (box[2:] - box[:2]).prod(-1) + (boxes[:, 2:] - boxes[:, :2]).prod(-1) - common
    return common / union
