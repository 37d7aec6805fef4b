"""What to do next: advice by question, verdict and the other verdicts, as a validation engineer would give it.

The first rule of a question that fits is the one that is given. A rule names states ("good", "bad", "open", "none") of
the other questions only where they change the advice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Literal

from heatproof.report.audit.document import Document, Group, Shortcut
from heatproof.report.audit.questions import Question, State, questions

Level = Literal["stop", "hold", "open", "clear"]
_CHANCE = 0.5
_MISCALIBRATED = 0.05
_GAP = 0.05
"""Difference in accuracy with and without a feature from which on the first screen tells it."""


@dataclass(frozen=True)
class Rule:
    """One row of the table.

    Attributes:
        question: that it speaks of.
        state: of its answer.
        step: what to do; may name {shortcut}, {label}, {needed} and {unit}.
        others: states of other questions in which it holds: question -> any of these.
        verdict: of the gravest shortcut, where the state alone does not tell what to do.
    """

    question: str
    state: State
    step: str
    others: Mapping[str, tuple[State, ...]] = field(default_factory=dict[str, tuple[State, ...]])
    verdict: str | None = None


_SETTLED: tuple[State, ...] = ("good",)
_DOUBTED: tuple[State, ...] = ("bad", "open", "none")
RULES = (
    Rule(
        "shortcuts",
        "bad",
        "Do not put this model to use. Get data in which “{shortcut}” does not go with {label}, train again or "
        "mitigate (heatproof.shortcuts.mitigate), and audit the new model on pictures that it has not seen.",
        verdict="confirmed",
    ),
    Rule("shortcuts", "bad", "Name what the model leans on, take it out of the data or balance it, and train again."),
    Rule(
        "shortcuts",
        "open",
        "Ask someone who knows the task whether “{shortcut}” may count for {label}. If not, treat it as confirmed.",
        verdict="relies but relevance unclear",
    ),
    Rule(
        "shortcuts",
        "open",
        "“{shortcut}” is undecided: collect more {unit}s that show it ({needed} in each experiment), or name it "
        "yourself in the next audit.",
        verdict="inconclusive",
    ),
    Rule(
        "shortcuts",
        "open",
        "No candidate was found. Name the features that you fear (rulers, tags, ink, a scanner's look) and have them "
        "tested; test on data of another site.",
    ),
    Rule(
        "shortcuts",
        "none",
        "Ask about shortcuts: it needs labels and a few hundred inputs. Until then a high accuracy may rest on one.",
    ),
    Rule(
        "sanity",
        "bad",
        "Set these maps aside: they hardly depend on what the model learned. Take another method or layer and ask "
        "again; until then faithfulness and plausibility say nothing of this model.",
    ),
    Rule("sanity", "open", "Ask about sanity again with {needed} {unit}s; read no map before that."),
    Rule("sanity", "none", "Ask about sanity before anyone reads a map of this model."),
    Rule(
        "faithfulness",
        "bad",
        "Do not point at places on these maps: what they mark does not move the score more than other places would. "
        "Compare methods and layers, choose one, and confirm the choice on fresh inputs.",
        {"sanity": ("good", "open", "none")},
    ),
    Rule("faithfulness", "bad", "Choose another method first: neither sanity nor faithfulness stands.", {}),
    Rule("faithfulness", "open", "Ask about faithfulness again with {needed} {unit}s."),
    Rule("faithfulness", "none", "Ask about faithfulness: without it a map is a picture, not evidence."),
    Rule(
        "plausibility",
        "bad",
        "The maps are faithful and lie elsewhere: suspect the model, not the map. The worst pictures of the gallery "
        "show what it looks at; the shortcut is the likely reason.",
        {"sanity": _SETTLED, "faithfulness": _SETTLED, "shortcuts": ("bad",)},
    ),
    Rule(
        "plausibility",
        "bad",
        "The maps are faithful and lie elsewhere: suspect the model, not the map. Look at the worst pictures of the "
        "gallery, name what it looks at, and have that tested as a shortcut.",
        {"sanity": _SETTLED, "faithfulness": _SETTLED},
    ),
    Rule(
        "plausibility",
        "bad",
        "The maps miss the expert's marks, but they are not shown to be faithful: that says nothing of the model yet. "
        "Settle sanity and faithfulness first.",
    ),
    Rule(
        "plausibility",
        "good",
        "The maps agree with the expert and not with the model: pretty, and misleading. Do not show them to readers.",
        {"faithfulness": ("bad",)},
    ),
    Rule("plausibility", "open", "Have more inputs marked ({needed} {unit}s), by someone who has not seen the maps."),
    Rule(
        "plausibility",
        "none",
        "Have an expert mark some dozens of inputs without seeing the maps; then ask whether both look at "
        "the same places.",
    ),
)
"""The table: by question and state, the most specific first."""
_ORDER = ("shortcuts", "sanity", "faithfulness", "plausibility")


@dataclass(frozen=True)
class Advice:
    """What the first screen concludes.

    Attributes:
        level: "stop" (reject the model), "hold" (something stands in the way of its use, or of its maps'), "open"
            (undecided), "clear" (nothing found against it).
        headline: the conclusion.
        because: what it rests on.
        steps: what to do next, the most pressing first.
    """

    level: Level
    headline: str
    because: str
    steps: tuple[str, ...]


def advise(document: Document) -> Advice:
    """Return the conclusion and the steps that follow from the verdicts and from the performance."""
    asked = {one.name: one for one in questions(document)}
    level, headline, because = _conclusion(document, asked)
    steps = [*_first(document), *(step for name in _ORDER if (step := _step(asked, name))), *_last(document)]
    if level == "clear":
        steps.append("Test it on data of another site before use: what no picture here shows, no check here can find.")
    return Advice(level, headline, because, tuple(dict.fromkeys(steps)))


def _conclusion(document: Document, asked: Mapping[str, Question]) -> tuple[Level, str, str]:
    """Return the gravest thing that there is to say."""
    state = {name: one.state for name, one in asked.items()}
    shortcut = asked["shortcuts"].shortcut
    if _at_chance(document):
        return (
            "stop",
            "Reject this model: it is no better than chance on this data.",
            "The interval of its AUROC holds 0.5. Whatever its maps show explains guesses.",
        )
    if state["shortcuts"] == "bad":
        named = f": “{shortcut.name}”" if shortcut else ""
        return "stop", f"Reject this model as it stands. It takes a shortcut{named}.", _despite(document, asked)
    if state["sanity"] == "bad":
        return "hold", "Do not read these maps: they hardly depend on what the model learned.", asked["sanity"].why
    if state["faithfulness"] == "bad":
        return (
            "hold",
            "Do not rely on these maps: they do not show what the score depends on.",
            asked["faithfulness"].why,
        )
    if state["plausibility"] == "bad" and state["sanity"] == state["faithfulness"] == "good":
        return (
            "hold",
            "Not rejected, and not cleared: it looks elsewhere than the expert marked. Find out why before use.",
            asked["plausibility"].why,
        )
    if shortcut is not None and shortcut.verdict == "relies but relevance unclear":
        return "hold", f"A person must decide: the model leans on “{shortcut.name}”.", asked["shortcuts"].why
    undecided = [name for name in ("sanity", "faithfulness", "plausibility", "shortcuts") if state[name] == "open"]
    missing = [name for name in ("sanity", "faithfulness", "plausibility", "shortcuts") if state[name] == "none"]
    misses = state["plausibility"] == "bad"
    if undecided or missing or misses:
        parts = [f"undecided: {', '.join(undecided)}"] if undecided else []
        parts += [f"not asked: {', '.join(missing)}"] if missing else []
        parts += ["the maps miss the expert's marks"] if misses else []
        return "open", f"No reason found to reject this model, and not all is answered ({'; '.join(parts)}).", _scope()
    return "clear", "Nothing found against this model or its maps.", _scope()


def _scope() -> str:
    return "This holds for this data and for what was asked. It is no clearance for use."


def _despite(document: Document, asked: Mapping[str, Question]) -> str:
    """Say why a good accuracy does not help."""
    shortcut, performance = asked["shortcuts"].shortcut, document.performance
    accuracy = performance.whole.measures.get("accuracy") if performance else None
    told = f"Its accuracy of {accuracy.estimate:.0%} does not speak for it. " if accuracy else ""
    if shortcut is None:
        return told + asked["shortcuts"].why
    with_it, without = (shortcut.subgroups.get(f"accuracy {word}", nan) for word in ("with", "without"))
    if with_it - without > _GAP:  # NaN compares as false
        told += f"It is right on {with_it:.0%} of the inputs with the feature and on {without:.0%} of those without. "
    flips = [_flipped(shortcut, kind, doing) for kind, doing in (("paste", "adding"), ("remove", "taking away"))]
    known = [one for one in flips if one]
    return told + (f"In experiments, {' and '.join(known)}." if known else shortcut.result.why)


def _flipped(shortcut: Shortcut, kind: str, doing: str) -> str:
    """Return how many decisions the first experiment of a kind changed, and its control; "" where nobody knows."""
    for name, (treated, control) in shortcut.flips.items():
        if name.startswith(kind) and treated == treated and control == control:
            told = f"{doing} that feature alone changes {treated:.0%} of decisions"
            return f"{told} (the same edit elsewhere: {control:.0%})"
    return ""


def _at_chance(document: Document) -> bool:
    """Say whether the interval of the AUROC reaches chance."""
    if document.performance is None:
        return False
    area = document.performance.whole.measures.get("AUROC")
    return area is not None and area.low <= _CHANCE


def _step(asked: Mapping[str, Question], name: str) -> str | None:
    """Return the step of the first rule that fits."""
    one = asked[name]
    verdict = one.shortcut.verdict if one.shortcut else None
    for rule in RULES:
        fits = rule.question == name and rule.state == one.state and rule.verdict in (None, verdict)
        if fits and all(asked[other].state in states for other, states in rule.others.items()):
            result = one.result or (one.shortcut.result if one.shortcut else None)
            return rule.step.format(
                shortcut=one.shortcut.name if one.shortcut else "a feature",
                label=f"“{one.shortcut.label}”" if one.shortcut else "the class",
                needed=f"about {result.n_needed:,}" if result is not None and result.n_needed else "more",
                unit=result.unit.removesuffix("_id") if result is not None else "input",
            )
    return None


def _first(document: Document) -> list[str]:
    if not _at_chance(document):
        return []
    return ["Mend the model first: check labels, preprocessing and the order of classes (heatproof inspect)."]


def _last(document: Document) -> list[str]:
    """Return what the performance alone advises."""
    performance = document.performance
    if performance is None:
        return ["Label some inputs: without labels nobody knows how often the model is right."]
    steps = [
        f"Look into {low.by} “{low.value}”: accuracy {_share(low)} against {_share(high)} in “{high.value}”."
        for low, high in _gaps(performance.groups)
    ]
    error = performance.whole.measures.get("calibration error")
    if error is not None and error.low > _MISCALIBRATED:
        steps.append("Do not read its probabilities as chances: calibrate it on data of its own.")
    return steps


def _gaps(groups: tuple[Group, ...]) -> list[tuple[Group, Group]]:
    """Return, for each way to part the data, the worst and the best part where their intervals do not meet."""
    found: list[tuple[Group, Group]] = []
    for by in dict.fromkeys(one.by for one in groups):
        parts = [one for one in groups if one.by == by and "accuracy" in one.measures]
        if len(parts) > 1:
            low = min(parts, key=lambda one: one.measures["accuracy"].estimate)
            high = max(parts, key=lambda one: one.measures["accuracy"].estimate)
            if low.measures["accuracy"].high < high.measures["accuracy"].low:
                found.append((low, high))
    return found


def _share(group: Group) -> str:
    one = group.measures["accuracy"]
    return f"{one.estimate:.0%} [{one.low:.0%}, {one.high:.0%}]"
