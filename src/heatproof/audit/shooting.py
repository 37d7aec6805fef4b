"""One forward for everything that a row says: scores of all classes, maps of the predicted class and the runner-up."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.explain import Explainer
from heatproof.explain.gather import gather
from heatproof.models import Model
from heatproof.models.outputs import class_scores
from heatproof.models.targets import resolve
from heatproof.types import Explanation, Prepared, Target


@dataclass(frozen=True, eq=False)
class Shots:
    """Some inputs, explained.

    Attributes:
        explanation: maps (n, t, *grid): of the predicted class, then of the runner-up.
        outputs: (n, k) scores of all classes.
    """

    explanation: Explanation
    outputs: Float[Tensor, "n k"]

    @cached_property
    def predicted(self) -> list[int]:
        """The predicted class of each input; with one output, 1 where it is positive."""
        if self.outputs.shape[1] == 1:
            return (self.outputs[:, 0] > 0).long().tolist()
        return self.outputs.argmax(1).tolist()

    @cached_property
    def runner_up(self) -> list[int | None]:
        """The class with the second highest score; None with one output."""
        if self.outputs.shape[1] == 1:
            return [None] * len(self.outputs)
        return self.outputs.topk(2, 1).indices[:, 1].tolist()

    @cached_property
    def probabilities(self) -> Float[Tensor, "n k"]:
        """Probabilities of the classes, see `as_probabilities`."""
        return as_probabilities(self.outputs)


def shoot(explainer: Explainer, prepared: Sequence[Prepared]) -> Shots:
    """Explain a batch for the predicted class and the runner-up; all in one forward.

    Raises:
        InputError, TargetError, LayerError, MethodError, ExplainError: as for `explain`.
    """
    resolver = _Ranked(explainer.model)
    with torch.inference_mode(False), explainer.engine.pool.steady():
        (gathered,) = gather(list(prepared), explainer.model, len(prepared))
        explanation = explainer.explain_batch(gathered, resolver)
    return Shots(explanation, resolver.outputs)


def as_probabilities(outputs: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    """Return scores as probabilities of the classes; with one output, of the negative and the positive.

    Scores that are probabilities already (none below 0, each row adds up to 1) stay as they are; others are taken for
    logits.
    """
    x = outputs.double()
    if x.shape[1] == 1:
        positive = x[:, 0].sigmoid()
        return torch.stack([1 - positive, positive], 1)
    given = bool((x >= 0).all()) and bool(((x.sum(1) - 1).abs() < 1e-4).all())
    return x if given else x.softmax(1)


class _Ranked:
    """Targets: the predicted class, then the runner-up. Keeps the scores of all classes."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.outputs: Tensor = torch.zeros(0, 0)

    def __call__(self, output: Any, n: int) -> tuple[tuple[Target, ...], ...]:
        scores = class_scores(output, n).detach().float().cpu()
        if len(scores) >= len(self.outputs):
            self.outputs = scores
        label, index, labels = self._model.label, self._model.index, self._model.labels
        count = None if labels is None else len(labels)
        if scores.shape[1] == 1:
            return resolve(None, output, n, label, index, count)
        top = scores.topk(2, 1).indices.tolist()
        return resolve(top, output, n, label, index, count)
