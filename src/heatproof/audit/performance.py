"""How well the model does on inputs with a label: over all, by class and by subgroup, with intervals over clusters."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, nan, sqrt
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import t as student

from heatproof.audit.tables import COLUMN
from heatproof.checks._stats import bootstrap, proportion
from heatproof.metrics.auroc import auroc
from heatproof.report.audit.document import Group, Performance
from heatproof.types import Interval

BINS = 10
"""Bins of equal width for the reliability of probabilities."""
_MANY = 2000
"""Clusters above which an interval is taken from the normal distribution: by then resampling shows the same."""
_DRAWS = 500
_CLASSES = 30
_VALUES = 50
"""Most values of a column that performance is split by."""


@dataclass
class Decisions:
    """What a run says of its inputs, column by column.

    Attributes:
        label, predicted: index of the class; label is -1 where it is not known.
        probability: of the predicted class.
        positive: probability of the second of two classes; NaN with more.
        cluster: number of the cluster.
        columns: subgroup column -> value per input, as text.
    """

    label: Int[np.ndarray, " n"]
    predicted: Int[np.ndarray, " n"]
    probability: Float[np.ndarray, " n"]
    positive: Float[np.ndarray, " n"]
    cluster: Int[np.ndarray, " n"]
    columns: dict[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])

    @classmethod
    def of(cls, rows: Iterable[Mapping[str, Any]], subgroups: Sequence[str] = ()) -> "Decisions":
        """Gather the rows of a run; only numbers are kept, so that memory stays small."""
        numbers: dict[str, int] = {}
        clusters: dict[str, int] = {}
        labels, predicted, probability, positive, cluster = ([] for _ in range(5))
        values: dict[str, list[int]] = {name: [] for name in subgroups}
        for number, row in enumerate(rows):
            labels.append(-1 if row["label_index"] is None else row["label_index"])
            predicted.append(row["predicted"])
            probability.append(row["probability"])
            two = row["scores"] is not None and len(row["scores"]) <= 2
            one = row["probability"] if row["predicted"] == 1 else 1 - row["probability"]
            positive.append(one if two else nan)
            name = f"input {number}" if row["cluster"] is None else f"cluster {row['cluster']}"
            cluster.append(clusters.setdefault(name, len(clusters)) if row["cluster"] is not None else -1 - number)
            for column, codes in values.items():
                value = row.get(COLUMN + column)
                codes.append(-1 if value is None else numbers.setdefault(str(value), len(numbers)))
        names = np.array([*numbers, ""], dtype=object)
        codes = np.unique(np.array(cluster, dtype=np.int64), return_inverse=True)[1] if cluster else np.zeros(0, int)
        return cls(
            np.array(labels, dtype=np.int64),
            np.array(predicted, dtype=np.int64),
            np.array(probability, dtype=float),
            np.array(positive, dtype=float),
            codes,
            {column: names[np.array(found, dtype=np.int64)] for column, found in values.items()},
        )

    def only(self, where: Bool[np.ndarray, " n"]) -> "Decisions":
        """Return those of some inputs."""
        return Decisions(
            self.label[where],
            self.predicted[where],
            self.probability[where],
            self.positive[where],
            self.cluster[where],
            {name: values[where] for name, values in self.columns.items()},
        )

    def __len__(self) -> int:
        return len(self.label)


def performance(
    decisions: Decisions, classes: Sequence[str], *, seed: int = 0, alpha: float = 0.05
) -> Performance | None:
    """Return how well the model does; None where no input has a label.

    Sensitivity and specificity speak of the second of two classes at the threshold of one half. Intervals resample
    clusters whole. "calibration error" is the expected calibration error over `BINS` bins (0 is best), which is biased
    upward with few inputs.

    Args:
        decisions: of the run.
        classes: their names, by index.
        seed: of the resampling.
        alpha: error rate of the intervals.

    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks", eq. 3.
    """
    known = decisions.only(decisions.label >= 0)
    if not len(known):
        return None
    two = bool(np.isfinite(known.positive).all())
    at: dict[str, Any] = {"two": two, "seed": seed, "level": 1 - alpha}
    groups = [
        _group("class", str(classes[k]), known.only(known.label == k), {**at, "two": False})
        for k in np.unique(known.label).tolist()
    ]
    for name, values in known.columns.items():
        parts = [value for value in np.unique(values).tolist() if value != ""]
        if len(parts) <= _VALUES:
            groups += [_group(name, str(value), known.only(values == value), at) for value in parts]
    return Performance(
        classes=tuple(classes) if len(classes) <= _CLASSES else (),
        positive=classes[1] if two else None,
        threshold=0.5 if two else None,
        whole=_group("all", "all", known, at),
        groups=tuple(groups),
        confusion=_confusion(known, len(classes)) if len(classes) <= _CLASSES else (),
        reliability=tuple(_reliability(known)),
    )


def mean_interval(
    values: Float[np.ndarray, " n"], clusters: Int[np.ndarray, " n"], *, seed: int = 0, level: float = 0.95
) -> Interval:
    """Return the mean of values with its interval over clusters; exact for shares of inputs that stand alone."""
    n, groups = len(values), len(np.unique(clusters))
    if n == 0:
        return Interval(nan, -inf, inf, level)
    shares = bool(np.isin(values, (0.0, 1.0)).all())
    names: Sequence[Hashable] = clusters.tolist()
    if shares and (groups == n or values.min() == values.max()):
        return proportion(torch.from_numpy(values > 0.5), names, seed=seed, level=level)
    if groups <= _MANY:
        return bootstrap(torch.from_numpy(values), names, seed=seed, level=level)
    mean = float(values.mean())
    codes = np.unique(clusters, return_inverse=True)[1]
    pull = np.bincount(codes, values - mean)
    reach = float(student.ppf((1 + level) / 2, groups - 1)) * sqrt(groups / (groups - 1) * float(pull @ pull)) / n
    return Interval(mean, mean - reach, mean + reach, level)


def _group(by: str, value: str, d: Decisions, at: Mapping[str, Any]) -> Group:
    right = (d.predicted == d.label).astype(float)
    interval: dict[str, Any] = {"seed": at["seed"], "level": at["level"]}
    measures = {"accuracy": mean_interval(right, d.cluster, **interval)}
    positive = d.label == 1
    if at["two"] and positive.any() and not positive.all():
        measures["AUROC"] = Interval(*auroc(d.positive, positive, d.cluster, at["level"]), at["level"])
        measures["sensitivity"] = mean_interval(right[positive], d.cluster[positive], **interval)
        measures["specificity"] = mean_interval(right[~positive], d.cluster[~positive], **interval)
    if by == "all":
        measures["calibration error"] = _calibration(d, **interval)
    return Group(by, value, len(d), measures)


def _confusion(d: Decisions, classes: int) -> tuple[tuple[int, ...], ...]:
    counts = np.zeros((classes, classes), dtype=int)
    np.add.at(counts, (d.label, d.predicted), 1)
    return tuple(tuple(row) for row in counts.tolist())


def _bins(d: Decisions) -> Int[np.ndarray, " n"]:
    return np.minimum((d.probability * BINS).astype(int), BINS - 1)


def _reliability(d: Decisions) -> list[tuple[float, float, int]]:
    bins, right = _bins(d), (d.predicted == d.label).astype(float)
    found: list[tuple[float, float, int]] = []
    for number in np.unique(bins).tolist():
        here = bins == number
        found.append((float(d.probability[here].mean()), float(right[here].mean()), int(here.sum())))
    return found


def _calibration(d: Decisions, *, seed: int, level: float) -> Interval:
    bins, gap = _bins(d), (d.predicted == d.label).astype(float) - d.probability
    groups = int(d.cluster.max()) + 1
    table = np.zeros((groups, BINS))
    np.add.at(table, (d.cluster, bins), gap)
    counts = np.bincount(d.cluster, minlength=groups).astype(float)
    estimate = float(np.abs(table.sum(0)).sum() / counts.sum())
    generator = np.random.default_rng(seed)
    drawn: list[float] = []
    for _ in range(_DRAWS):
        weight = np.bincount(generator.integers(groups, size=groups), minlength=groups).astype(float)
        total = float(weight @ counts)
        if total:
            drawn.append(float(np.abs(weight @ table).sum()) / total)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]).tolist()
    return Interval(estimate, min(low, estimate), max(high, estimate), level)
