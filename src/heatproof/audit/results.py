"""Answers as rows of results.parquet, and back: of checks, of performance, of candidates for shortcuts."""

import json
from collections.abc import Iterable, Mapping, Sequence
from math import nan
from typing import Any

from heatproof.report._files import plain
from heatproof.report.audit.document import Answer, Group, Performance, Shortcut
from heatproof.types import CheckResult, Interval

_ENDS = ("estimate", "low", "high")


def row_of(answer: Answer, question: str) -> dict[str, Any]:
    """Return an answer as a row; what does not fit a column is JSON."""
    result = answer.result
    column, value = answer.subgroup or (None, None)
    return {
        "question": question,
        "check": result.check,
        "primary": answer.primary,
        "subgroup_column": column,
        "subgroup_value": value,
        **{
            name: getattr(result, name) for name in ("claim", "about", "statistic", "null_name", "margin", "alpha", "n")
        },
        **_interval(result.value, ""),
        "level": None if result.value is None else result.value.level,
        **_interval(result.null, "null_"),
        **_interval(result.ceiling, "ceiling_"),
        **{name: getattr(result, name) for name in ("unit", "verdict", "why", "n_needed", "forwards")},
        "curves": _json(result.curves),
        "details": _json(result.details),
        "settings": _json(result.settings),
    }


def answer_of(row: Mapping[str, Any]) -> Answer:
    """Return a row as the answer that it was; `per_input` lies in inputs.parquet."""
    level = row["level"] or 1 - row["alpha"]
    subgroup = None if row["subgroup_column"] is None else (row["subgroup_column"], row["subgroup_value"])
    result = CheckResult(
        **{name: row[name] for name in ("check", "claim", "about", "statistic", "null_name", "margin", "alpha", "n")},
        **{name: row[name] for name in ("unit", "verdict", "why", "n_needed", "forwards")},
        value=_read(row, "", level),
        null=_read(row, "null_", level),
        ceiling=_read(row, "ceiling_", level),
        curves={name: (tuple(x), tuple(y)) for name, (x, y) in json.loads(row["curves"]).items()},
        details=json.loads(row["details"]),
        settings=json.loads(row["settings"]),
    )
    return Answer(result, row["primary"], subgroup)


def performance_rows(found: Performance, alpha: float) -> list[dict[str, Any]]:
    """Return performance as rows: one for each measure of each group, without verdicts."""
    about = {name: getattr(found, name) for name in ("classes", "positive", "threshold", "confusion", "reliability")}
    rows: list[dict[str, Any]] = []
    for group in (found.whole, *found.groups):
        for measure, interval in group.measures.items():
            whole = group.by == "all"
            result = CheckResult(
                check=measure, claim="", about="model", statistic=measure, value=interval, null=None, null_name="",
                ceiling=None, margin=0.0, alpha=alpha, n=group.n, unit="input", verdict="not applicable", why="",
                details=about if whole and measure == "accuracy" else {},
            )  # fmt: skip
            subgroup = None if whole else (group.by, group.value)
            rows.append(row_of(Answer(result, primary=False, subgroup=subgroup), "performance"))
    return rows


def performance_of(rows: Iterable[Mapping[str, Any]]) -> Performance | None:
    """Return performance from its rows; None where there are none."""
    groups: dict[tuple[str, str], Group] = {}
    about: dict[str, Any] = {}
    for row in rows:
        answer = answer_of(row)
        key = answer.subgroup or ("all", "all")
        known = groups.get(key)
        assert answer.result.value is not None
        measures = {**(known.measures if known else {}), answer.result.check: answer.result.value}
        groups[key] = Group(*key, answer.result.n, measures)
        about = dict(answer.result.details) or about
    whole = groups.pop(("all", "all"), None)
    if whole is None:
        return None
    return Performance(
        classes=tuple(about["classes"]),
        positive=about["positive"],
        threshold=about["threshold"],
        whole=whole,
        groups=tuple(groups.values()),
        confusion=tuple(tuple(counts) for counts in about["confusion"]),
        reliability=tuple((p, right, int(n)) for p, right, n in about["reliability"]),
    )


def shortcut_row(one: Shortcut) -> dict[str, Any]:
    """Return a candidate for a shortcut as a row."""
    told = {
        "shortcut_verdict": one.verdict, "origin": one.origin, "label": one.label, "effects": one.effects,
        "flips": one.flips, "prevalence": one.prevalence, "subgroups": one.subgroups, "pictures": one.pictures,
    }  # fmt: skip
    row = row_of(Answer(one.result, primary=True), "shortcuts")
    return row | {"check": one.name, "details": _json({**one.result.details, **told})}


def shortcuts_of(rows: Sequence[Mapping[str, Any]]) -> list[Shortcut]:
    """Return the candidates for shortcuts from their rows."""
    found: list[Shortcut] = []
    for row in rows:
        answer = answer_of(row)
        told = answer.result.details
        found.append(
            Shortcut(
                name=row["check"],
                label=told["label"],
                origin=told["origin"],
                verdict=told["shortcut_verdict"],
                result=answer.result,
                effects={name: _of(values) for name, values in told["effects"].items()},
                flips={name: (a if a is not None else nan, b if b is not None else nan)
                       for name, (a, b) in told["flips"].items()},
                prevalence=told["prevalence"],
                subgroups={name: nan if value is None else value for name, value in told["subgroups"].items()},
                pictures=told["pictures"],
            )
        )  # fmt: skip
    return found


def _interval(interval: Interval | None, before: str) -> dict[str, float | None]:
    return {before + end: None if interval is None else float(getattr(interval, end)) for end in _ENDS}


def _read(row: Mapping[str, Any], before: str, level: float) -> Interval | None:
    if row[before + "low"] is None:
        return None
    estimate, low, high = (nan if row[before + end] is None else row[before + end] for end in _ENDS)
    return Interval(estimate, low, high, level)


def _of(told: Mapping[str, Any]) -> Interval:
    estimate, low, high = (nan if told[end] is None else told[end] for end in _ENDS)
    return Interval(estimate, low, high, told["level"])


def _json(value: Any) -> str:
    return json.dumps(plain(value), ensure_ascii=False, sort_keys=True)
