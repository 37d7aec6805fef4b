"""Many machines: Ray Data hands shards to a pool of actors, each with a model of its own; this process writes them.

A shard is the unit of loss: that of an actor or node that dies is explained again elsewhere, and is written once.
"""

import os
import pickle
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from heatproof.audit.labels import Labels
from heatproof.audit.pipeline import Shard, Tally, Worker, explain_shard, missing
from heatproof.audit.store import RunFolder
from heatproof.errors import MissingExtraError, UsageError
from heatproof.explain import Explainer

NAME = "Ray"
ALIASES = ("ray data", "cluster")
TIER = "experimental"
BIBTEX = """
@inproceedings{moritz2018ray,
  title     = {Ray: A Distributed Framework for Emerging AI Applications},
  author    = {Moritz, Philipp and Nishihara, Robert and Wang, Stephanie and others},
  booktitle = {OSDI},
  year      = {2018}
}
"""


def run_shards(
    worker: Worker,
    folder: RunFolder,
    tally: Tally,
    *,
    address: str | None = None,
    actors: int | None = None,
    threads: int = 1,
    gpus: float = 0.0,
) -> bool:
    """Do all shards that are not whole; return whether all are, False if it was asked to stop.

    Args:
        worker: of the run; its data must be reachable from every node under the same name.
        folder: of the run, on this machine.
        tally: shows how far it is, and may ask to stop.
        address: of a cluster; "auto" finds the one that runs here, None starts one on this machine for this run.
        actors: models in all; None takes as many as the plan has decoding threads.
        threads: CPU threads of each.
        gpus: share of a GPU of each.

    Raises:
        MissingExtraError: ray is not installed.
        UsageError: there is no cluster at the address.
    """
    ray = _ray()
    tally.total = worker.plan.data.entries
    todo = [{"number": number, "entries": _pack(entries)} for number, entries in missing(worker.source, folder, tally)]
    if not todo:
        return True
    started = not ray.is_initialized()
    if started:
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
        except ConnectionError as error:
            raise UsageError(
                f"There is no Ray cluster at {address!r} ({error}); start one, or leave --address out."
            ) from error
    context = ray.data.DataContext.get_current()
    before = context.enable_progress_bars
    context.enable_progress_bars = False
    try:
        found = ray.data.from_items(todo, override_num_blocks=len(todo)).map_batches(
            Actor,
            fn_constructor_args=(ray.put(_portable(worker)), threads),
            batch_size=1,
            batch_format="numpy",
            num_cpus=threads,
            num_gpus=gpus or None,
            concurrency=actors or worker.plan.run.workers,
        )
        for row in _rows(found):
            folder.commit(row.number, row.rows, row.failures, row.maps)
            tally.add(len(row.maps), len(row.failures))
            if tally.stop:
                break
    finally:
        context.enable_progress_bars = before
        if started:
            ray.shutdown()
    return not tally.stop or all(folder.whole(number) for number in range(folder.shards))


class Actor:
    """Explains shards with a model of its own."""

    def __init__(self, given: Any, threads: int) -> None:
        import ray
        import torch

        torch.set_num_threads(threads)  # this process belongs to the run alone
        told = ray.get(given) if isinstance(given, ray.ObjectRef) else given
        model = told["model"]
        device = "cuda" if torch.cuda.is_available() and os.environ.get("CUDA_VISIBLE_DEVICES") else "cpu"
        model.net.to(device)
        explainer = Explainer(model, told["layer"], told["plan"].maps.method)
        labels = Labels(model, told["source"].labels, told["renamed"])
        self._worker = Worker(told["source"], explainer, labels, told["plan"])

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return the shards of a batch of them, packed."""
        shards = [
            explain_shard(self._worker, int(number), _unpacked(entries))
            for number, entries in zip(batch["number"], batch["entries"], strict=True)
        ]
        return {"shard": np.array([_pack(shard) for shard in shards], dtype=object)}


def _portable(worker: Worker) -> dict[str, Any]:
    """Return what an actor makes its own worker of: engines hold locks and stay where they are."""
    return {
        "source": worker.source, "model": worker.explainer.model, "layer": worker.explainer.layer,
        "renamed": dict(worker.labels.renamed), "plan": worker.plan,
    }  # fmt: skip


def _rows(found: Any) -> Iterator[Shard]:
    for row in found.iter_rows():
        yield _unpacked(row["shard"])


def _pack(value: Any) -> bytes:
    """Return a value as bytes; only this program's own processes exchange them."""
    return pickle.dumps(value)


def _unpacked(data: bytes) -> Any:
    return pickle.loads(data)  # noqa: S301  written by `_pack` in an actor of this very run


def _ray() -> Any:
    try:
        import_module("ray.data")
        return import_module("ray")
    except ImportError as error:
        raise MissingExtraError("ray", "cluster") from error
