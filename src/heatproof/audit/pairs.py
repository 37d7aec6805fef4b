"""Two runs over the same inputs: which row goes with which, and what paired differences say, clusters kept whole."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite, nan
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from heatproof.audit.store import INPUTS, RunFolder, read_inputs
from heatproof.audit.tables import COLUMN, column_names
from heatproof.checks._stats import bootstrap
from heatproof.errors import UsageError
from heatproof.types import Interval

DRAWS = 1000
"""Resamples for the interval of a difference that is no mean."""


@dataclass(frozen=True)
class Pairs:
    """Inputs of two runs, side by side.

    Attributes:
        a: rows of the first run's inputs.parquet.
        b: rows of the second's, each the same input as the row of `a` at its place.
        only_a: inputs that only the first run has.
        only_b: inputs that only the second run has.
        other_bytes: pairs whose files differ, as with another scanner.
        columns: columns that both tables have.
    """

    a: list[dict[str, Any]]
    b: list[dict[str, Any]]
    only_a: int
    only_b: int
    other_bytes: int
    columns: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.a)

    @property
    def clusters(self) -> list[str]:
        """What each pair belongs to; without a cluster, to itself."""
        return [f"in {one['cluster']}" if one["cluster"] is not None else f"is {one['id']}" for one in self.a]

    def numbers(self, column: str) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Return a column of numbers in both runs; NaN where it is missing."""
        made = [[nan if row[column] is None else float(row[column]) for row in rows] for rows in (self.a, self.b)]
        return np.array(made[0]), np.array(made[1])


def pair_up(a: RunFolder, b: RunFolder, match_by: str = "id") -> Pairs:
    """Return the inputs that two finished runs share.

    Args:
        a: the first run.
        b: the second run.
        match_by: "id", "sha256", or a column of the data that says which inputs are the same thing (a lesion's number
            where two scanners took it).

    Raises:
        InputError: a run is not finished.
        UsageError: there is no such column, it does not tell inputs apart, or the runs share none.
    """
    names = [column_names(_finished(run) / INPUTS) for run in (a, b)]
    column = match_by if match_by in ("id", "sha256") else COLUMN + match_by
    for run, known in zip((a, b), names, strict=True):
        if column not in known:
            there = ", ".join(["id", "sha256", *(n.removeprefix(COLUMN) for n in known if n.startswith(COLUMN))])
            raise UsageError(f"{run.path.name} has no column {match_by!r} to match by; it has {there}.")
    tables = [_by_key(run, column, match_by) for run in (a, b)]
    shared = [key for key in tables[0] if key in tables[1]]
    if not shared:
        raise UsageError(
            f"{a.path.name} and {b.path.name} share no input by {match_by!r}; name the column that says which inputs "
            "are the same with --match-by."
        )
    rows = [[table[key] for key in shared] for table in tables]
    return Pairs(
        *rows,
        only_a=len(tables[0]) - len(shared),
        only_b=len(tables[1]) - len(shared),
        other_bytes=sum(x["sha256"] != y["sha256"] for x, y in zip(*rows, strict=True)),
        columns=tuple(name for name in names[0] if name in names[1]),
    )


def mean_difference(
    a: Float[np.ndarray, " n"], b: Float[np.ndarray, " n"], clusters: Sequence[str], *, seed: int, level: float
) -> Interval:
    """Return the mean of b - a with its interval over clusters; pairs with a NaN are left out."""
    difference = torch.from_numpy(np.asarray(b - a, dtype=np.float64))
    if not bool(difference.isfinite().any()):
        return Interval(nan, -inf, inf, level)
    return bootstrap(difference.masked_fill(~difference.isfinite(), nan).float(), clusters, seed=seed, level=level)


def statistic_difference(
    statistic: Callable[[str, Int[np.ndarray, " m"]], float], clusters: Sequence[str], *, seed: int, level: float
) -> Interval:
    """Return the difference of a statistic that is no mean, with a percentile interval over clusters.

    Args:
        statistic: `(run, rows) -> value`, run being "a" or "b"; the same rows are drawn in both.
        clusters: per pair, what it belongs to.
        seed: of the resampling.
        level: nominal coverage.
    """
    _, member = np.unique(np.array(clusters), return_inverse=True)
    order = np.argsort(member, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(member[order])) + 1)
    everything = np.arange(len(clusters))
    estimate = statistic("b", everything) - statistic("a", everything)
    if len(groups) < 2 or not isfinite(estimate):
        return Interval(estimate, -inf, inf, level)
    generator = np.random.default_rng(seed)
    drawn = np.empty(DRAWS)
    for i in range(DRAWS):
        rows = np.concatenate([groups[g] for g in generator.integers(len(groups), size=len(groups))])
        drawn[i] = statistic("b", rows) - statistic("a", rows)
    low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2]) if np.isfinite(drawn).any() else (-inf, inf)
    return Interval(float(estimate), float(low), float(high), level)


def auroc(score: Float[np.ndarray, " m"], positive: np.ndarray) -> float:
    """Return the area under the curve as a rank statistic, ties counted half; NaN with one class alone."""
    from scipy.stats import rankdata

    n, p = len(score), int(positive.sum())
    if p in (0, n):
        return nan
    return float((rankdata(score)[positive].sum() - p * (p + 1) / 2) / (p * (n - p)))


def _finished(run: RunFolder) -> Path:
    run.manifest()
    return run.path


def _by_key(run: RunFolder, column: str, name: str) -> dict[Any, dict[str, Any]]:
    table: dict[Any, dict[str, Any]] = {}
    for row in read_inputs(run.path):
        key: Any = row[column]
        if key is None:
            continue
        if key in table:
            raise UsageError(
                f"{run.path.name} has several inputs with {name} {key!r}, so they cannot be matched by it; name a "
                "column that tells inputs apart."
            )
        table[key] = row
    return table


def groups_of(pairs: Pairs, column: str) -> Mapping[str, Int[np.ndarray, " m"]]:
    """Return the rows of each group of a column; "class" is the true class. What is missing is in none."""
    name = "label" if column == "class" else COLUMN + column
    found: dict[str, list[int]] = {}
    for i, row in enumerate(pairs.a):
        if (value := row.get(name)) is not None:
            found.setdefault(str(value), []).append(i)
    return {value: np.array(rows) for value, rows in found.items()}
