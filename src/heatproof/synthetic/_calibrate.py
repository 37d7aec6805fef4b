"""How often checks err on problems whose answer is known: known answer against verdict, with bounds."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from scipy.stats import beta

from heatproof.checks._run import check
from heatproof.errors import UsageError
from heatproof.plugins import Plugin
from heatproof.synthetic._instance import Answer, Instance
from heatproof.types import Verdict

CHEAPLY: Mapping[str, dict[str, Any]] = {
    "sanity": {"cascades": (), "cascade_draws": 1},
    "faithfulness": {"subsets": 10},
}
"""Settings that leave out what carries no verdict; no margin is among them."""
_WRONG: Mapping[Answer, Verdict] = {"good": "undermines", "bad": "supports"}


@dataclass(eq=False)
class Confusion:
    """Verdicts of one check on planted problems.

    Attributes:
        check: its name.
        counts: how often each verdict was given for each known answer.
        mistakes: what was planted where the verdict was wrong.
    """

    check: str
    counts: Counter[tuple[Answer, Verdict]] = field(default_factory=Counter[tuple[Answer, Verdict]])
    mistakes: Counter[str] = field(default_factory=Counter[str])

    def add(self, instance: Instance, family: str, verdict: Verdict) -> None:
        """Count one verdict."""
        self.counts[instance.answer, verdict] += 1
        if verdict == _WRONG[instance.answer]:
            self.mistakes[f"{family}: {instance.what}"] += 1

    def total(self, answer: Answer) -> int:
        """Return how many problems had this answer."""
        return sum(count for (known, _), count in self.counts.items() if known == answer)

    def decided(self) -> float:
        """Return the share of the problems with a verdict; NaN without problems."""
        whole = self.counts.total()
        told = sum(count for (_, verdict), count in self.counts.items() if verdict in ("supports", "undermines"))
        return told / whole if whole else float("nan")

    def wrong(self, answer: Answer) -> tuple[int, float]:
        """Return how many verdicts on such problems were false, and the upper bound of their rate (one-sided, 95 %)."""
        return (count := self.counts[answer, _WRONG[answer]]), upper_bound(count, self.total(answer))


def upper_bound(count: int, total: int, level: float = 0.95) -> float:
    """Return the one-sided upper confidence bound of a rate; 1 where nothing was tried.

    Source: Clopper and Pearson 1934, "The use of confidence or fiducial limits illustrated in the case of the
    binomial".
    """
    return 1.0 if count >= total else float(beta.ppf(level, count + 1, total - count))


def problems(
    families: Sequence[Plugin], checks: Iterable[str], per_check: int, seed: int
) -> Iterator[tuple[str, Instance]]:
    """Return (family, problem), at least `per_check` for every check that the families have problems for.

    The families are drawn from in turn, with seeds that count up from `seed`, until each check has enough. What a
    family makes of one seed shares a network and inputs; so that problems of one known answer are independent of each
    other, only one of them is taken from each family and seed, of every kind in turn.

    Raises:
        UsageError: no family has problems for one of the checks, or there are no families.
    """
    wanted = dict.fromkeys(checks, 0)
    serving = list(families)
    for step in range(per_check):
        for family in tuple(serving):
            made = [one for one in family.function(seed + step) if one.check in wanted]
            if not made:  # it plants the same checks whatever the seed, and some families train networks
                serving.remove(family)
            for one in _in_turn(made, step):
                if wanted[one.check] < per_check:
                    wanted[one.check] += 1
                    yield family.name, one
        if step == 0 and (missing := [name for name, count in wanted.items() if count == 0]):
            raise UsageError(f"No family of planted problems is for {', '.join(missing)}; leave it out.")
        if min(wanted.values(), default=per_check) >= per_check:
            return


def _in_turn(made: Sequence[Instance], step: int) -> list[Instance]:
    kinds: dict[tuple[str, Answer], list[Instance]] = {}
    for one in made:
        kinds.setdefault((one.check, one.answer), []).append(one)
    return [each[step % len(each)] for each in kinds.values()]


def calibrate(
    planted: Iterable[tuple[str, Instance]],
    settings: Mapping[str, dict[str, Any]] = CHEAPLY,
    advance: Callable[[], None] = lambda: None,
) -> dict[str, Confusion]:
    """Return, per check, the verdicts on planted problems.

    Args:
        planted: family and problem, see `problems`.
        settings: of single checks.
        advance: called after each problem.
    """
    found: dict[str, Confusion] = {}
    for family, one in planted:
        (result,) = check(
            one.model,
            one.inputs,
            one.check,
            target=one.target,
            method=one.method,
            layer=one.layer,
            annotations=one.annotations,
            settings={one.check: {**settings.get(one.check, {}), **one.settings}},
        )
        found.setdefault(one.check, Confusion(one.check)).add(one, family, result.verdict)
        advance()
    return found
