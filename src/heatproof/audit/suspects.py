"""Shortcuts within an audit: the survey of the inputs drawn for it, and its findings as the report shows them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from heatproof.audit.drawn import Drawn
from heatproof.audit.pipeline import Worker
from heatproof.audit.plan import Ask
from heatproof.audit.store import RunFolder
from heatproof.audit.tables import COLUMN
from heatproof.report.audit.document import Shortcut
from heatproof.report.shortcuts import save_shortcuts
from heatproof.shortcuts import Finding, open_survey
from heatproof.shortcuts.find import investigate

FOLDER = "shortcuts"
_PICTURES = ("exemplars", "without", "edits", "dose", "effects")


def find(worker: Worker, folder: RunFolder, ask: Ask, drawn: Drawn, alpha: float) -> list[Shortcut]:
    """Return what the model leans on, with pictures in the run folder.

    Raises:
        HeatproofError: as `open_survey` and `investigate`.
    """
    plan = worker.plan
    annotated = all(entry.annotation is not None for entry in drawn.entries)
    survey = open_survey(
        worker.explainer.model,
        list(drawn.inputs),
        [row["label_index"] for row in drawn.rows],
        method=plan.maps.method,
        layer=worker.explainer.layer,
        annotations=[worker.source.annotation(entry) for entry in drawn.entries] if annotated else None,
        cluster_by=drawn.clusters,
        cluster_name=plan.data.cluster_name,
        columns={name: [row.get(COLUMN + name) for row in drawn.rows] for name in plan.data.columns},
        seed=plan.run.seed,
        alpha=alpha,
        batch_size=plan.run.batch_size,
    )
    settings: dict[str, Any] = dict(ask.settings)
    findings = investigate(survey, artifacts=dict(plan.artifacts) or None, **settings)
    if findings:
        save_shortcuts(findings, survey, folder.path / FOLDER, model=plan.model.name, method=plan.maps.method)
    return [_shortcut(number, one, worker, folder.path / FOLDER) for number, one in enumerate(findings, start=1)]


def _shortcut(number: int, one: Finding, worker: Worker, folder: Path) -> Shortcut:
    names = {kind: f"{number:02d}-{kind}.png" for kind in _PICTURES}
    pictures: Mapping[str, str] = {
        kind: f"{FOLDER}/{name}" for kind, name in names.items() if (folder / name).is_file()
    }
    return Shortcut(
        name=one.candidate.name,
        label=worker.labels.name(one.candidate.label),
        origin=one.candidate.origin,
        verdict=one.verdict,
        result=one.result,
        effects={name: effect.interval for name, effect in one.effects.items()},
        flips={name: effect.flips for name, effect in one.effects.items()},
        prevalence=one.table,
        subgroups=one.subgroups,
        pictures=pictures,
    )
