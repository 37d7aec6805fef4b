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
from heatproof.errors import HeatproofError
from heatproof.report._files import plain
from heatproof.report.audit.document import Answer
from heatproof.types import CheckResult

_ANSWERS = "answers"
ENOUGH = 0.9
"""Share of the planned units that must have been looked at for a verdict."""


@dataclass(frozen=True)
class Answered:
    """What became of one question.

    Attributes:
        rows: of results.parquet.
        per_input: column -> id -> number.
        deviations: what was done otherwise than planned; sentences.
    """

    rows: tuple[dict[str, Any], ...]
    per_input: Mapping[str, Mapping[str, float | None]]
    deviations: tuple[str, ...] = ()


def answer(worker: Worker, folder: RunFolder, begin: Callable[[str], None]) -> list[Answered]:
    """Return the answers to all questions of the plan; those that an earlier run left are read.

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
    return _consider_together(found)


def primaries(plan: Plan) -> int:
    """Return how many verdicts share alpha; the candidates for shortcuts share one part among themselves."""
    return max(1, sum(ask.primary for ask in plan.asks))


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
            alpha=plan.alpha / primaries(plan) if ask.primary else plan.alpha,
            settings={ask.question: dict(ask.settings)},
            batch_size=plan.run.batch_size,
        )
    # whatever one question runs into, the others are answered
    except (HeatproofError, RuntimeError, MemoryError, ValueError) as error:
        return Answered(
            (row_of(Answer(_unanswered(plan, ask, error), ask.primary), ask.question),), {}, tuple(drawn.lost)
        )
    told = [_of_enough(result, ask) for result in results]
    deviations = [*drawn.lost]
    if told and told[0].n < ask.planned:
        deviations.append(f"{ask.question}: {told[0].n} {told[0].unit}(s) could be used, {ask.planned} were planned.")
    answers = [row_of(Answer(result, ask.primary and number == 0), ask.question) for number, result in enumerate(told)]
    groups = [row for result in told[:1] for row in _by_subgroup(result, drawn, plan, ask)]
    return Answered((*answers, *groups), _per_input(results, drawn), tuple(deviations))


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
                found[f"{result.check}.{name}"] = plain(dict(zip(ids, values, strict=True)))
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
        found = find(worker, folder, ask, drawn, plan.alpha / primaries(plan))
    except (HeatproofError, RuntimeError, MemoryError, ValueError) as error:
        return Answered((row_of(Answer(_unanswered(plan, ask, error), True), "shortcuts"),), {}, tuple(drawn.lost))
    return Answered(tuple(shortcut_row(one) for one in found), {}, tuple(drawn.lost))


def _consider_together(found: Sequence[Answered]) -> list[Answered]:
    """Let plausibility say whom to suspect, now that faithfulness is known."""
    places = [(i, j) for i, one in enumerate(found) for j, row in enumerate(one.rows) if row["primary"]]
    results = together([answer_of(found[i].rows[j]).result for i, j in places])
    rows = [list(one.rows) for one in found]
    for (i, j), result in zip(places, results, strict=True):
        rows[i][j] = rows[i][j] | {"why": result.why}
    return [replace(one, rows=tuple(mine)) for one, mine in zip(found, rows, strict=True)]


def _told(one: Answered) -> dict[str, Any]:
    return {"rows": one.rows, "per_input": one.per_input, "deviations": one.deviations}


def _kept(path: Any) -> Answered | None:
    try:
        told = json.loads(path.read_bytes())
        return Answered(tuple(told["rows"]), told["per_input"], tuple(told["deviations"]))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
