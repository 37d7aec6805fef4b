"""Two runs of one data set compared: a model trained again, quantized or pruned, or another scanner.

Everything is paired by input and resampled by cluster. Differences are second run minus first; they carry no verdict,
since no margin was fixed for them.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float

from heatproof.audit.drift import map_drift
from heatproof.audit.pairs import Pairs, auroc, groups_of, mean_difference, pair_up, statistic_difference
from heatproof.audit.store import RESULTS, RunFolder
from heatproof.audit.tables import rows_of
from heatproof.types import Interval

_LIKE = 1e-4  # the mean of a column that is a result's statistic agrees with the result within this


@dataclass(frozen=True)
class Difference:
    """One result in both runs.

    Attributes:
        about: "performance" or "check".
        name: of the measure or check.
        statistic: what is compared.
        subgroup: (column, value); None for all inputs.
        a: value in the first run, over the paired inputs.
        b: value in the second.
        value: b - a with its interval; infinite limits where the result cannot be paired.
        n: pairs that it rests on.
        how: "paired", or "of the estimates" where no per-input numbers are kept.
    """

    about: Literal["performance", "check"]
    name: str
    statistic: str
    subgroup: tuple[str, str] | None
    a: float
    b: float
    value: Interval
    n: int
    how: Literal["paired", "of the estimates"]


@dataclass(frozen=True)
class Change:
    """A verdict in both runs; "not asked" where one has none. `name` is a check, or a candidate for a shortcut."""

    question: str
    name: str
    subgroup: tuple[str, str] | None
    before: str
    after: str

    @property
    def changed(self) -> bool:
        """Whether they differ."""
        return self.before != self.after


@dataclass(frozen=True)
class Comparison:
    """What came of comparing two runs.

    Attributes:
        pairs: the inputs that were compared.
        differences: of every result.
        verdicts: in both runs.
        decisions: inputs by what became of the decision: "same", "changed", "mended", "broken" (the last two: labels
            known, wrong before and right after, or the other way).
        drift: per pair, rank correlation of the two maps.
        mean_drift: its mean, with interval.
    """

    pairs: Pairs
    differences: tuple[Difference, ...]
    verdicts: tuple[Change, ...]
    decisions: Mapping[str, int]
    drift: Float[np.ndarray, " n"]
    mean_drift: Interval


def compare(a: str | Path, b: str | Path, *, match_by: str = "id", seed: int = 0, level: float = 0.95) -> Comparison:
    """Compare two finished runs.

    Args:
        a: run folder of the first.
        b: run folder of the second.
        match_by: what says that two inputs are the same: "id", "sha256" or a column of the data.
        seed: of the resampling.
        level: nominal coverage of the intervals.

    Raises:
        InputError: a folder holds no finished run.
        UsageError: the runs cannot be matched by that.
    """
    folders = RunFolder.open(a), RunFolder.open(b)
    pairs = pair_up(*folders, match_by)
    results = [list(rows_of(folder.path / RESULTS)) for folder in folders]
    drift = map_drift(a, b, pairs)
    return Comparison(
        pairs,
        (*_performance(pairs, folders, seed, level), *_checks(pairs, results[0], results[1], seed, level)),
        tuple(_verdicts(*results)),
        _decisions(pairs),
        drift,
        mean_difference(np.zeros(len(pairs)), drift, pairs.clusters, seed=seed, level=level),
    )


def _decisions(pairs: Pairs) -> dict[str, int]:
    counts: dict[str, int] = {"same": 0, "changed": 0, "mended": 0, "broken": 0}
    for x, y in zip(pairs.a, pairs.b, strict=True):
        counts["same" if x["predicted_label"] == y["predicted_label"] else "changed"] += 1
        if x["label"] is not None:
            right = [one["predicted_label"] == x["label"] for one in (x, y)]
            counts["mended"] += right == [False, True]
            counts["broken"] += right == [True, False]
    return counts


def _performance(pairs: Pairs, folders: tuple[RunFolder, RunFolder], seed: int, level: float) -> Iterator[Difference]:
    """Yield the differences in performance, on the pairs that have a label."""
    labels = folders[0].plan.model.labels
    known = np.array([row["label"] is not None for row in pairs.a])
    if not known.any():
        return
    right = [
        np.array([float(row["predicted_label"] == x["label"]) if x["label"] is not None else nan
                  for x, row in zip(pairs.a, rows, strict=True)])
        for rows in (pairs.a, pairs.b)
    ]  # fmt: skip
    clusters = pairs.clusters

    def paired(name: str, rows: Any, subgroup: tuple[str, str] | None = None) -> Difference:
        x, y = right[0][rows], right[1][rows]
        value = mean_difference(x, y, [clusters[i] for i in rows], seed=seed, level=level)
        a, b = float(np.nanmean(x)), float(np.nanmean(y))
        return Difference("performance", name, name, subgroup, a, b, value, len(rows), "paired")

    everything = np.flatnonzero(known)
    yield paired("accuracy", everything)
    if len(labels) == 2:
        positive = np.array([row["label"] == labels[1] for row in pairs.a])
        for name, rows in (("sensitivity", positive & known), ("specificity", ~positive & known)):
            if rows.any():
                yield paired(name, np.flatnonzero(rows))
        yield from _area(pairs, positive, everything, seed, level)
    for column in dict.fromkeys(("class", *folders[0].plan.data.subgroups)):
        for value, rows in groups_of(pairs, column).items():
            if known[rows].any():
                yield paired("accuracy", rows[known[rows]], (column, value))


def _area(pairs: Pairs, positive: np.ndarray, rows: np.ndarray, seed: int, level: float) -> Iterator[Difference]:
    tables = {"a": pairs.a, "b": pairs.b}
    if any(row.get("scores") is None for table in tables.values() for row in table):
        return
    # the difference of the two scores puts inputs in the same order as the probability does
    scores = {run: np.array([row["scores"][1] - row["scores"][0] for row in table]) for run, table in tables.items()}
    truth, kept = positive[rows], {run: score[rows] for run, score in scores.items()}
    clusters = [pairs.clusters[i] for i in rows]

    def statistic(run: str, at: np.ndarray) -> float:
        return auroc(kept[run][at], truth[at])

    value = statistic_difference(statistic, clusters, seed=seed, level=level)
    a, b = (auroc(kept[run], truth) for run in ("a", "b"))
    yield Difference("performance", "AUROC", "AUROC", None, a, b, value, len(rows), "paired")


def _subgroup(column: str | None, value: str | None) -> tuple[str, str] | None:
    return None if column is None or value is None else (column, value)


def _key(row: Mapping[str, Any]) -> tuple[str, str, str | None, str | None]:
    return row["question"], row["check"], row["subgroup_column"], row["subgroup_value"]


def _checks(
    pairs: Pairs, first: list[dict[str, Any]], second: list[dict[str, Any]], seed: int, level: float
) -> Iterator[Difference]:
    """Yield the difference of every result of a check that both runs have."""
    others = {_key(row): row for row in second}
    for row in first:
        other = others.get(_key(row))
        if other is None or row["question"] == "performance" or row["estimate"] is None or other["estimate"] is None:
            continue
        subgroup = _subgroup(row["subgroup_column"], row["subgroup_value"])
        rows = np.arange(len(pairs)) if subgroup is None else groups_of(pairs, subgroup[0]).get(subgroup[1])
        name = _column_of(row, pairs, rows) if rows is not None else None
        if name is None:
            gap = Interval(other["estimate"] - row["estimate"], -np.inf, np.inf, level)
            n = min(row["n"], other["n"])
            yield Difference("check", row["check"], row["statistic"], subgroup, row["estimate"], other["estimate"],
                             gap, n, "of the estimates")  # fmt: skip
            continue
        assert rows is not None
        x, y = (numbers[rows] for numbers in pairs.numbers(name))
        both = np.isfinite(x) & np.isfinite(y)
        if not both.any():
            continue
        gap = mean_difference(x, y, [pairs.clusters[i] for i in rows], seed=seed, level=level)
        means = float(x[both].mean()), float(y[both].mean())
        yield Difference("check", row["check"], row["statistic"], subgroup, *means, gap, int(both.sum()), "paired")


def _column_of(row: Mapping[str, Any], pairs: Pairs, rows: np.ndarray) -> str | None:
    """Return the per-input column whose mean is the result's statistic; None where no column is."""
    for name in pairs.columns:
        if name.startswith(f"{row['check']}.") and isinstance(pairs.a[0][name], int | float | None):
            whole = pairs.numbers(name)[0][rows]
            known = whole[np.isfinite(whole)]
            if len(known) and abs(float(known.mean()) - row["estimate"]) <= _LIKE * max(1.0, abs(row["estimate"])):
                return name
    return None


