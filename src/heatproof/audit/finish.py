"""From whole shards to a finished run: performance, answers, pictures, tables, report; the manifest comes last."""

import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import heatproof
from heatproof.audit import gallery, tables
from heatproof.audit.files import ASIDE, move_file, sha256
from heatproof.audit.performance import Decisions, performance
from heatproof.audit.pipeline import Worker
from heatproof.audit.plan import as_dict
from heatproof.audit.questions import Answered, answer
from heatproof.audit.results import performance_rows
from heatproof.audit.store import FAILURES, FORMAT, INPUTS, MANIFEST, MAPS, PLAN, REPORT, RESULTS, RunFolder

_PACKAGES = ("torch", "torchvision", "timm", "transformers", "numpy", "pillow", "scikit-image", "zarr", "pyarrow")


def finish(worker: Worker, folder: RunFolder, begin: Callable[[str], None] = lambda _: None) -> None:
    """Write everything that a run ends in.

    Args:
        worker: of the run, whose shards are all there.
        folder: of the run.
        begin: called with the name of each step.
    """
    plan = worker.plan
    answered, answers = answer(worker, folder, begin)
    begin("performance")
    decisions = Decisions.of(folder.rows(INPUTS), plan.data.subgroups)
    found = performance(decisions, _Names(worker), seed=plan.run.seed, alpha=plan.alpha)
    del decisions
    per_input: dict[str, Mapping[str, float | None]] = {}
    for one in answers:
        per_input |= one.per_input
    begin("pictures")
    lost = gallery.draw_gallery(worker, folder, gallery.choose(folder.rows(INPUTS), per_input), per_input)
    begin("tables")
    rows = [] if found is None else performance_rows(found, plan.alpha)
    rows += [row for mine in answered for row in mine]
    folder.put(RESULTS, tables.encode(rows, tables.RESULTS))
    _stream(
        folder,
        INPUTS,
        _with(folder.rows(INPUTS), per_input),
        folder.input_columns | dict.fromkeys(per_input, "float64"),
    )
    _stream(folder, FAILURES, folder.rows(FAILURES), tables.FAILURES)
    deviations = [sentence for one in answers for sentence in one.deviations] + lost
    _write_manifest(worker, folder, list(dict.fromkeys(deviations)))
    begin("report")
    write_report(folder)


def write_report(folder: RunFolder, **options: Any) -> None:
    """Write the report of a finished run into its folder."""
    from heatproof.audit.document import document_of
    from heatproof.report.audit import html

    folder.put(REPORT, html(document_of(folder, **options)).encode())


class _Names(Sequence[str]):
    """The names of classes, by index."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    def __len__(self) -> int:
        return max(2, self._worker.plan.model.classes)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self._worker.labels.name(index)


def _with(
    rows: Iterator[dict[str, Any]], per_input: Mapping[str, Mapping[str, float | None]]
) -> Iterator[dict[str, Any]]:
    for row in rows:
        yield row | {name: column.get(row["id"]) for name, column in per_input.items()}


def _stream(folder: RunFolder, name: str, rows: Iterator[dict[str, Any]], columns: Mapping[str, str]) -> None:
    aside = folder.path / (name + ASIDE)
    tables.write_rows(aside, rows, columns)
    move_file(aside, folder.path / name)


def _write_manifest(worker: Worker, folder: RunFolder, deviations: Sequence[str]) -> None:
    plan = worker.plan
    files = [PLAN, INPUTS, FAILURES, RESULTS, *_below(folder.path, gallery.FOLDER), *_below(folder.path, "shortcuts")]
    maps = [path for number in range(folder.shards) if (path := folder.maps.file(number)).is_file()]
    told = {
        "format": FORMAT,
        "heatproof": heatproof.__version__,
        "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": plan.run.device,
        "seed": plan.run.seed,
        "model": as_dict(plan.model),
        "data": {"name": plan.data.name, "fingerprint": plan.data.fingerprint, "entries": plan.data.entries},
        "deviations": list(deviations),
        "sha256": {name: sha256(folder.path / name) for name in sorted(files)}
        | {path.relative_to(folder.path).as_posix(): sha256(path) for path in maps}
        | {name: sha256(folder.path / name) for name in (f"{MAPS}/zarr.json", f"{MAPS}/maps/zarr.json")},
    }
    folder.put(MANIFEST, json.dumps(told, indent=1, ensure_ascii=False).encode() + b"\n")


def _below(path: Path, name: str) -> list[str]:
    return [one.relative_to(path).as_posix() for one in sorted((path / name).rglob("*")) if one.is_file()]


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


__all__ = ["Answered", "finish", "write_report"]
