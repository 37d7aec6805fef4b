"""Is a run folder what it says: its bytes by their hashes, and a sample of its maps and results made anew."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from heatproof.audit import tables
from heatproof.audit.entry import Source
from heatproof.audit.files import sha256
from heatproof.audit.labels import Labels
from heatproof.audit.performance import Decisions, performance
from heatproof.audit.pipeline import Worker
from heatproof.audit.reading import LeftOut, ready
from heatproof.audit.results import performance_of
from heatproof.audit.sample import draw
from heatproof.audit.shooting import shoot
from heatproof.audit.store import INPUTS, MANIFEST, RESULTS, RunFolder, read_maps
from heatproof.errors import InputError
from heatproof.explain import Explainer
from heatproof.models import Model

TOLERANCE = 1e-3
"""Largest difference of a map made anew, as a share of its largest value; float16 alone takes half of it."""


@dataclass(frozen=True)
class Verified:
    """What was found.

    Attributes:
        files: how many files have the bytes that the manifest names.
        maps: how many maps were made anew and agree.
        measures: how many measures of performance were computed anew and agree.
        wrong: what does not agree; sentences.
    """

    files: int
    maps: int
    measures: int
    wrong: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether everything agrees."""
        return not self.wrong


def verify(
    run: str | Path, model: Model | None = None, source: Source | None = None, *, sample: int = 16, seed: int = 0
) -> Verified:
    """Check a finished run.

    Args:
        run: its folder.
        model: that was audited; None checks bytes and performance only.
        source: of the data; None likewise.
        sample: maps that are made anew.
        seed: of the sample.

    Raises:
        InputError: the folder holds no finished run.
    """
    folder = RunFolder.open(run)
    wrong: list[str] = []
    files = _bytes(folder, wrong)
    measures = _measures(folder, wrong)
    maps = 0
    if model is not None and source is not None:
        if model.weights_sha256() != folder.plan.model.weights_sha256:
            wrong.append("The weights are not those that were audited.")
        maps = _maps(folder, model, source, sample, seed, wrong)
    return Verified(files, maps, measures, tuple(wrong))


def _bytes(folder: RunFolder, wrong: list[str]) -> int:
    good = 0
    for name, known in folder.manifest()["sha256"].items():
        path = folder.path / name
        if not path.is_file():
            wrong.append(f"{name} is missing.")
        elif sha256(path) != known:
            wrong.append(f"{name} has other bytes than {MANIFEST} names.")
        else:
            good += 1
    return good


def _measures(folder: RunFolder, wrong: list[str]) -> int:
    """Compute performance anew from inputs.parquet."""
    plan = folder.plan
    try:
        told = performance_of(row for row in tables.rows_of(folder.path / RESULTS) if row["question"] == "performance")
        decisions = Decisions.of(tables.rows_of(folder.path / INPUTS), plan.data.subgroups)
    except (InputError, OSError, KeyError) as error:
        wrong.append(f"Performance cannot be computed anew: {error}")
        return 0
    names = plan.model.labels or [str(k) for k in range(max(2, plan.model.classes))]
    anew = performance(decisions, names, seed=plan.run.seed, alpha=plan.alpha)
    if told is None or anew is None:
        return 0
    good = 0
    for name, interval in told.whole.measures.items():
        other = anew.whole.measures.get(name)
        ends = (interval.estimate, interval.low, interval.high)
        if other is not None and np.allclose(ends, (other.estimate, other.low, other.high), equal_nan=True):
            good += 1
        else:
            wrong.append(f"{name} is {interval.estimate:.4g} in {RESULTS} and comes to {other and other.estimate:.4g}.")
    return good


def _maps(folder: RunFolder, model: Model, source: Source, sample: int, seed: int, wrong: list[str]) -> int:
    plan = folder.plan
    layer = None if plan.maps.layer == "input" else plan.maps.layer.split(" + ")
    worker = Worker(source, Explainer(model, layer, plan.maps.method), Labels(model, source.labels), plan)
    rows = draw(tables.rows_of(folder.path / INPUTS), sample, seed, "verify", one_per_cluster=False)
    entries = {entry.id: entry for entry in source if entry.id in {row["id"] for row in rows}}
    stored, _ = read_maps(folder.path)
    good = 0
    for row in rows:
        name = row["id"]
        if name not in entries:
            wrong.append(f"{name} is no longer among the data.")
            continue
        one = ready(source, entries[name], model)
        if isinstance(one, LeftOut):
            wrong.append(f"{name} cannot be used any more: {one.reason}")
            continue
        if one.sha256 != row["sha256"]:
            wrong.append(f"{name} has other bytes than when it was explained.")
            continue
        anew = shoot(worker.explainer, [one.prepared]).explanation.maps[0].detach().float().cpu().numpy()
        if _agree(np.asarray(stored[row["map_row"]], dtype=np.float32), anew):
            good += 1
        else:
            wrong.append(f"The map of {name} comes out differently.")
    return good


def _agree(old: np.ndarray, new: np.ndarray) -> bool:
    if old.shape != new.shape:
        return False
    scale = float(np.abs(new).max()) or 1.0
    return bool(np.allclose(old, new, rtol=0, atol=TOLERANCE * scale))
