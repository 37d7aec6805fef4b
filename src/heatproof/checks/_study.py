"""What every check starts from: the explainer, its inputs, and what is known about them."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.checks._stats import bootstrap
from heatproof.explain import Explainer
from heatproof.explain.gather import Gathered
from heatproof.types import CheckResult, Explanation, Interval


@dataclass(frozen=True, eq=False)
class Study:
    """One model's explanations of n inputs, for one target each, with what is known about the inputs.

    Attributes:
        explainer: makes the maps.
        explanation: the maps (n, 1, *grid) under test.
        batches: what was given to the network, in chunks, in the order of the explanation.
        clusters: per input, what it belongs to (a patient); inputs of one cluster are resampled together.
        cluster_name: what clusters are called in reports; "input" without them.
        keys: per input, a number that its content makes: what is drawn for it does not depend on the others' order.
        copies: inputs that are exactly the same as an earlier one; they belong to its cluster.
        annotations: (n, *input_spatial) boolean masks in the frame of the model's input; None without annotations.
        seed: of everything drawn.
        alpha: error rate of the intervals.
    """

    explainer: Explainer
    explanation: Explanation
    batches: tuple[Gathered, ...]
    clusters: tuple[Hashable, ...]
    cluster_name: str = "input"
    keys: tuple[int, ...] = ()
    copies: int = 0
    annotations: Tensor | None = None
    seed: int = 0
    alpha: float = 0.05

    @property
    def n(self) -> int:
        """How many inputs there are."""
        return len(self.explanation)

    def interval(self, values: Float[Tensor, " n"]) -> Interval:
        """Return the interval of the mean of one number per input; inputs without a finite number are left out."""
        finite = torch.where(values.isfinite(), values, torch.nan)
        return bootstrap(finite, self.clusters, seed=self.seed, level=1 - self.alpha)

    def answered(self, answer: "Callable[[Study], CheckResult]") -> CheckResult:
        """Return an answer, which can be had again at another alpha; `answer` only judges what was measured."""

        def again(alpha: float) -> CheckResult:
            return replace(answer(replace(self, alpha=alpha)), again=again)

        return replace(answer(self), again=again)

    def names(self) -> Sequence[str]:
        """Return the inputs' names."""
        return [one.name for one in self.explanation.inputs]

    def seeds(self, seed: int) -> list[int]:
        """Return a seed for each input that depends on nothing else but its content."""
        return [int.from_bytes(blake2b(f"{seed} {key}".encode(), digest_size=7).digest()) for key in self.keys]

    def generators(self, seed: int) -> list[torch.Generator]:
        """Return a source of randomness for each input, see `seeds`."""
        return [torch.Generator().manual_seed(one) for one in self.seeds(seed)]


def keys_of(tensor: Tensor) -> tuple[int, ...]:
    """Return a number per row that its content makes; the same for the same content."""
    rows = tensor.detach().cpu().contiguous().flatten(1).view(torch.uint8).numpy()
    return tuple(int.from_bytes(blake2b(row.tobytes(), digest_size=7).digest()) for row in rows)


def joined(clusters: Sequence[Hashable], keys: Sequence[int]) -> tuple[tuple[Hashable, ...], int]:
    """Return the clusters with those that share an input made one, and how many inputs are copies of earlier ones."""
    leader: dict[Hashable, Hashable] = {one: one for one in clusters}

    def first(one: Hashable) -> Hashable:
        while leader[one] != one:
            one = leader[one]
        return one

    seen: dict[int, Hashable] = {}
    for one, key in zip(clusters, keys, strict=True):
        if key in seen:
            leader[first(one)] = first(seen[key])
        seen.setdefault(key, one)
    return tuple(first(one) for one in clusters), len(keys) - len(seen)
