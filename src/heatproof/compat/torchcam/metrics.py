"""torchcam's ClassificationMetric: average drop and increase in confidence (Grad-CAM++, arXiv:1710.11063, sec. 4)."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.compat._maps import resized
from heatproof.compat.torchcam._extractor import Extractor, Targets, wanted_of
from heatproof.compat.torchcam._wrappers import FinerCAM, RefineCAM
from heatproof.errors import TargetError, UsageError


class ClassificationMetric:
    """How much of a score is left when the input is multiplied by its map, averaged over batches.

    Args:
        cam_extractor: makes the maps.
        logits_fn: applied to the model's output before a class is read; with `partial(torch.softmax, dim=-1)` the
            scores are probabilities. As in torchcam, the maps then explain what it returns.
    """

    def __init__(
        self, cam_extractor: Extractor | FinerCAM | RefineCAM, logits_fn: Callable[[Any], Any] | None = None
    ) -> None:
        self.cam_extractor = cam_extractor
        self.logits_fn = logits_fn
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self.drop, self.increase, self.total = 0.0, 0.0, 0

    def update(
        self, input_tensor: Tensor, class_idx: int | list[int] | None = None, *, targets: Targets | None = None
    ) -> None:
        """Add a batch (n, c, *spatial), for a class, one class per input, or the predicted ones.

        Args:
            input_tensor: what the network takes.
            class_idx: a class, or one per input; None is the predicted ones.
            targets: instead of classes, a callable from the scores of one input to a number, or one per input.

        Raises:
            TargetError: a list of another length than the batch, or a class does not exist.
        """
        extractor, n = self.cam_extractor, len(input_tensor)
        scores = self._scores(input_tensor)
        predicted = scores.argmax(1).tolist() if class_idx is None and targets is None else class_idx
        rows = wanted_of(predicted, targets, n)
        for row in rows:
            if isinstance(row, int) and row >= scores.shape[1]:
                raise TargetError(f"Class {row} does not exist: the model has {scores.shape[1]} classes.")
        maps = extractor.fuse_cams(extractor.of(input_tensor, [self._target(row) for row in rows]))
        masked = self._scores(resized(maps, input_tensor.shape[2:]).unsqueeze(1) * input_tensor)
        before, after = _read(scores, rows), _read(masked, rows)
        if bool((before <= 0).any()):
            raise UsageError(
                "The average drop divides by the score, and a score is not positive; pass "
                "logits_fn=functools.partial(torch.softmax, dim=-1)."
            )
        self.drop += float(((before - after).clamp(min=0) / before).sum())
        self.increase += float((before < after).sum())
        self.total += n

    def summary(self) -> dict[str, float]:
        """Return "avg_drop" and "conf_increase", both in 0..1.

        Raises:
            UsageError: there was no batch.
        """
        if not self.total:
            raise UsageError("There was no batch; call update(input_tensor) first.")
        return {"avg_drop": self.drop / self.total, "conf_increase": self.increase / self.total}

    def _scores(self, x: Tensor) -> Tensor:
        output = self.cam_extractor.output(x)
        return output if self.logits_fn is None else self.logits_fn(output)

    def _target(self, row: Any) -> Any:
        read = self.logits_fn

        def target(output: Tensor) -> Tensor:
            assert read is not None
            scores = read(output.unsqueeze(0))[0]
            return _one(scores, row)

        return row if read is None or isinstance(self.cam_extractor, FinerCAM) else target


def _read(scores: Tensor, rows: list[Any]) -> Float[Tensor, " n"]:
    """Return what is asked of each input's scores."""
    return torch.stack([_one(one, row).reshape(()) for one, row in zip(scores, rows, strict=True)])


def _one(scores: Tensor, row: Any) -> Tensor:
    """Return what is asked of one input's scores, by a class or a callable."""
    return scores[row] if isinstance(row, int) else row(scores)


def __getattr__(name: str) -> Any:
    """Answer for what is not offered."""
    if name == "DeletionInsertionMetric":
        raise UsageError(f"There is no {name}: use heatproof.check(model, inputs, 'faithfulness').")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
