"""From paired experiments to a verdict: is there an effect that matters, both ways, whatever stands in the place?

Unit: standard deviations of the class's log odds over the data set. An effect matters above the margin, which is fixed
beforehand. CONFIRMED takes removal and paste, each beyond the margin, each imputer by itself above zero, and a feature
that the task does not license: one that a person named, or that lies off the object; a cue of the whole input has to
matter off the marked object as well, and to go with the class. NOT RELIANT takes both inside the margin, on either
side (an equivalence test). Candidates share alpha by Holm's procedure.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import nan

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.checks._stats import bootstrap, decide, n_needed, share_alpha
from heatproof.checks._verdict import FEWEST
from heatproof.shortcuts._candidate import Candidate, Effect, Finding, ShortcutVerdict
from heatproof.shortcuts._prevalence import prevalence
from heatproof.shortcuts._survey import Survey
from heatproof.shortcuts.intervene import OFF, Trial, Trials
from heatproof.types import CheckResult, Interval
from heatproof.types.check import Verdict

STATISTIC = "paired change of the log odds, in standard deviations"
PERMUTATIONS = 4000
_EXACT = 12
_COMMON: Mapping[ShortcutVerdict, Verdict] = {
    "confirmed": "undermines",
    "relies but relevance unclear": "inconclusive",
    "not reliant": "supports",
    "inconclusive": "inconclusive",
}
"""The common verdict on the claim that the model does not lean on the feature."""
OFF_OBJECT = 0.5
"""Share of a found region that must lie off the object for the task not to license it."""


@dataclass(frozen=True, eq=False)
class Judged:
    """A verdict at one share of alpha, with the interval that it rests on."""

    verdict: ShortcutVerdict
    why: str
    value: Interval | None
    n: int
    needed: int | None

    @property
    def decided(self) -> bool:
        """Whether this is an answer."""
        return self.verdict in ("confirmed", "not reliant", "relies but relevance unclear")


def decide_all(
    survey: Survey, tried: Sequence[tuple[Candidate, Trials, Sequence[int]]], margin: float
) -> list[Finding]:
    """Return a finding for each candidate, whose experiments were made on the rows given; alpha is shared.

    Args:
        survey: of the model.
        tried: candidates with their experiments and the rows they were made on.
        margin: smallest effect that matters, in standard deviations of the log odds.
    """
    effects = [_effects(survey, candidate, trials) for candidate, trials, _ in tried]

    def test(number: int) -> Callable[[float], Judged]:
        candidate, trials, rows = tried[number]
        return lambda alpha: _judged(survey, candidate, trials, rows, effects[number], margin, alpha)

    tests = [test(number) for number in range(len(tried))]
    found = share_alpha(tests, survey.alpha, lambda one: one.decided)
    return [
        _finding(survey, candidate, trials, rows, each, judged, margin, alpha)
        for (candidate, trials, rows), each, (judged, alpha) in zip(tried, effects, found, strict=True)
    ]


def sign_flip(values: Float[Tensor, " g"], seed: int = 0) -> float:
    """Return the two-sided p-value of the mean of paired differences under random signs; NaN without any.

    All sign patterns up to twelve values, then `PERMUTATIONS` random ones with the observed one among them.

    Source: Fisher 1935, "The Design of Experiments", section 21; Phipson and Smyth 2010 for the observed pattern.
    """
    values = values[values.isfinite()].double()
    if not len(values):
        return nan
    observed = abs(float(values.mean())) * (1 - 1e-9)
    if len(values) <= _EXACT:
        signs = torch.tensor(list(product((1.0, -1.0), repeat=len(values))), dtype=torch.double)
        return float(((signs @ values / len(values)).abs() >= observed).double().mean())
    generator = torch.Generator().manual_seed(seed)
    signs = torch.randint(2, (PERMUTATIONS - 1, len(values)), generator=generator).double() * 2 - 1
    beyond = int(((signs @ values / len(values)).abs() >= observed).sum())
    return (beyond + 1) / PERMUTATIONS


def _effects(survey: Survey, candidate: Candidate, trials: Trials) -> dict[str, Effect]:
    unit = survey.spread(candidate.label)
    named = {f"remove ({name})": trial for name, trial in trials.remove.items()}
    named |= {f"paste (against {name})": trial for name, trial in trials.paste.items()}
    if trials.alone is not None:
        named["alone"] = trials.alone
    return {name: _effect(survey, name, trial, unit, survey.alpha) for name, trial in named.items()}


def _effect(survey: Survey, name: str, trial: Trial, unit: float, alpha: float) -> Effect:
    values = torch.full((survey.n,), nan, dtype=torch.double)
    values[list(trial.rows)] = trial.effect.double() / unit if unit > 0 else 0.0 * trial.effect.double()
    interval = bootstrap(values, survey.clusters, seed=survey.seed, level=1 - alpha)
    per_cluster = _per_cluster(values, survey)
    flips = (float(trial.flips[0].double().mean()), float(trial.flips[1].double().mean()))
    return Effect(name, values, interval, sign_flip(per_cluster, survey.seed), flips, len(per_cluster))


def _per_cluster(values: Tensor, survey: Survey) -> Float[Tensor, " g"]:
    """Return the mean of each cluster that has a value."""
    groups: dict[object, list[float]] = {}
    for value, cluster in zip(values.tolist(), survey.clusters, strict=True):
        if value == value:
            groups.setdefault(cluster, []).append(value)
    return torch.tensor([sum(one) / len(one) for one in groups.values()], dtype=torch.double)


def _judged(
    survey: Survey,
    candidate: Candidate,
    trials: Trials,
    rows: Sequence[int],
    effects: Mapping[str, Effect],
    margin: float,
    alpha: float,
) -> Judged:
    """Return the verdict at one share of alpha."""
    removal = _pooled([e for name, e in effects.items() if name.startswith("remove")])
    paste = _pooled([e for name, e in effects.items() if name.startswith("paste") and "scrambled" not in name])
    both = {
        name: bootstrap(values, survey.clusters, seed=survey.seed, level=1 - alpha)
        for name, values in (("removal", removal), ("paste", paste))
        if values is not None
    }
    n = min((len(_per_cluster(v, survey)) for v in (removal, paste) if v is not None), default=0)
    unit = f"{survey.cluster_name}(s)"
    if len(both) < 2 or n < FEWEST:
        edits = candidate.masks is not None or candidate.change is not None
        missing = " ".join([*([_missing(candidate, both, n, unit)] if edits else []), *trials.notes]).strip()
        return Judged("inconclusive", missing, next(iter(both.values()), None), n, max(FEWEST, n + 1))
    weak, strong = sorted(both.values(), key=lambda one: abs(one.estimate))
    told = ", ".join(f"{name} {one.estimate:+.2f} ({one.low:+.2f} to {one.high:+.2f})" for name, one in both.items())
    told += f"; margin {margin:.2f} standard deviations of the log odds of {survey.model.label(candidate.label)!r}"
    alone = {name: e for name, e in effects.items() if name.startswith(("remove", "paste")) and "scr" not in name}
    agree = all(e.interval.low > 0 for e in alone.values())
    lies = [decide(one, margin) for one in both.values()]
    if all(one.beyond for one in lies) and agree:
        if (unclear := _unclear(survey, candidate, rows, alone, margin)) is not None:
            return Judged("relies but relevance unclear", f"{unclear} ({told}).", weak, n, None)
        flips = effects["paste (against neutral)"].flips[0] if "paste (against neutral)" in effects else nan
        also = f" Pasting it changes {flips:.0%} of decisions." if flips == flips else ""
        why = f"Without it the score falls, and with it the score rises, more than with the control ({told}).{also}"
        return Judged("confirmed", why, weak, n, None)
    if all(one.within for one in lies):
        return Judged("not reliant", f"Neither taking it away nor adding it matters ({told}).", strong, n, None)
    away = {name: Interval(-i.estimate, -i.high, -i.low, i.level) for name, i in both.items()}
    if all(decide(one, margin).beyond for one in away.values()):
        why = f"The model leans on it, but the other way: it lowers this score ({told})."
        return Judged("relies but relevance unclear", why, weak, n, None)
    if any(one.beyond for one in lies) and any(one.within for one in lies):
        why = f"Only one of the two experiments has an effect that matters ({told})."
        return Judged("relies but relevance unclear", why, weak, n, None)
    split = "" if agree or not all(one.beyond for one in lies) else " The imputers do not agree."
    counts = [n_needed(one, margin, n) for one in both.values()]
    needed = max([c for c in counts if c is not None], default=None)
    return Judged("inconclusive", f"With {n} {unit} the effect is not decided ({told}).{split}", weak, n, needed)


def _pooled(effects: Sequence[Effect]) -> Tensor | None:
    """Return the mean over imputers or controls, per input."""
    return torch.stack([one.values for one in effects]).mean(0) if effects else None


def _unclear(
    survey: Survey, candidate: Candidate, rows: Sequence[int], effects: Mapping[str, Effect], margin: float
) -> str | None:
    """Return why what the model leans on may be no shortcut; None where it is one, as for all that a person named.

    A region is one off the marked object. A cue of the whole input, of which every input has more or less, has to
    matter off the object, too, and to go with the class: else it is a sensitivity, which takes no one astray here.
    """
    if candidate.origin == "given":
        return None
    whole = candidate.masks is None and candidate.whole is not None
    if not whole and candidate.off_object != candidate.off_object:
        return "The model leans on it; without annotations only a person can say whether it belongs to the task"
    if not whole and candidate.off_object <= OFF_OBJECT:
        return f"The model leans on it, but {1 - candidate.off_object:.0%} of it lies on the object"
    if whole and any(decide(one.interval, margin).within for name, one in effects.items() if OFF in name):
        return "The model leans on it, but hardly off the object; on the object it may belong to the task"
    if whole and prevalence(survey, candidate, rows)["odds ratio"].low <= 1:
        return "The model leans on it, but in these inputs it does not go with the class"
    return None


def _missing(candidate: Candidate, both: Mapping[str, Interval], n: int, unit: str) -> str:
    if "removal" not in both:
        return f"No input of those kept for the test shows {candidate.name}, so it cannot be taken away from any."
    if "paste" not in both:
        return f"No input lacks {candidate.name}, so it cannot be added to any."
    return f"Only {n} {unit} take part in the smaller experiment; a verdict takes {FEWEST} or more."


def _finding(
    survey: Survey,
    candidate: Candidate,
    trials: Trials,
    rows: Sequence[int],
    effects: Mapping[str, Effect],
    judged: Judged,
    margin: float,
    alpha: float,
) -> Finding:
    unit = survey.spread(candidate.label) or 1.0
    level = 1 - alpha
    names = [one.name for one in survey.explanation.inputs]
    result = CheckResult(
        check="shortcuts",
        claim=f"The model does not lean on {candidate.name}.",
        about="model",
        statistic=STATISTIC,
        value=judged.value,
        null=Interval(0.0, 0.0, 0.0, level),
        null_name="the same edit of something else",
        ceiling=None,
        margin=margin,
        alpha=alpha,
        n=judged.n,
        unit=survey.cluster_name,
        verdict=_COMMON[judged.verdict],
        why=judged.why,
        n_needed=judged.needed if judged.verdict == "inconclusive" else None,
        forwards=trials.forwards / max(1, len(rows)),
        per_input={
            "input": names,
            "label": [survey.model.label(int(one)) for one in survey.labels],
            "decision": [survey.model.label(int(one)) for one in survey.decided],
            candidate.name: candidate.present.tolist(),
            **{name: one.values.tolist() for name, one in effects.items()},
        },
        details={
            "verdict": judged.verdict,
            "notes": list(trials.notes),
            "effects": {
                name: {"interval": one.interval, "p": one.p, "flips": one.flips, "n": one.n}
                for name, one in effects.items()
            },
            "discovery": dict(candidate.details),
        },
        settings={"seed": survey.seed, "margin": margin, "rows": len(rows)},
    )
    dose = {name: (doses, tuple(value / unit for value in changes)) for name, (doses, changes) in trials.dose.items()}
    return Finding(
        candidate,
        judged.verdict,
        result,
        effects,
        dose,
        subgroups(survey, candidate, rows),
        prevalence(survey, candidate, rows),
        trials.edits,
    )


def subgroups(survey: Survey, candidate: Candidate, rows: Sequence[int]) -> dict[str, float]:
    """Return the accuracy on inputs with and without the feature, in all and by true class."""
    right = survey.decided == survey.labels
    chosen = torch.zeros(survey.n, dtype=torch.bool)
    chosen[list(rows)] = True
    found: dict[str, float] = {}
    for word, group in (("with", candidate.present), ("without", ~candidate.present)):
        found[f"accuracy {word}"] = _mean(right, chosen & group)
        for label in sorted(set(survey.labels.tolist())):
            name = survey.model.label(label)
            found[f"accuracy of {name} {word}"] = _mean(right, chosen & group & (survey.labels == label))
    return found


def _mean(values: Tensor, where: Tensor) -> float:
    return float(values[where].double().mean()) if bool(where.any()) else nan
