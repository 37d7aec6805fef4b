"""The four questions as the first screen puts them: what was asked, the verdict, one sentence, one result."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from heatproof.report.audit.document import Answer, Document, QuestionName, Shortcut
from heatproof.types import CheckResult

State = Literal["good", "bad", "open", "none"]
"""What a reader does with an answer: nothing speaks against it, something does, undecided, not asked."""
QUESTIONS: dict[QuestionName, tuple[str, str, str]] = {
    "sanity": (
        "Does the map depend on what the model learned?",
        "The map depends on what the model learned.",
        "Good: not above the shaded zone",
    ),
    "faithfulness": (
        "Does the model depend on what the map shows?",
        "The model depends on what the map shows.",
        "Good: right of the shaded zone",
    ),
    "plausibility": (
        "Is it where an expert would look?",
        "The map lies where an expert would look.",
        "Good: right of the shaded zone",
    ),
    "shortcuts": (
        "Does the model lean on something it should not?",
        "The model does not lean on anything that the task does not license.",
        "Good: inside the shaded zone",
    ),
}
"""Question -> as a reader asks it, the claim where no check states one, and how its figure is read."""
_STATES: dict[str, State] = {"supports": "good", "undermines": "bad", "inconclusive": "open", "not applicable": "none"}
_SHORTCUTS: dict[str, State] = {
    "confirmed": "bad",
    "relies but relevance unclear": "open",
    "inconclusive": "open",
    "not reliant": "good",
}
_GRAVITY = ("confirmed", "relies but relevance unclear", "inconclusive", "not reliant")


@dataclass(frozen=True)
class Question:
    """One question of the four with its answer.

    Attributes:
        name: of the question.
        ask: as a reader puts it.
        claim: the sentence that was tested.
        state: what a reader does with the answer.
        verdict: in the vocabulary of the checks; "not asked" where it was not.
        word: the verdict as the page prints it.
        why: one sentence.
        result: what the figure shows; None where there is nothing to show.
        reading: how the figure is read.
        shortcut: the gravest candidate, for the question of shortcuts.
        primary: whether the verdict was planned.
    """

    name: QuestionName
    ask: str
    claim: str
    state: State
    verdict: str
    word: str
    why: str
    result: CheckResult | None
    reading: str
    shortcut: Shortcut | None = None
    primary: bool = True


def questions(document: Document) -> list[Question]:
    """Return the four questions in their order, also those that were not asked."""
    return [_shortcuts(document) if name == "shortcuts" else _asked(document, name) for name in QUESTIONS]


def state_of(verdict: str) -> State:
    """Return what a reader does with a verdict of a check, or of a candidate for a shortcut."""
    return _STATES.get(verdict) or _SHORTCUTS.get(verdict, "none")


def gravest_first(shortcuts: Sequence[Shortcut]) -> list[Shortcut]:
    """Return the candidates, those that speak most against the model first."""
    last = len(_GRAVITY)
    return sorted(shortcuts, key=lambda one: _GRAVITY.index(one.verdict) if one.verdict in _GRAVITY else last)


def answer_of(document: Document, check: str) -> Answer | None:
    """Return the answer of a check over all inputs, the planned one before others."""
    whole = [one for one in document.answers if one.result.check == check and one.subgroup is None]
    return next((one for one in whole if one.primary), whole[0] if whole else None)


def _asked(document: Document, name: QuestionName) -> Question:
    ask, claim, reading = QUESTIONS[name]
    answer = answer_of(document, name)
    if answer is None:
        return _not_asked(document, name)
    result = answer.result
    word = {"supports": "Supports", "undermines": "Undermines"}.get(result.verdict, result.verdict.capitalize())
    if name == "sanity" and result.verdict == "supports":
        word = "Not refuted"
    why = result.why
    if not answer.primary:
        word, why = f"{word} (exploratory)", f"{why} This was not planned, so it carries no verdict."
    state = _STATES[result.verdict] if answer.primary else "open"
    return Question(
        name,
        ask,
        result.claim or claim,
        state,
        result.verdict,
        word,
        why,
        result if result.value is not None else None,
        reading,
        primary=answer.primary,
    )


def _not_asked(document: Document, name: QuestionName) -> Question:
    ask, claim, reading = QUESTIONS[name]
    why = document.not_asked.get(name, "The plan does not ask this.")
    return Question(name, ask, claim, "none", "not asked", "Not asked", f"{why.rstrip('.')}.", None, reading)


def _shortcuts(document: Document) -> Question:
    ask, claim, reading = QUESTIONS["shortcuts"]
    if document.shortcuts is None:
        answer = answer_of(document, "shortcuts")
        return _not_asked(document, "shortcuts") if answer is None else _asked(document, "shortcuts")
    ordered = gravest_first(document.shortcuts)
    if not ordered:
        why = "No candidate was found to put to the test. Nothing found is not nothing there."
        return Question("shortcuts", ask, claim, "open", "inconclusive", "None found", why, None, reading)
    worst = ordered[0]
    alike = [one.name for one in ordered if one.verdict == worst.verdict]
    told = {
        "confirmed": f"It leans on {_listed(alike)}. {worst.result.why}",
        "relies but relevance unclear": f"It leans on {_listed(alike)}; whether it may is for a person to say.",
        "inconclusive": f"Undecided: {_listed(alike)}. {worst.result.why}",
        "not reliant": f"{len(ordered)} of {len(ordered)} candidates tested make no difference that matters.",
    }.get(worst.verdict, worst.result.why)
    word = {
        "confirmed": "Shortcut confirmed",
        "relies but relevance unclear": "Relies, relevance unclear",
        "inconclusive": "Inconclusive",
        "not reliant": "Supports: not reliant",
    }.get(worst.verdict, worst.verdict.capitalize())
    result = worst.result if worst.result.value is not None else None
    verdict = worst.result.verdict
    return Question(
        "shortcuts", ask, claim, state_of(worst.verdict), verdict, word, told, result, reading, shortcut=worst
    )


def _listed(names: Sequence[str]) -> str:
    shown = [f"“{name}”" for name in names[:3]]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(shown) + more
