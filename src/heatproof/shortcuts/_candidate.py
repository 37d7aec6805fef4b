"""What may be a shortcut, what experiments say of it, and the verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.types import CheckResult, Interval

Change = Callable[[Sequence[int], float], Float[Tensor, "m c *spatial"]]
"""`(rows, amount) -> those inputs of the survey, changed`: adds a global cue (1: as much as tells those that have it
from the others), or takes it away (-1)."""

ShortcutVerdict = Literal["confirmed", "relies but relevance unclear", "not reliant", "inconclusive"]


@dataclass(frozen=True, eq=False)
class Candidate:
    """A feature that a model may lean on.

    Attributes:
        name: what reports call it.
        kind: "region" lies somewhere in the input, "global" is everywhere (a tint), "column" is what a table says of
            the input; it can be edited where a cue or a place was found that goes with it (masks or change).
        origin: "found" without being named, or "given" by a person.
        label: index of the class whose score it is thought to raise.
        present: (n,) per input of the survey, whether it has the feature.
        masks: (n, *spatial) where a region lies, in the frame of the model's input; empty where it is absent.
        change: adds or removes a global cue, off the marked object where there is one.
        whole: does so everywhere, the object with it; None where no object is marked.
        off_object: share of the region that lies outside what the expert marked; NaN without annotations.
        rank: the higher, the more suspicious; NaN for those that were given.
        exemplars: numbers of the inputs that show it best.
        counter_exemplars: numbers of inputs with the same label that lack it.
        details: what discovery found: evidence mass, lift, stability under the bootstrap, odds ratio.
    """

    name: str
    kind: Literal["region", "global", "column"]
    origin: Literal["found", "given"]
    label: int
    present: Bool[Tensor, " n"]
    masks: Bool[Tensor, "n *spatial"] | None = None
    change: Change | None = None
    whole: Change | None = None
    off_object: float = float("nan")
    rank: float = float("nan")
    exemplars: tuple[int, ...] = ()
    counter_exemplars: tuple[int, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, eq=False)
class Effect:
    """What one experiment did to the target, treatment minus control, in standard deviations of the target.

    Attributes:
        name: of the experiment, such as "remove (donor)".
        values: (n,) per input of the survey; NaN where the experiment was not made.
        interval: of the mean, over clusters.
        p: of the sign-flip permutation test over clusters, two-sided.
        flips: share of inputs whose decision about the class changed under treatment, and under control.
        n: clusters in it.
    """

    name: str
    values: Float[Tensor, " n"]
    interval: Interval
    p: float
    flips: tuple[float, float]
    n: int


@dataclass(frozen=True, eq=False)
class Finding:
    """The answer about one candidate.

    Attributes:
        candidate: what was put to the test.
        verdict: "confirmed", "relies but relevance unclear", "not reliant" or "inconclusive".
        result: the same as a check's answer: claim, interval, margin, verdict, and the sentence why.
        effects: of each experiment.
        dose: experiment -> (doses, mean effects), 0 to 1.
        subgroups: performance with and without the feature: name -> value.
        table: how often the feature goes with the class: counts (feature, class) and the odds ratio with its interval.
        edits: some inputs before and after: name of the edit -> (rows, edited inputs (m, c, *spatial)).
    """

    candidate: Candidate
    verdict: ShortcutVerdict
    result: CheckResult
    effects: Mapping[str, Effect]
    dose: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]]
    subgroups: Mapping[str, float]
    table: Mapping[str, Any]
    edits: Mapping[str, tuple[tuple[int, ...], Float[Tensor, "m c *spatial"]]]
