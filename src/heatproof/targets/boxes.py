"""Why these boxes: the summed score of all detections of a class."""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from heatproof.errors import TargetError
from heatproof.models.targets import Names, class_index
from heatproof.targets._detections import detections
from heatproof.targets._kind import Kind
from heatproof.targets.box import check_activation, plain
from heatproof.types import Target


@dataclass(frozen=True)
class Boxes(Kind):
    """The sum of the scores of all detections of a class that score `min_score` or more; 0 where there are none.

    Attributes:
        label: class index or label.
        min_score: smallest score (probability) that counts as a detection.
        activation: as for `Box`.

    Raises:
        TargetError: min_score is out of range; when bound, no detection counts (the message says the best score).
    """

    label: int | str
    min_score: float = 0.5
    activation: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        if not 0 <= self.min_score < 1:
            raise TargetError(f"min_score is {self.min_score}; it must be at least 0 and below 1.")
        check_activation(self.activation)

    @property
    def name(self) -> str:
        """The class, as it was given."""
        return f"all boxes of {self.label if isinstance(self.label, str) else f'class {self.label}'}"

    @property
    def route(self) -> Hashable:
        """The same for all: every box is read off the same scales."""
        return type(self)

    def __call__(self, output: Any) -> Tensor:
        """Return y ()."""
        scores = detections(output, plain(self.label), self.activation).scores
        return scores[scores.detach() >= self.min_score].sum()

    def bind(self, output: Any, names: Names) -> Target:
        """Return the target with the model's label."""
        index = class_index(self.label, names)
        scores = detections(output, index, self.activation).scores.detach()
        label = names.label(index)
        if not bool((scores >= self.min_score).any()):
            best = (
                f"the best of {len(scores)} scores {float(scores.max()):.3g}" if len(scores) else "there is none at all"
            )
            raise TargetError(
                f"No box of {label!r} scores {self.min_score:g} or more in this input: {best}; lower min_score, or "
                "name another label."
            )
        return Target(f"all boxes of {label}", function=replace(self, label=index))
