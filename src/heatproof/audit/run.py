"""`hp.audit`: a plan, its shards, the answers and the report; the same call again goes on where it was stopped."""

import signal
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from heatproof.audit.document import document_of
from heatproof.audit.engines import engine_named
from heatproof.audit.entry import Roles, Source
from heatproof.audit.finish import finish
from heatproof.audit.labels import Labels
from heatproof.audit.look import check_labels, count, look
from heatproof.audit.pipeline import Tally, Worker
from heatproof.audit.plan import Plan, read_plan
from heatproof.audit.planning import make_plan, wishes_of
from heatproof.audit.sources import open_source
from heatproof.audit.store import FAILURES, MANIFEST, PLAN, REPORT, RESULTS, RunFolder
from heatproof.audit.tables import rows_of
from heatproof.capture.engine import LayerSpec
from heatproof.explain import Explainer
from heatproof.models import Model, as_model
from heatproof.models.outputs import device_and_dtype
from heatproof.report.audit.document import Answer, Document, Performance, Shortcut


@dataclass(frozen=True)
class AuditRun:
    """A run in its folder.

    Attributes:
        folder: of the run.
        finished: whether all of it is there; otherwise the same call goes on with it.
    """

    folder: Path
    finished: bool

    @property
    def document(self) -> Document:
        """Everything that the report says."""
        return document_of(RunFolder.open(self.folder), identifiers=True)

    @property
    def plan(self) -> Plan:
        """What was fixed before anything ran."""
        return read_plan(self.folder / PLAN)

    @property
    def performance(self) -> Performance | None:
        """How well the model does; None where no input has a label."""
        return self.document.performance

    @property
    def answers(self) -> Sequence[Answer]:
        """The answers of the checks."""
        return self.document.answers

    @property
    def shortcuts(self) -> Sequence[Shortcut]:
        """The candidates for shortcuts with their verdicts."""
        return self.document.shortcuts or ()

    @property
    def failures(self) -> list[dict[str, Any]]:
        """The inputs that were left out: id, location, row, stage and reason."""
        return list(rows_of(self.folder / FAILURES))

    @property
    def results(self) -> list[dict[str, Any]]:
        """The rows of results.parquet."""
        return list(rows_of(self.folder / RESULTS))

    @property
    def report(self) -> Path:
        """The page."""
        return self.folder / REPORT


@dataclass(frozen=True)
class Watch:
    """What is told while an audit runs.

    Attributes:
        planned: called with the plan before anything runs.
        tally: shows how far the shards are, and asks them to stop.
        begin: called with the name of each question and step after them.
    """

    planned: Callable[[Plan], None] = lambda _: None
    tally: Tally | None = None
    begin: Callable[[str], None] = lambda _: None


def audit(
    model: nn.Module | Model,
    data: str | Path | Source,
    out: str | Path,
    checks: Sequence[str] | None = None,
    *,
    labels: str | None = None,
    annotations: str | None = None,
    cluster_by: str | None = None,
    subgroups: Sequence[str] = (),
    artifacts: Mapping[str, str] | None = None,
    method: str = "gradcam",
    layer: LayerSpec = None,
    engine: str = "local",
    roles: Roles | None = None,
    kind: str | None = None,
    label_map: Mapping[str, str] | None = None,
    watch: Watch | None = None,
    engine_options: Mapping[str, Any] | None = None,
    **wishes: Any,
) -> AuditRun:
    """Answer the four questions for a model over its data; survives anything, and goes on where it was stopped.

    Args:
        model: a classifier: a `Model` or any `torch.nn.Module`; it is never changed.
        data: a folder of class folders, a CSV, Parquet or JSONL manifest, ...: see docs/data.md; or a `Source`.
        out: the run folder. A run of the same plan in it is gone on with, that of another one is refused.
        checks: of "sanity", "faithfulness", "plausibility" and "shortcuts", and other checks, which stay exploratory;
            None asks all that the data can answer.
        labels: column with the true class; None finds it.
        annotations: column with masks or boxes, or a file or folder of them beside the data.
        cluster_by: column that says what belongs together (a patient).
        subgroups: columns that results are split by.
        artifacts: suspects: a name -> a column, `column=value`, a cue, or a color rule "hsv:h=0.2-0.7,s=0.25-1".
        method: makes the maps.
        layer: as for `explain`.
        engine: where shards run: "local" or "ray".
        roles: which column means what, all at once, instead of `labels`, `annotations` and `cluster_by`.
        kind: of data; None finds it.
        label_map: label of the data -> class of the model.
        watch: is told how far it is.
        engine_options: of the engine.
        **wishes: alpha, seed, batch_size, shard_size, workers, dtype, intended_use, split, annotations_from, budget
            (seconds), sample (inputs per question), settings (of single checks).

    Raises:
        UsageError: a setting is out of range, labels are not the model's, or the folder holds another plan's run.
        InputError: no input can be used, or the folder cannot be written.
        ModelError, TargetError, LayerError, MethodError, ExplainError: as for `explain`.
        MissingExtraError: zarr or pyarrow is not installed.
    """
    run_shards = engine_named(engine)
    watch = watch or Watch()
    model = as_model(model)
    roles = roles or Roles(label=labels, annotation=annotations, cluster=cluster_by)
    source = data if isinstance(data, Source) else open_source(str(data), roles, kind)
    given: dict[str, Any] = {"device": str(device_and_dtype(model.net)[0] or "cpu"), **wishes}
    asked = wishes_of(checks=checks, subgroups=tuple(subgroups), artifacts=dict(artifacts or {}), **given)
    counts = count(source)
    explainer = Explainer(model, layer, method)
    seen = look(source, explainer, asked.batch_size)
    named = Labels(model, source.labels, dict(label_map or {}))
    check_labels(counts, named, seen.classes)
    earlier = read_plan(Path(out) / PLAN) if (Path(out) / PLAN).is_file() else None
    plan = make_plan(asked, explainer, source, counts, seen, earlier)
    folder = RunFolder.start(out, plan)
    # as it is written: the layer of the plan, whatever the first input of a batch would choose
    fixed = explainer if seen.layer == "input" else Explainer(model, seen.layer.split(" + "), method)
    worker = Worker(source, fixed, named, folder.plan)
    watch.planned(folder.plan)
    tally = watch.tally or Tally()
    with folder.locked():
        with _interruptible(tally):
            whole = run_shards(worker, folder, tally, **(engine_options or {}))
        if not whole:
            return AuditRun(folder.path, finished=False)
        if not (folder.path / MANIFEST).exists():
            finish(worker, folder, watch.begin)
    return AuditRun(folder.path, finished=True)


@contextmanager
def _interruptible(tally: Tally) -> Generator[None]:
    """Let the first Ctrl-C finish the shard in hand; the second interrupts at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def stop(number: int, frame: Any) -> None:
        tally.stop = True
        signal.signal(signal.SIGINT, before if callable(before) else signal.default_int_handler)

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
