"""Numbers and values as the report writes them."""

import math
from collections.abc import Mapping
from typing import Any

from heatproof.report.check import interval_text
from heatproof.types import Interval

SHARES = ("accuracy", "sensitivity", "specificity")
"""Measures that are written in percent."""
LIMITS = (
    "Correlation is not causation: a map shows which places raised this score in this network. Only the experiments "
    "(masking, removal and paste) speak of causes, and of causes in the model, not in the body or the world.",
    "Maps are coarse: a position of the grid stands for many pixels. No claim about a place finer than that is "
    "supported.",
    "Maps are post hoc: they are computed after the decision and are not how it was made.",
    "What is absent is not shown: a model may decide by what a picture lacks, and no map of what is there can tell.",
    "A faithful map can be implausible, and that is a finding about the model, not a fault of the map.",
    "A check that is passed is not refuted: necessary, not sufficient. Inconclusive means undecided, not fine.",
    "Answers hold for this data. Another site, scanner or population is another audit.",
    "For research use. This is no medical device, no diagnosis and no clearance of one.",
)
"""What no reader may take the report for."""


def measure(name: str, value: Interval) -> str:
    """Return a measure for a person: shares in percent, all others with two decimals."""
    if not math.isfinite(value.estimate):
        return "not known"
    known = math.isfinite(value.low) and math.isfinite(value.high) and value.low != value.high
    if name in SHARES:
        told = f"{value.estimate:.0%}"
        return f"{told} [{100 * value.low:.0f}, {100 * value.high:.0f}]" if known else told
    told = f"{value.estimate:.2f}"
    return f"{told} [{value.low:.2f}, {value.high:.2f}]" if known else told


def interval(value: Interval | None) -> str:
    """Return an estimate with its interval; "none" where there is none, and "not known" where it is not a number."""
    return "not known" if value is not None and not math.isfinite(value.estimate) else interval_text(value)


def number(value: Any) -> str:
    """Return a number with three digits at most; what is no number, or not known, in words."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "not known" if value is None else str(value)
    if not math.isfinite(value):
        return "not known"
    return f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def flattened(values: Mapping[str, Any], above: str = "") -> list[tuple[str, str]]:
    """Return nested values as rows of a dotted name and a text."""
    rows: list[tuple[str, str]] = []
    for name, value in values.items():
        full = f"{above}.{name}" if above else str(name)
        if (found := _interval(value)) is not None:
            rows.append((full, interval(found)))
        elif isinstance(value, Mapping):
            rows += flattened(value, full)
        elif isinstance(value, list | tuple):
            nested = any(isinstance(one, Mapping) for one in value)
            if nested:
                rows += flattened({str(i + 1): one for i, one in enumerate(value)}, full)
            else:
                rows.append((full, ", ".join(number(one) if isinstance(one, float) else str(one) for one in value)))
        else:
            rows.append((full, number(value) if value is None or isinstance(value, float) else str(value)))
    return rows


def _interval(value: Any) -> Interval | None:
    """Return an interval, also where it went through JSON."""
    if isinstance(value, Interval):
        return value
    if not isinstance(value, Mapping) or set(value) != {"estimate", "low", "high", "level"}:
        return None
    ends = {name: math.nan if one is None else float(one) for name, one in value.items()}
    return Interval(**ends)
