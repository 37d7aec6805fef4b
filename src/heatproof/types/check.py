"""The answer of one check: what was claimed, what was measured against which null, and the verdict."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Verdict = Literal["supports", "undermines", "inconclusive", "not applicable"]


@dataclass(frozen=True)
class Interval:
    """A confidence interval for an estimate.

    Attributes:
        estimate: the point estimate.
        low: lower limit.
        high: upper limit.
        level: nominal coverage, such as 0.95.
    """

    estimate: float
    low: float
    high: float
    level: float = 0.95


@dataclass(frozen=True, eq=False)
class CheckResult:
    """The answer of one check.

    Attributes:
        check: the check's name.
        claim: the sentence that is tested.
        about: whether the verdict speaks of the map or of the model.
        statistic: name of the primary statistic.
        value: its estimate and interval; None where it could not be computed.
        null: the value under the named null, with its interval; None without one.
        null_name: what the null is, in words.
        ceiling: the value that a perfect result would reach, with its interval; None without one.
        margin: fixed before the data were seen: within it of the null the effect counts as none.
        alpha: error rate that the intervals are made for: its part, where several verdicts share one.
        n: how many resampling units there were.
        unit: the resampling unit: "input", or the clusters' name.
        verdict: "supports", "undermines", "inconclusive" or "not applicable".
        why: one sentence.
        n_needed: units that a verdict would need; None where there is one, or where it cannot be told.
        forwards: cost in forwards of the model per input.
        per_input: a table: column name -> one value per input.
        curves: named curves for the picture: name -> (x values, y values).
        details: further statistics, exploratory: they carry no verdict.
        settings: seeds and settings: what is needed to run it again.
        again: the same answer at another alpha, from what was measured already, so that several verdicts can share
            one; None where a check does not offer it, and once it was pickled.
    """

    check: str
    claim: str
    about: Literal["map", "model"]
    statistic: str
    value: Interval | None
    null: Interval | None
    null_name: str
    ceiling: Interval | None
    margin: float
    alpha: float
    n: int
    unit: str
    verdict: Verdict
    why: str
    n_needed: int | None = None
    forwards: float = 0.0
    per_input: Mapping[str, Sequence[Any]] = field(default_factory=dict[str, Sequence[Any]])
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]] = field(
        default_factory=dict[str, tuple[Sequence[float], Sequence[float]]]
    )
    details: Mapping[str, Any] = field(default_factory=dict[str, Any])
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    again: "Callable[[float], CheckResult] | None" = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Return what is pickled: all but `again`, which holds the whole study."""
        return {**self.__dict__, "again": None}

    def plot(self) -> "Figure":
        """Return one small figure: statistic with its interval, null, ceiling and margin."""
        from heatproof.report.check import plot_check

        return plot_check(self)