def _verdicts(first: list[dict[str, Any]], second: list[dict[str, Any]]) -> Iterator[Change]:
    """Yield every verdict of either run."""
    tables = [
        {_key(row): _verdict(row) for row in rows if row["question"] != "performance"} for rows in (first, second)
    ]
    for key in dict.fromkeys((*tables[0], *tables[1])):
        question, check, column, value = key
        before, after = (table.get(key, "not asked") for table in tables)
        yield Change(question, check, _subgroup(column, value), before, after)


def _verdict(row: Mapping[str, Any]) -> str:
    if row["question"] == "shortcuts":
        return str(json.loads(row["details"]).get("shortcut_verdict", row["verdict"]))
    return row["verdict"] if row["primary"] else "exploratory"


def document(found: Comparison, a: str, b: str, *, worst: int = 20) -> dict[str, Any]:
    """Return the comparison as plain values, with the inputs whose maps lie farthest apart."""
    from heatproof.report._files import plain

    order = [int(i) for i in np.argsort(found.drift) if isfinite(found.drift[i])][:worst]
    told: dict[str, Any] = plain(
        {
            "format": "heatproof compare 1",
            "a": a,
            "b": b,
            "inputs": {
                "compared": len(found.pairs), "only in a": found.pairs.only_a, "only in b": found.pairs.only_b,
                "with other bytes": found.pairs.other_bytes,
            },
            "decisions": found.decisions,
            "verdicts": [{**vars(one), "changed": one.changed} for one in found.verdicts],
            "differences": found.differences,
            "map drift": {
                "statistic": "Spearman's rank correlation of the two maps, same class",
                "mean": found.mean_drift,
                "compared": int(np.isfinite(found.drift).sum()),
                "farthest": [{"id": found.pairs.a[i]["id"], "rank correlation": float(found.drift[i])} for i in order],
            },
        }
    )  # fmt: skip
    return told
