"""The gate: does a finished run reach what a policy asks for? For a person, for a program, and for CI."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import heatproof
from heatproof.audit.plan import QUESTIONS
from heatproof.audit.policy import NOT_ASKED, Bound, Judge, Policy
from heatproof.audit.store import FAILURES, RESULTS, RunFolder
from heatproof.audit.tables import rows_of
from heatproof.errors import UsageError, nearest

FORMAT = "heatproof gate 1"
_ILLEGAL = {code: "\ufffd" for code in range(32) if code not in (9, 10, 13)} | {0xFFFE: "\ufffd", 0xFFFF: "\ufffd"}


@dataclass(frozen=True)
class Ruling:
    """One demand of the policy, and whether the run meets it.

    Attributes:
        about: what it is about: "verdicts", "shortcuts", "performance" or "run".
        name: of the demand.
        passed: whether it is met.
        reason: one sentence, also where it is met.
    """

    about: str
    name: str
    passed: bool
    reason: str


def gate(run: str | Path, policy: Policy) -> list[Ruling]:
    """Return a ruling on every demand of the policy.

    Raises:
        InputError: the folder holds no finished run.
        UsageError: the policy names a check or a column that no audit could have.
    """
    folder = RunFolder.open(run)
    manifest = folder.manifest()
    rows = list(rows_of(folder.path / RESULTS))
    failed = sum(1 for _ in rows_of(folder.path / FAILURES, ["id"]))
    found = [*_verdicts(rows, policy), *_shortcuts(rows, policy), *_performance(rows, policy)]
    return [*found, *_run(failed, folder.plan.data.entries, manifest, policy)]


def as_json(rulings: Sequence[Ruling], run: str, policy: str) -> str:
    """Return the rulings as a JSON document."""
    told = {
        "format": FORMAT, "heatproof": heatproof.__version__, "run": run, "policy": policy,
        "passed": all(one.passed for one in rulings), "rulings": [asdict(one) for one in rulings],
    }  # fmt: skip
    return json.dumps(told, indent=2, ensure_ascii=False) + "\n"


def as_junit(rulings: Sequence[Ruling]) -> str:
    """Return the rulings as JUnit XML, which CI systems read: a demand is a test case."""
    failed = str(sum(not one.passed for one in rulings))
    count = {"tests": str(len(rulings)), "failures": failed, "errors": "0", "skipped": "0"}
    suites = ElementTree.Element("testsuites", count)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "heatproof gate", **count, "time": "0"})
    for one in rulings:
        case = {"classname": f"heatproof.{one.about}", "name": _legal(one.name), "time": "0"}
        element = ElementTree.SubElement(suite, "testcase", case)
        if not one.passed:
            told = ElementTree.SubElement(element, "failure", {"message": _legal(one.reason), "type": one.about})
            told.text = _legal(one.reason)
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _legal(text: str) -> str:
    """Return a text without what XML cannot hold: control characters and halves of surrogate pairs."""
    return text.translate(_ILLEGAL).encode("utf-8", "replace").decode("utf-8")


def _verdicts(rows: Sequence[Mapping[str, Any]], policy: Policy) -> Iterator[Ruling]:
    from heatproof.checks import checks

    for name, allowed in policy.verdicts.items():
        known = {*QUESTIONS, *checks(), *(row["check"] for row in rows if row["question"] != "performance")}
        if name not in known:
            raise UsageError(f"[verdicts] of the policy has {name!r}, which is no question and no check"
                             f"{nearest(name, known, 1) or '.'}")  # fmt: skip
        row = _answer(rows, name)
        verdict = NOT_ASKED if row is None else row["verdict"] if row["primary"] else NOT_ASKED
        passed = verdict in allowed
        wanted = " or ".join(allowed) or "nothing"
        why = "the run has no planned answer" if row is None or not row["primary"] else row["why"]
        told = f"{name} is {verdict}" if passed else f"{name} is {verdict}, and the policy takes {wanted}"
        yield Ruling("verdicts", name, passed, f"{told}: {why}")


def _answer(rows: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any] | None:
    """Return the answer over all inputs; of the candidates for shortcuts, the gravest."""
    whole = [
        row
        for row in rows
        if row["subgroup_column"] is None
        and row["question"] != "performance"
        and name in (row["question"], row["check"])
    ]
    grave = ("undermines", "inconclusive", "not applicable", "supports")
    whole.sort(key=lambda row: (not row["primary"], grave.index(row["verdict"])))
    return whole[0] if whole else None


def _shortcuts(rows: Sequence[Mapping[str, Any]], policy: Policy) -> Iterator[Ruling]:
    if not policy.forbidden:
        return
    found = [row for row in rows if row["question"] == "shortcuts"]
    if NOT_ASKED in policy.forbidden:
        told = f"{len(found)} candidates were put to the test." if found else "No candidate was put to the test."
        yield Ruling("shortcuts", NOT_ASKED, bool(found), told)
    for row in found:
        verdict = json.loads(row["details"]).get("shortcut_verdict", row["verdict"])
        passed = verdict not in policy.forbidden
        yield Ruling("shortcuts", row["check"], passed, f"{row['check']} is {verdict}: {row['why']}")
    if not found and NOT_ASKED not in policy.forbidden:
        yield Ruling("shortcuts", "candidates", True, "No candidate was put to the test.")


def _performance(rows: Sequence[Mapping[str, Any]], policy: Policy) -> Iterator[Ruling]:
    known = [row for row in rows if row["question"] == "performance"]
    for measure, bound in policy.performance.items():
        row = next((one for one in known if one["check"] == measure and one["subgroup_column"] is None), None)
        yield _bounded(measure, row, bound, policy.judge)
    for column, bounds in policy.groups.items():
        for measure, bound in bounds.items():
            parts = [one for one in known if one["check"] == measure and one["subgroup_column"] == column]
            if not parts:
                yield Ruling("performance", f"{measure} by {column}", False, f"The run has no {measure} by {column}.")
            for row in parts:
                yield _bounded(f"{measure} of {column} {row['subgroup_value']}", row, bound, policy.judge)


def _bounded(name: str, row: Mapping[str, Any] | None, bound: Bound, judge: Judge) -> Ruling:
    if row is None or row["estimate"] is None:
        return Ruling("performance", name, False, f"The run has no {name}: are there labels?")
    low, high = (row["estimate"],) * 2 if judge == "estimate" else (row["low"], row["high"])
    reasons: list[str] = []
    # written so that a NaN fails
    if bound.least is not None and not low >= bound.least:
        reasons.append(f"the policy takes {bound.least:g} or more")
    if bound.most is not None and not high <= bound.most:
        reasons.append(f"the policy takes {bound.most:g} or less")
    by = "judged by the far end of its interval" if judge == "interval" else "judged by its estimate"
    value = f"{name} is {row['estimate']:.3f} [{row['low']:.3f}, {row['high']:.3f}], n = {row['n']}"
    told = f"{value}, and {' and '.join(reasons)} ({by})." if reasons else f"{value} ({by})."
    return Ruling("performance", name, not reasons, told)


def _run(failed: int, planned: int, manifest: Mapping[str, Any], policy: Policy) -> Iterator[Ruling]:
    if policy.most_failures is not None:
        share = failed / planned if planned else 0.0
        told = f"{failed} of {planned} inputs were left out ({share:.1%}; the policy takes {policy.most_failures:.1%})."
        yield Ruling("run", "most_failures", share <= policy.most_failures, told)
    if not policy.deviations:
        listed = manifest.get("deviations") or []
        told = f"The plan was not kept: {' '.join(map(str, listed))}" if listed else "The plan was kept."
        yield Ruling("run", "deviations", not listed, told)
