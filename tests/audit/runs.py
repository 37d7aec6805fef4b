"""Small finished run folders made by hand, whose every number is known."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from heatproof.audit import tables
from heatproof.audit.plan import Cost, DataPlan, MapsPlan, ModelPlan, Plan, RunPlan
from heatproof.audit.results import row_of, shortcut_row
from heatproof.audit.store import FAILURES, INPUTS, MANIFEST, RESULTS, RunFolder
from heatproof.report.audit.document import Answer, Shortcut
from heatproof.types import CheckResult, Interval

LABELS = ("benign", "malignant")


def result(check: str, verdict: str = "supports", estimate: float = 0.8, **changes: Any) -> CheckResult:
    given: dict[str, Any] = {
        "check": check, "claim": f"Claim of {check}.", "about": "map", "statistic": f"statistic of {check}",
        "value": Interval(estimate, estimate - 0.1, estimate + 0.1), "null": Interval(0.5, 0.5, 0.5),
        "null_name": "chance",
        "ceiling": None, "margin": 0.1, "alpha": 0.05, "n": 40, "unit": "input", "verdict": verdict,
        "why": f"Why of {check}.",
    }  # fmt: skip
    return CheckResult(**{**given, **changes})


def answer(
    check: str, verdict: str = "supports", estimate: float = 0.8, *, primary: bool = True, **changes: Any
) -> dict:
    subgroup = changes.pop("subgroup", None)
    return row_of(Answer(result(check, verdict, estimate, **changes), primary, subgroup), check)


def measure(name: str, value: float, *, half: float = 0.02, subgroup: tuple[str, str] | None = None) -> dict:
    found = result(name, "not applicable", value, value=Interval(value, value - half, value + half))
    return row_of(Answer(found, False, subgroup), "performance")


def candidate(name: str, verdict: str) -> dict:
    says = {"confirmed": "undermines", "not reliant": "supports"}.get(verdict, "inconclusive")
    found = result("shortcuts", says, why=f"Why of {name}.")
    return shortcut_row(Shortcut(name, "malignant", "found", verdict, found, {}, {}, {}, {}, {}))


def row(number: int, label: str | None, predicted: str, **changes: Any) -> dict[str, Any]:
    """Return one input; the other class is the runner-up."""
    other = LABELS[1 - LABELS.index(predicted)]
    sign = 1.0 if predicted == "malignant" else -1.0
    made = {
        "id": f"{number:03d}.png", "location": f"{number:03d}.png", "sha256": f"{number:064x}", "label": label,
        "label_index": None if label is None else LABELS.index(label), "cluster": None, "annotated": False,
        "predicted": LABELS.index(predicted), "predicted_label": predicted, "runner_up": LABELS.index(other),
        "runner_up_label": other, "probability": 0.9, "score": 1.0, "scores": [-sign, sign], "flags": [],
        "map_row": number,
    }  # fmt: skip
    return {**made, **changes}


def write_run(
    folder: Path,
    rows: Sequence[Mapping[str, Any]],
    results: Sequence[Mapping[str, Any]] = (),
    *,
    maps: np.ndarray | None = None,
    failures: int = 0,
    columns: Mapping[str, str] | None = None,
    subgroups: Sequence[str] = (),
    manifest: Mapping[str, Any] | None = None,
) -> Path:
    """Write a finished run of these rows.

    Args:
        folder: made.
        rows: of inputs.parquet, see `row`; those of the data's own columns are named "column.NAME".
        results: of results.parquet.
        maps: (rows, 2, *grid); by default random.
        failures: how many inputs were left out.
        columns: further columns -> type: "column.site": "string", "faithfulness.superiority": "float64".
        subgroups: columns that results are split by.
        manifest: what it says besides.
    """
    if maps is None:
        maps = np.random.default_rng(0).normal(size=(len(rows), 2, 3, 3)).astype(np.float32)
    own = {
        name.removeprefix(tables.COLUMN): kind for name, kind in (columns or {}).items() if name.startswith("column.")
    }
    plan = Plan(
        ModelPlan("bundled:test", "bundled:test", "00", 2, LABELS),
        DataPlan("pictures", "folder", len(rows) + failures, "ff", columns=own, subgroups=tuple(subgroups)),
        MapsPlan("gradcam", "layer4", "score", ("predicted", "runner-up"), maps.shape[2:], (24, 24), (8.0, 8.0)),
        RunPlan(0, 8, len(rows) + failures, "cpu", 1),
        asks=(),
        not_asked={},
        cost=Cost(0.0, 0.0, 0.0),
    )
    run = RunFolder.start(folder, plan)
    lost = [
        {"id": f"lost-{i}", "location": f"lost-{i}", "row": len(rows) + i, "stage": "read", "reason": "It is spoiled."}
        for i in range(failures)
    ]
    blank = np.full((failures, *maps.shape[1:]), np.nan, dtype=np.float32)
    run.commit(0, [{k: v for k, v in one.items() if k in run.input_columns} for one in rows], lost,
               np.concatenate([maps.astype(np.float32), blank]))  # fmt: skip
    run.put(INPUTS, tables.encode(rows, {**tables.INPUTS, **(columns or {})}))
    run.put(FAILURES, tables.encode(lost, tables.FAILURES))
    run.put(RESULTS, tables.encode(results, tables.RESULTS))
    run.put(MANIFEST, json.dumps({"format": "heatproof run 1", **(manifest or {})}).encode())
    return folder
