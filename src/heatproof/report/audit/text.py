"""The report as Markdown, as JSON, and as a section for a model card."""

import json
from collections.abc import Sequence

import heatproof
from heatproof.report._files import plain
from heatproof.report.audit.advice import advise
from heatproof.report.audit.document import Document, Shortcut
from heatproof.report.audit.page import MEASURES
from heatproof.report.audit.questions import gravest_first, questions
from heatproof.report.audit.shown import shown
from heatproof.report.audit.words import LIMITS, flattened, interval, measure, number

FORMAT = "heatproof audit report 1"
_FAILURES = 100


def markdown(document: Document, *, paths: bool = False) -> str:
    """Return the report as Markdown, without pictures; every text of the data is escaped."""
    document = document if paths else shown(document)
    lines = [f"# {_safe(document.title)}", "", _about(document), "", *_conclusion(document), *_performance(document)]
    lines += _questions(document)
    lines += ["## What became of the inputs", "", f"- {document.flow.planned:,} planned"]
    lines += [f"- {count:,} excluded: {_safe(reason)}" for reason, count in document.flow.excluded.items()]
    lines += [f"- {document.flow.analyzed:,} analyzed", ""]
    if document.performance is not None and document.performance.groups:
        names = [name for name in MEASURES if any(name in one.measures for one in document.performance.groups)]
        rows = [
            [one.by, one.value, f"{one.n:,}"]
            + [measure(name, one.measures[name]) if name in one.measures else "" for name in names]
            for one in document.performance.groups
        ]
        lines += ["## Performance by part", "", *_table(["by", "part", "n", *names], rows)]
    rows = [
        [
            one.result.check if one.subgroup is None else f"{one.result.check}, {one.subgroup[0]} {one.subgroup[1]}",
            one.result.statistic,
            interval(one.result.value),
            interval(one.result.null),
            number(one.result.margin),
            f"{one.result.n:,}",
            one.result.verdict if one.primary else "exploratory",
        ]
        for one in document.answers
    ]
    if rows:
        lines += ["## Results", "", *_table(["check", "statistic", "estimate", "null", "margin", "n", "verdict"], rows)]
    if document.shortcuts:
        found = [[one.name, one.verdict, one.label, one.origin, one.result.why] for one in _ordered(document)]
        lines += ["## Shortcuts", "", *_table(["feature", "verdict", "class", "origin", "why"], found)]
    if document.failures:
        listed = [[one.id, one.stage, one.reason] for one in document.failures[:_FAILURES]]
        lines += ["## Left out", "", *_table(["input", "stage", "reason"], listed)]
    lines += _list("Deviations from the plan", document.deviations)
    lines += ["## Provenance", "", *_table(["", ""], [list(row) for row in flattened(document.provenance)])]
    lines += _list("What this report cannot say", LIMITS)
    return "\n".join(lines).rstrip() + "\n"


def as_json(document: Document, *, paths: bool = False) -> str:
    """Return everything that the report says as JSON; what is not finite is null, and the run folder is not named."""
    document = document if paths else shown(document)
    told = {name: value for name, value in plain(document).items() if name != "folder"}
    conclusion = advise(document)
    asked = [
        {"question": one.name, "state": one.state, "verdict": one.verdict, "claim": one.claim, "why": one.why}
        for one in questions(document)
    ]
    whole = {"format": FORMAT, "heatproof": heatproof.__version__, "conclusion": conclusion, "questions": asked, **told}
    return json.dumps(plain(whole), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def model_card(document: Document) -> str:
    """Return a section for a Hugging Face model card (README.md), for below its own headings."""
    document = shown(document)
    lines = ["## Explanation audit", "", _about(document), "", *_conclusion(document), *_performance(document)]
    lines += _questions(document)
    confirmed = [one for one in document.shortcuts or () if one.verdict == "confirmed"]
    lines += _list("Bias, risks and limitations", [f"Leans on {one.name}: {one.result.why}" for one in confirmed])
    lines += [f"Made with heatproof {heatproof.__version__}. {LIMITS[-2]} {LIMITS[-1]}"]
    return "\n".join(lines).rstrip() + "\n"


def _about(document: Document) -> str:
    split = f", split {_safe(document.split)}" if document.split else ""
    counts = f"{document.flow.analyzed:,} of {document.flow.planned:,} inputs analyzed"
    return f"Model {_safe(document.model)}, data {_safe(document.data)}{split}; {counts}."


def _conclusion(document: Document) -> list[str]:
    advice = advise(document)
    lines = [f"> **Read this first.** {_safe(one)}\n" for one in document.warnings]
    lines += [f"**{_safe(advice.headline)}** {_safe(advice.because)}", "", "What to do next:", ""]
    return lines + [f"{i}. {_safe(step)}" for i, step in enumerate(advice.steps, 1)] + [""]


def _performance(document: Document) -> list[str]:
    if document.performance is None:
        return ["How well the model does is not known: no input has a label.", ""]
    whole, known = document.performance.whole, document.performance.whole.measures
    rows = [[name, measure(name, known[name])] for name in MEASURES if name in known]
    return _table(["performance", f"n = {whole.n:,}"], rows)


def _questions(document: Document) -> list[str]:
    rows = [
        [
            one.name,
            one.claim,
            one.word,
            interval(one.result.value) if one.result else "",
            interval(one.result.null) if one.result else "",
            one.why,
        ]
        for one in questions(document)
    ]
    return _table(["question", "claim", "verdict", "estimate", "null", "why"], rows)


def _ordered(document: Document) -> list[Shortcut]:
    return list(gravest_first(document.shortcuts or ()))


def _list(title: str, listed: Sequence[str]) -> list[str]:
    return ["", f"## {title}", "", *(f"- {_safe(one)}" for one in listed), ""] if listed else []


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(map(_safe, head))} |", "|" + " --- |" * len(head)]
    return [*lines, *(f"| {' | '.join(map(_safe, row))} |" for row in rows), ""]


def _safe(text: str) -> str:
    """Return a text that Markdown shows as it is: on one line, and nothing in it a tag, a link or a table's edge."""
    line = " ".join(str(text).split())
    line = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "".join(f"\\{c}" if c in "\\`*_[]|#~" else c for c in line)
