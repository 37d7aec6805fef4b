"""The questions of a plan, put to the inputs drawn for each; every answer is kept as soon as it is there."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from heatproof.audit import tables
from heatproof.audit.drawn import Drawn, read_again
from heatproof.audit.outcomes import outcome
from heatproof.audit.performance import mean_interval
from heatproof.audit.pipeline import Worker
from heatproof.audit.plan import Ask, Plan
from heatproof.audit.reading import sentence
from heatproof.audit.results import answer_of, row_of, shortcut_row
from heatproof.audit.sample import draw
from heatproof.audit.store import INPUTS, RunFolder
from heatproof.audit.suspects import find
from heatproof.checks._run import check, together
from heatproof.checks._stats import share_alpha
from heatproof.errors import HeatproofError
from heatproof.report._files import plain
from heatproof.report.audit.document import Answer
from heatproof.types import CheckResult

_ANSWERS = "answers"
_DECIDED = ("supports", "undermines")
ENOUGH = 0.9
"""Share of the planned units that must have been looked at for a verdict."""


@dataclass(frozen=True)
class Answered:
    """What became of one question.

    Attributes:
        rows: of results.parquet, for each share of alpha that the answer may get: "1" for all of it, "2" for half.
        per_input: column -> id -> number.
        deviations: what was done otherwise than planned; sentences.
    """

    rows: Mapping[str, Sequence[dict[str, Any]]]
    per_input: Mapping[str, Mapping[str, float | None]]
    deviations: tuple[str, ...] = ()


def answer(
    worker: Worker, folder: RunFolder, begin: Callable[[str], None]
) -> tuple[list[list[dict[str, Any]]], list[Answered]]:
    """Return the rows of all questions of the plan, and what else became of them; earlier runs' answers are read.

    Args:
        worker: of the run, whose shards are all there.
        folder: of the run.
        begin: called with the name of each question.
    """
    found: list[Answered] = []
    for number, ask in enumerate(worker.plan.asks):
        path = folder.path / _ANSWERS / f"{number}-{ask.question}.json"
        begin(ask.question)
        known = _kept(path)
        if known is None:
            known = _shortcuts(worker, folder, ask) if ask.question == "shortcuts" else _check(worker, folder, ask)
            folder.put(f"{_ANSWERS}/{path.name}", json.dumps(_told(known), ensure_ascii=False).encode())
            known = _kept(path)  # as it will be read by a run that goes on with this one
        assert known is not None
        found.append(known)
    return _consider_together(_share(found)), found


def alphas(plan: Plan) -> tuple[dict[str, float], float]:
    """Return the shares of alpha that the primary checks may get, by how many of them share it, and the shortcuts' own.

    Shortcuts, if asked, get their part of alpha, which their candidates share; the checks share the rest by Holm's
    procedure. Both keep the error rate of all together.
    """
    primary = [ask.question for ask in plan.asks if ask.primary]
    checks = [name for name in primary if name != "shortcuts"]
    of_checks = plan.alpha * len(checks) / max(1, len(primary))
    return {str(k): of_checks / k for k in range(1, len(checks) + 1)}, plan.alpha / max(1, len(primary))


def _share(found: Sequence[Answered]) -> list[list[dict[str, Any]]]:
    """Return the rows of every question, each primary check at the share of alpha that Holm's procedure leaves it."""
    primary = [i for i, one in enumerate(found) if len(one.rows) > 1]

    def test(i: int) -> Callable[[float], Sequence[dict[str, Any]]]:
        by_alpha = {rows[0]["alpha"]: rows for rows in found[i].rows.values()}
        return lambda alpha: by_alpha[min(by_alpha, key=lambda known: abs(known - alpha))]

    rows = [list(one.rows["1"]) for one in found]
    if primary:
        whole = found[primary[0]].rows["1"][0]["alpha"]
        shared = share_alpha([test(i) for i in primary], whole, lambda rows: rows[0]["verdict"] in _DECIDED)
        for i, (mine, _) in zip(primary, shared, strict=True):
            rows[i] = list(mine)
    return rows


def _check(worker: Worker, folder: RunFolder, ask: Ask) -> Answered:
    plan = worker.plan
    plausibility = ask.question == "plausibility"
    rows = draw(
        folder.rows(INPUTS),
        ask.planned,
        plan.run.seed,
        ask.question,
        usable=lambda row: "non-finite" not in row["flags"] and (row["annotated"] or not plausibility),
    )
    drawn = read_again(worker, rows)
    single = plan.model.classes == 1
    shares = alphas(plan)[0] if ask.primary else {"1": plan.alpha}
    try:
        results = check(
            worker.explainer.model,
            list(drawn.inputs),
            [ask.question],
            target=None if single else [row["predicted"] for row in drawn.rows],
            method=plan.maps.method,
            layer=worker.explainer.layer,
            annotations=[worker.source.annotation(entry) for entry in drawn.entries] if plausibility else None,
            cluster_by=drawn.clusters,
            cluster_name=plan.data.cluster_name,
            seed=plan.run.seed,
            alpha=shares["1"],
            settings={ask.question: dict(ask.settings)},
            batch_size=plan.run.batch_size,
        )
    # whatever one question runs into, the others are answered
    except (HeatproofError, RuntimeError, MemoryError, ValueError) as error:
        return _no_answer(plan, ask, error, drawn)
    first, *others = results
    deviations = [*drawn.lost]
    if first.n < ask.planned:
        deviations.append(f"{ask.question}: {first.n} {first.unit}(s) could be used, {ask.planned} were planned.")
    rest = [row_of(Answer(result, False), ask.question) for result in others]
    rest += _by_subgroup(first, drawn, plan, ask)
    rows = {
        # of several answers the first had its part already
        share: [
            row_of(Answer(_of_enough(first if others else _at(first, alpha), ask), ask.primary), ask.question),
            *rest,
        ]
        for share, alpha in shares.items()
    }
    return Answered(rows, _per_input(results, drawn), tuple(deviations))


