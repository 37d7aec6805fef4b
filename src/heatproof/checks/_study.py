"""What every check starts from: the explainer, its inputs, and what is known about them."""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.checks._stats import bootstrap
from heatproof.explain import Explainer
from heatproof.explain.gather import Gathered
from heatproof.types import Explanation, Interval


@dataclass(frozen=True, eq=False)
class Study:
    """One model's explanations of n inputs, for one target each, with what is known about the inputs.

    Attributes:
        explainer: makes the maps.
        explanation: the maps (n, 1, *grid) under test.
        batches: what was given to the network, in chunks, in the order of the explanation.
        clusters: per input, what it belongs to (a patient); inputs of one cluster are resampled together.
        cluster_name: what clusters are called in reports; "input" without them.
        annotations: (n, *input_spatial) boolean masks in the frame of the model's input; None without annotations.
        seed: of everything drawn.
        alpha: error rate of the intervals.
        settings: of single checks: name of the check -> keyword arguments.
    """

    explainer: Explainer
    explanation: Explanation
    batches: tuple[Gathered, ...]
    clusters: tuple[Hashable, ...]
    cluster_name: str = "input"
    annotations: Tensor | None = None
    seed: int = 0
    alpha: float = 0.05
    settings: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    @property
    def n(self) -> int:
        """How many inputs there are."""
        return len(self.explanation)

    def interval(self, values: Float[Tensor, " n"]) -> Interval:
        """Return the interval of the mean of one number per input; inputs without a finite number are left out."""
        finite = torch.where(values.isfinite(), values, torch.nan)
        return bootstrap(finite, self.clusters, seed=self.seed, level=1 - self.alpha)

    def names(self) -> Sequence[str]:
        """Return the inputs' names."""
        return [one.name for one in self.explanation.inputs]
