"""What trackers are told of a run: numbers with their limits, verdicts as words, and the files that go with it."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from heatproof.audit.store import FAILURES, INPUTS, MANIFEST, PLAN, REPORT, RESULTS, RunFolder
from heatproof.audit.tables import rows_of

FILES = (REPORT, PLAN, MANIFEST, RESULTS, FAILURES)
"""Files of a run that trackers keep; what is per input, and the maps, stay in the run folder."""


def open_run(run: str | Path) -> tuple[RunFolder, list[dict[str, Any]]]:
    """Return a finished run and the rows of its results.

    Raises:
        InputError: the folder holds no finished run.
    """
    folder = RunFolder.open(run)
    folder.manifest()
    return folder, list(rows_of(folder.path / RESULTS))


def numbers_of(folder: RunFolder, rows: list[dict[str, Any]]) -> dict[str, float]:
    """Return name -> number: "performance/accuracy/estimate", ".../low", "sanity/estimate", "inputs/failed", ...

    What is not finite is left out. A part of the data adds its name: "performance/accuracy/site=A/estimate".
    """
    found: dict[str, float] = {}
    for name, row in _named(rows):
        for end in ("estimate", "low", "high"):
            value = row[end]
            if value is not None and math.isfinite(value):
                # each in a folder of its own: MLflow keeps "a" and "a/low" as a file and a folder of one name
                found[f"{name}/{end}"] = float(value)
    found["inputs/analyzed"] = float(sum(1 for _ in rows_of(folder.path / INPUTS, ["id"])))
    found["inputs/failed"] = float(sum(1 for _ in rows_of(folder.path / FAILURES, ["id"])))
    return found


def verdicts_of(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return name -> verdict of what was planned; of candidates for shortcuts, their own word."""
    found: dict[str, str] = {}
    for name, row in _named(rows):
        if row["question"] == "shortcuts":
            found[name] = str(json.loads(row["details"]).get("shortcut_verdict", row["verdict"]))
        elif row["question"] != "performance" and row["primary"]:
            found[name] = row["verdict"]
    return found


def settings_of(folder: RunFolder) -> dict[str, str]:
    """Return what the run was made of, as few words as tell it apart from others."""
    plan = folder.plan
    told = {
        "model": plan.model.name, "weights_sha256": plan.model.weights_sha256, "data": plan.data.name,
        "data_fingerprint": plan.data.fingerprint, "split": plan.data.split, "method": plan.maps.method,
        "layer": plan.maps.layer, "alpha": str(plan.alpha), "seed": str(plan.run.seed),
    }  # fmt: skip
    return {name: value for name, value in told.items() if value}


def _named(rows: list[dict[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for row in rows:
        parts = [row["question"], *([row["check"]] if row["check"] != row["question"] else [])]
        if row["subgroup_column"] is not None:
            parts.append(f"{row['subgroup_column']}={row['subgroup_value']}")
        yield "/".join(tidy(part) for part in parts), row


def tidy(name: str) -> str:
    """Return a name of letters, digits, and `_ . - =`, which every tracker takes."""
    return re.sub(r"[^\w.=-]+", "_", name, flags=re.ASCII).strip("_") or "_"