def _at(result: CheckResult, alpha: float) -> CheckResult:
    """Return an answer at a share of alpha; one that cannot be had again stays as it is."""
    return result if alpha == result.alpha or result.again is None else result.again(alpha)


def _no_answer(plan: Plan, ask: Ask, error: Exception, drawn: Drawn) -> Answered:
    row = row_of(Answer(_unanswered(plan, ask, error), ask.primary), ask.question)
    return Answered({"1": [row]}, {}, tuple(drawn.lost))


def _of_enough(result: CheckResult, ask: Ask) -> CheckResult:
    """Withhold the verdict where fewer units than planned were looked at."""
    if result.n >= ENOUGH * ask.planned or result.verdict not in ("supports", "undermines"):
        return result
    why = f"Only {result.n} of the {ask.planned} planned {result.unit}(s) could be used, so no verdict is given. "
    return replace(result, verdict="inconclusive", why=why + result.why, n_needed=ask.planned)


def _by_subgroup(result: CheckResult, drawn: Drawn, plan: Plan, ask: Ask) -> list[dict[str, Any]]:
    """Return the primary statistic by class, by kind of decision, and by every subgroup column; without verdicts."""
    column = _primary_column(result)
    if column is None or len(result.per_input[column]) != len(drawn.rows):
        return []
    values = np.array([np.nan if v is None else v for v in result.per_input[column]], dtype=float)
    parts: dict[tuple[str, str], list[int]] = {}
    for i, row in enumerate(drawn.rows):
        names = {"class": row["label"], "decision": outcome(row)}
        names |= {name: row.get(tables.COLUMN + name) for name in plan.data.subgroups}
        for by, value in names.items():
            if value is not None:
                parts.setdefault((by, str(value)), []).append(i)
    codes = np.unique(drawn.clusters, return_inverse=True)[1]
    rows: list[dict[str, Any]] = []
    for (by, value), members in sorted(parts.items()):
        here = np.array([i for i in members if np.isfinite(values[i])], dtype=int)
        if not len(here):
            continue
        interval = mean_interval(values[here], codes[here], seed=plan.run.seed, level=1 - plan.alpha)
        part = replace(
            result, statistic=column, value=interval, null=None, null_name="", ceiling=None, n=len(here),
            verdict="not applicable", why="Exploratory: it carries no verdict.", n_needed=None, curves={}, details={},
        )  # fmt: skip
        rows.append(row_of(Answer(part, False, (by, value)), ask.question))
    return rows


def _primary_column(result: CheckResult) -> str | None:
    """Return the first column of numbers of an answer's table: that of its primary statistic."""
    return next(
        (
            name
            for name, values in result.per_input.items()
            if name != "input" and any(isinstance(v, float) for v in values)
        ),
        None,
    )


def _per_input(results: Sequence[CheckResult], drawn: Drawn) -> dict[str, dict[str, float | None]]:
    ids = [row["id"] for row in drawn.rows]
    found: dict[str, dict[str, float | None]] = {}
    for result in results:
        for name, values in result.per_input.items():
            numbers = all(value is None or isinstance(value, int | float) for value in values)
            if name != "input" and numbers and len(values) == len(ids):
                given = [None if value is None else float(value) for value in values]  # yes is 1
                found[f"{result.check}.{name}"] = plain(dict(zip(ids, given, strict=True)))
    return found


def _unanswered(plan: Plan, ask: Ask, error: Exception) -> CheckResult:
    return CheckResult(
        check=ask.question, claim="", about="map", statistic=ask.statistic, value=None, null=None, null_name="",
        ceiling=None, margin=ask.margin, alpha=plan.alpha, n=0, unit=plan.data.cluster_name, verdict="not applicable",
        why=f"It could not be answered: {sentence(error)}", settings=dict(ask.settings),
    )  # fmt: skip


def _shortcuts(worker: Worker, folder: RunFolder, ask: Ask) -> Answered:
    plan = worker.plan
    rows = draw(
        folder.rows(INPUTS), ask.planned, plan.run.seed, "shortcuts",
        usable=lambda row: row["label_index"] is not None and "non-finite" not in row["flags"], one_per_cluster=False,
    )  # fmt: skip
    drawn = read_again(worker, rows)
    try:
        found = find(worker, folder, ask, drawn, alphas(plan)[1])
    except (HeatproofError, RuntimeError, MemoryError, ValueError) as error:
        return _no_answer(plan, ask, error, drawn)
    return Answered({"1": [shortcut_row(one) for one in found]}, {}, tuple(drawn.lost))


def _consider_together(rows: list[list[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    """Let plausibility say whom to suspect, now that faithfulness is known."""
    places = [(i, j) for i, mine in enumerate(rows) for j, row in enumerate(mine) if row["primary"]]
    results = together([answer_of(rows[i][j]).result for i, j in places])
    for (i, j), result in zip(places, results, strict=True):
        rows[i][j] = rows[i][j] | {"why": result.why}
    return rows


def _told(one: Answered) -> dict[str, Any]:
    return {"rows": one.rows, "per_input": one.per_input, "deviations": one.deviations}


def _kept(path: Any) -> Answered | None:
    try:
        told = json.loads(path.read_bytes())
        return Answered(told["rows"], told["per_input"], tuple(told["deviations"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
