"""Why P rather than Q: the difference of two targets."""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from heatproof.errors import TargetError
from heatproof.models.targets import Names, bind, scores_of_one, value
from heatproof.targets._kind import Kind
from heatproof.targets.against import spell
from heatproof.targets.classes import unnamed
from heatproof.types import Target


@dataclass(frozen=True)
class Contrast(Kind):
    """Why P rather than Q: y = y_p - weight * y_q.

    Source: Prabhushankar et al. 2020, "Contrastive Explanations in Neural Networks" (the question); the weighted
    difference of logits is that of Zhang et al. 2025, "Finer-CAM", with one class to compare with.

    Attributes:
        p: class index, label, callable or other target; None is the predicted class.
        q: the same; None is the strongest class other than p.
        weight: how much of q is taken off.

    Raises:
        TargetError: the weight is not finite; when bound, p or q does not exist, or is the other one.
    """

    p: Any = None
    q: Any = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not math.isfinite(self.weight):
            raise TargetError(f"The weight of a contrast is {self.weight}; it must be a finite number.")

    @property
    def name(self) -> str:
        """P rather than Q, as they were given."""
        other = "the runner-up" if self.q is None else spell(self.q)
        return _title(spell(self.p), other, self.weight)

    def __call__(self, output: Any) -> Tensor:
        """Return y ()."""
        p = unnamed(self.p, output)
        q = unnamed(_runner_up(p, output) if self.q is None else self.q, output)
        return value(p, output) - self.weight * value(q, output)

    def bind(self, output: Any, names: Names) -> Target:
        """Return the contrast of two bound targets, with the model's labels."""
        p = bind(self.p, output, names)
        q = bind(_runner_up(p, output) if self.q is None else self.q, output, names)
        if p == q:
            raise TargetError(f"The contrast compares {p.name!r} with itself; name two different targets.")
        return Target(_title(p.name, q.name, self.weight), function=Contrast(p, q, self.weight))


def _title(p: str, q: str, weight: float) -> str:
    return f"{p} rather than {q}" if weight == 1 else f"{p} rather than {weight:g} x {q}"


def _runner_up(p: Target, output: Any) -> int:
    if p.index is None:
        raise TargetError(f"{p.name!r} is not a class, so it has no runner-up; name q.")
    scores = scores_of_one(output).detach().clone()
    if len(scores) < 2:
        raise TargetError("The model has one output, so there is no other class to compare with; use Against(None).")
    scores[p.index] = -math.inf
    return int(scores.argmax())
