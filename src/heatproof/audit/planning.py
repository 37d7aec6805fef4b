"""From what is asked, and a first look, to a plan: sample sizes, cost, and what is given up for a budget."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from heatproof.audit import power
from heatproof.audit.entry import Source
from heatproof.audit.look import Counts, Look
from heatproof.audit.plan import (
    QUESTIONS,
    Ask,
    Budget,
    Cost,
    DataPlan,
    MapsPlan,
    ModelPlan,
    Plan,
    RunPlan,
)
from heatproof.checks import check_named
from heatproof.checks._verdict import FEWEST
from heatproof.errors import UsageError, nearest
from heatproof.explain import Explainer
from heatproof.shortcuts.cues import cues
from heatproof.shortcuts.find import MARGIN
from heatproof.shortcuts.given import RULE, color_rule

FORWARDS: Mapping[str, float] = {"sanity": 152, "faithfulness": 310, "plausibility": 1, "shortcuts": 60}
"""Forwards per input that each question costs at its defaults, as their results have stated them."""
_OTHER = 30
_NAMED_CLASSES = 100
_TRAINING = ("train", "training", "trn", "fit")


@dataclass(frozen=True)
class Wishes:
    """What the user asks of an audit.

    Attributes:
        checks: the questions, and further checks, which stay exploratory; None asks all that the data can answer.
        settings: of single checks.
        alpha: error rate that all primary verdicts share.
        seed: of everything drawn.
        batch_size, shard_size, workers, dtype, device: how it runs.
        intended_use, split, annotations_from: in the user's words.
        subgroups: columns that results are split by.
        artifacts: suspects given by name.
        budget: seconds; 0 allows any.
        sample: inputs per question; None takes what the power needs.
    """

    checks: Sequence[str] | None = None
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    alpha: float = 0.05
    seed: int = 0
    batch_size: int = 32
    shard_size: int = 256
    workers: int = 2
    dtype: str = "float32"
    device: str = "cpu"
    intended_use: str = ""
    split: str = ""
    annotations_from: str = ""
    subgroups: tuple[str, ...] = ()
    artifacts: Mapping[str, str] = field(default_factory=dict[str, str])
    budget: float = 0.0
    sample: int | None = None


def wishes_of(**given: Any) -> Wishes:
    """Return wishes.

    Raises:
        UsageError: there is no such wish; the sentence names the nearest.
    """
    known = [one.name for one in fields(Wishes)]
    for name in given:
        if name not in known:
            close = nearest(name, known, 1) or f"; it takes {', '.join(known)}."
            raise UsageError(f"An audit has no setting {name!r}{close}")
    return Wishes(**given)


def make_plan(
    wishes: Wishes, explainer: Explainer, source: Source, counts: Counts, seen: Look, earlier: Plan | None = None
) -> Plan:
    """Return the plan.

    Args:
        wishes: what is asked.
        explainer: of the model, with its method.
        source: of the data.
        counts: of the data.
        seen: the first look.
        earlier: the plan of a run that is gone on with: what was measured then is taken from it.

    Raises:
        UsageError: a setting is out of range, or there is no such check or column.
    """
    _refuse(wishes, source)
    forward_ms = earlier.cost.forward_ms if earlier else seen.forward_ms
    asks, not_asked = _asks(wishes, counts, forward_ms)
    plan = Plan(
        model=ModelPlan(
            name=explainer.model.name,
            source=explainer.model.source or "",
            weights_sha256=explainer.model.weights_sha256(),
            classes=seen.classes,
            labels=_labels(explainer, source, seen.classes),
        ),
        data=_data(wishes, source, counts),
        maps=MapsPlan(
            method=explainer.method,
            layer=seen.layer,
            units=seen.units,
            targets=("predicted class", "runner-up")[: seen.targets] if seen.targets > 1 else ("output",),
            grid=seen.grid,
            input_size=seen.input_size,
            spacing=tuple(float(s) for s in seen.resolution.spacing),
            receptive_field=_floats(seen.resolution.receptive_field),
            dtype=wishes.dtype,
        ),
        run=RunPlan(wishes.seed, wishes.batch_size, wishes.shard_size, wishes.device, wishes.workers),
        asks=asks,
        not_asked=not_asked,
        cost=_cost(asks, counts.entries, forward_ms),
        intended_use=wishes.intended_use,
        alpha=wishes.alpha,
        artifacts=dict(wishes.artifacts),
        budget=Budget(wishes.budget),
        warnings=_warnings(wishes, asks, counts),
    )
    return _trimmed(plan) if wishes.budget else plan


def _refuse(wishes: Wishes, source: Source) -> None:
    if not 0 < wishes.alpha < 1:
        raise UsageError(f"alpha is {wishes.alpha:g}; give a rate between 0 and 1, such as 0.05.")
    whole = {"batch_size": wishes.batch_size, "shard_size": wishes.shard_size, "workers": wishes.workers}
    for name, value in whole.items():
        if value < 1:
            raise UsageError(f"{name} is {value}; give 1 or more.")
    if wishes.seed < 0 or wishes.budget < 0 or (wishes.sample is not None and wishes.sample < 1):
        raise UsageError("The seed, the budget and the sample cannot be negative, nor the sample 0.")
    if wishes.dtype not in ("float32", "float16"):
        raise UsageError(f"The type of maps is {wishes.dtype!r}; choose float32 or float16.")
    for name in wishes.subgroups:
        if name not in source.columns:
            close = nearest(name, source.columns) or f"; it has {', '.join(source.columns) or 'none'}."
            raise UsageError(f"The data has no column {name!r} to split results by{close}")
    for name, what in wishes.artifacts.items():
        _refuse_suspect(name, what, source)


def _refuse_suspect(name: str, what: str, source: Source) -> None:
    """Refuse a suspect that no experiment could be made with, before anything runs."""
    if what.startswith(RULE):
        color_rule(name, what)
        return
    known = [*source.columns, *cues()]
    if what not in known and what.partition("=")[0] not in source.columns:
        raise UsageError(f"The artifact {name!r}: {what!r} is no column of the data and no cue{nearest(what, known)}")


def _asks(wishes: Wishes, counts: Counts, forward_ms: float) -> tuple[tuple[Ask, ...], dict[str, str]]:
    wanted = [_question(name) for name in (QUESTIONS if wishes.checks is None else wishes.checks)]
    cannot = {name: why for name in QUESTIONS if (why := _cannot(name, wishes, counts))}
    if wishes.checks is not None:
        named = [name for name in wanted if name in cannot]
        if named:
            raise UsageError(f"{named[0]} cannot be asked of this data: {cannot[named[0]]}.")
        cannot |= {name: "it was not asked for" for name in QUESTIONS if name not in wanted}
    asked = sorted((name for name in dict.fromkeys(wanted) if name not in cannot), key=_order)
    unknown = set(wishes.settings) - set(asked)
    if unknown:
        raise UsageError(f"There are settings for {', '.join(sorted(unknown))}, which is not asked.")
    primaries = sum(name in QUESTIONS for name in asked)
    return tuple(_ask(name, wishes, counts, primaries, forward_ms) for name in asked), cannot


def _question(name: str) -> str:
    return "shortcuts" if name == "shortcuts" else check_named(name).name


def _order(name: str) -> int:
    return QUESTIONS.index(name) if name in QUESTIONS else len(QUESTIONS)


def _cannot(name: str, wishes: Wishes, counts: Counts) -> str:
    if name == "plausibility" and not counts.annotated:
        return "there are no annotations"
    if name == "shortcuts" and counts.labelled < FEWEST:
        return f"{counts.labelled} inputs have a label"
    if name == "shortcuts" and len(counts.labels) < 2:
        return "all labels are the same"
    return ""


def _ask(name: str, wishes: Wishes, counts: Counts, primaries: int, forward_ms: float) -> Ask:
    settings = dict(wishes.settings.get(name, {}))
    needed = power.units_needed(name, wishes.alpha, primaries) if wishes.sample is None else wishes.sample
    # shortcuts are a matter of inputs with labels; the rest of clusters, of which one input each is looked at
    there = {"shortcuts": counts.labelled, "plausibility": min(counts.clusters, counts.annotated)}
    planned = min(needed, there.get(name, counts.clusters))
    forwards = FORWARDS.get(name, _OTHER)
    assumed = power.ASSUMED.get(name)
    return Ask(
        question=name,
        statistic=assumed.statistic if assumed else "",
        margin=float(settings.get("margin", _margin(name))),
        needed=needed,
        planned=planned,
        forwards=float(forwards),
        seconds=round(planned * forwards * forward_ms / 1000, 1),
        primary=name in QUESTIONS,
        settings=settings,
    )


def _margin(name: str) -> float:
    """Return the margin that a check has by default."""
    if name == "shortcuts":
        return MARGIN
    parameter = inspect.signature(check_named(name).function).parameters.get("margin")
    return 0.0 if parameter is None else float(parameter.default)


def _data(wishes: Wishes, source: Source, counts: Counts) -> DataPlan:
    roles = {name: value for name in ("path", "label", "annotation", "cluster", "split", "only")
             if (value := getattr(source.roles, name)) is not None}  # fmt: skip
    return DataPlan(
        name=source.data.rstrip("/\\").replace("\\", "/").rpartition("/")[2] or source.data,
        kind=source.kind,
        entries=counts.entries,
        fingerprint=source.fingerprint(),
        roles=roles,
        columns=counts.columns,
        split=wishes.split or roles.get("only", ""),
        annotations_from=wishes.annotations_from,
        annotated=counts.annotated,
        labelled=counts.labelled,
        cluster_name=roles.get("cluster", "input"),
        subgroups=tuple(wishes.subgroups),
    )


def _labels(explainer: Explainer, source: Source, classes: int) -> tuple[str, ...]:
    known = explainer.model.labels or source.labels or ()
    return tuple(known) if len(known) <= _NAMED_CLASSES else ()


def _floats(values: Sequence[float] | None) -> tuple[float, ...] | None:
    return None if values is None else tuple(float(v) for v in values)


def _cost(asks: Sequence[Ask], entries: int, forward_ms: float) -> Cost:
    forwards = entries + sum(ask.planned * ask.forwards for ask in asks)
    return Cost(float(forwards), round(forwards * forward_ms / 1000, 1), round(forward_ms, 3))


def _warnings(wishes: Wishes, asks: Sequence[Ask], counts: Counts) -> tuple[str, ...]:
    found: list[str] = []
    if wishes.split.lower() in _TRAINING:
        found.append(
            "These are the data that the model learned from: its performance here says nothing about new inputs, and "
            "maps of memorized inputs may differ from those of new ones."
        )
    if not wishes.split:
        found.append("Nobody said which split this is; if the model learned from it, its performance here is too good.")
    if not wishes.intended_use:
        found.append("Nobody said what the model is meant for, so nothing here can say whether it is fit for that.")
    if counts.annotated and not wishes.annotations_from:
        found.append("Nobody said who made the annotations, and how; plausibility is agreement with these, not truth.")
    found += [
        f"{ask.question} needs about {ask.needed} inputs or clusters for a verdict; the data has {ask.planned}."
        for ask in asks
        if ask.planned < ask.needed
    ]
    return tuple(found)


def _trimmed(plan: Plan) -> Plan:
    """Return the plan with smaller samples, the costliest question first, until it fits the budget.

    Maps and performance of all inputs are never given up. A sample is first brought down to what a verdict takes at
    the least, then left out.
    """
    asks, told = list(plan.asks), list[str]()
    not_asked = dict(plan.not_asked)

    def seconds() -> float:
        return _cost(asks, plan.data.entries, plan.cost.forward_ms).seconds

    for least in (FEWEST, 0):
        for ask in sorted(asks, key=lambda one: -one.seconds):
            over = seconds() - plan.budget.seconds
            if over <= 0 or ask.seconds == 0:
                continue
            each = ask.seconds / ask.planned
            left = max(min(least, ask.planned), int(ask.planned - over / each))
            place = asks.index(ask)
            if left == 0:
                told.append(f"{ask.question} is not asked: it would take about {ask.seconds:.0f} s.")
                not_asked[ask.question] = "the budget does not allow it"
                del asks[place]
            elif left < ask.planned:
                asks[place] = replace(ask, planned=left, seconds=round(each * left, 1))
                told.append(f"{ask.question} looks at {left} inputs or clusters instead of {ask.planned}.")
    if seconds() > plan.budget.seconds:
        told.append(f"Explaining all inputs alone takes about {seconds():.0f} s, more than the budget.")
    return replace(
        plan,
        asks=tuple(asks),
        not_asked=not_asked,
        cost=_cost(asks, plan.data.entries, plan.cost.forward_ms),
        budget=Budget(plan.budget.seconds, tuple(told)),
    )
