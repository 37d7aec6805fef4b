"""The shards of a run: decoded by threads ahead of the model, explained in batches, written behind it."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np

from heatproof.audit import tables
from heatproof.audit.entry import Entry, Source
from heatproof.audit.labels import Labels
from heatproof.audit.plan import Plan
from heatproof.audit.reading import LeftOut, Ready, ready, sentence
from heatproof.audit.shooting import Shots, shoot
from heatproof.audit.sources._names import place_of
from heatproof.audit.store import RunFolder
from heatproof.capture.runs import out_of_memory
from heatproof.errors import HeatproofError
from heatproof.explain import Explainer

_AHEAD = 3
"""Batches that are decoded ahead of the model."""


@dataclass
class Tally:
    """How far a run has come; a watcher may show it, and ask it to stop.

    Attributes:
        total: rows of the data.
        done: rows that are in a shard.
        failed: those of them that were left out.
        stop: finish the shard in hand, then stop.
        changed: called after each batch.
    """

    total: int = 0
    done: int = 0
    failed: int = 0
    stop: bool = False
    changed: Callable[["Tally"], None] = field(default=lambda _: None)

    def add(self, done: int, failed: int) -> None:
        """Count further rows."""
        self.done += done
        self.failed += failed
        self.changed(self)


@dataclass(frozen=True)
class Worker:
    """What turns entries into a shard's rows; the same for every engine.

    Attributes:
        source, explainer, labels: of the run.
        plan: of the run.
    """

    source: Source
    explainer: Explainer
    labels: Labels
    plan: Plan


@dataclass(frozen=True, eq=False)
class Shard:
    """What is written of a shard: rows, failures, and maps (m, t, *grid), NaN where there is none."""

    number: int
    rows: list[dict[str, Any]]
    failures: list[dict[str, Any]]
    maps: np.ndarray


def explain_shard(worker: Worker, number: int, entries: Sequence[tuple[Entry, str]]) -> Shard:
    """Return one shard, for engines that run shards elsewhere."""
    with ThreadPoolExecutor(worker.plan.run.workers) as readers:
        return explained(worker, number, entries, readers, Tally())


def shards_of(source: Source, size: int) -> Iterator[list[tuple[Entry, str]]]:
    """Yield the entries of each shard in turn, each with why it must be left out, or "".

    A location that was there before is left out: its input would count twice.
    """
    seen: set[int] = set()

    def marked() -> Iterator[tuple[Entry, str]]:
        for entry in source:
            key = hash((entry.location, str(entry.annotation)))
            yield entry, f"it is listed twice ({place_of(entry.location)}); the first is used." if key in seen else ""
            seen.add(key)

    rows = marked()
    while shard := list(islice(rows, size)):
        yield shard


def missing(source: Source, folder: RunFolder, tally: Tally) -> Iterator[tuple[int, list[tuple[Entry, str]]]]:
    """Yield the number and the entries of every shard that is not whole; whole ones are counted as done."""
    for number, entries in enumerate(shards_of(source, folder.plan.run.shard_size)):
        if folder.whole(number):
            tally.add(len(entries), 0)
        else:
            yield number, entries


def explained(
    worker: Worker, number: int, entries: Sequence[tuple[Entry, str]], readers: ThreadPoolExecutor, tally: Tally
) -> Shard:
    """Return one shard: `readers` decode its entries ahead of the model."""
    plan = worker.plan
    grid = (len(plan.maps.targets), *plan.maps.grid)
    maps = np.full((len(entries), *grid), np.nan, dtype=plan.maps.dtype)
    begin = number * plan.run.shard_size
    rows: list[dict[str, Any]] = []
    left: list[tuple[int, LeftOut]] = []
    batch: list[tuple[int, Ready]] = []

    def flush() -> None:
        for place, found in _shot(worker, batch):
            if isinstance(found, LeftOut):
                left.append((place, found))
                continue
            shots, i = found
            one = shots.explanation.maps[i].detach().float().cpu().numpy()
            if one.shape != grid:
                why = f"its map has the shape {one.shape}, where the first input's has {grid}."
                left.append((place, LeftOut(batch_of[place].entry, "explain", why)))
                continue
            maps[place] = one
            rows.append(_row(worker, batch_of[place], shots, i, begin + place))
        tally.add(len(batch), 0)
        batch.clear()

    batch_of: dict[int, Ready] = {}
    for place, found in enumerate(_read_ahead(worker, entries, readers)):
        if isinstance(found, LeftOut):
            left.append((place, found))
            tally.add(1, 1)
            continue
        batch_of[place] = found
        batch.append((place, found))
        if len(batch) == plan.run.batch_size:
            flush()
            batch_of.clear()
    if batch:
        flush()
    return Shard(number, rows, [_failure(begin + place, one) for place, one in sorted(left, key=lambda p: p[0])], maps)


def _read_ahead(
    worker: Worker, entries: Sequence[tuple[Entry, str]], readers: ThreadPoolExecutor
) -> Iterator[Ready | LeftOut]:
    """Yield the entries in their order, while threads decode those that come next."""
    plan = worker.plan
    waiting: deque[Future[Ready | LeftOut]] = deque()
    rest = iter(entries)

    def submit(count: int) -> None:
        for entry, why in islice(rest, count):
            waiting.append(readers.submit(_one, worker, entry, why))

    submit(_AHEAD * plan.run.batch_size)
    while waiting:
        yield waiting.popleft().result()
        submit(1)


def _one(worker: Worker, entry: Entry, why: str) -> Ready | LeftOut:
    if why:
        return LeftOut(entry, "read", why)
    found = ready(worker.source, entry, worker.explainer.model)
    if isinstance(found, LeftOut):
        return found
    size = tuple(found.prepared.tensor.shape[1:])
    if size != worker.plan.maps.input_size:
        why = f"it comes to the size {size}, where the first input came to {worker.plan.maps.input_size}; give the "
        return LeftOut(entry, "prepare", why + "model a preprocessing that brings inputs to one size.")
    return found


def _shot(worker: Worker, batch: Sequence[tuple[int, Ready]]) -> Iterator[tuple[int, tuple[Shots, int] | LeftOut]]:
    """Explain a batch; halve it while memory runs out, and try each input alone where the network refuses."""
    try:
        shots = shoot(worker.explainer, [one.prepared for _, one in batch])
    except (HeatproofError, RuntimeError, MemoryError, ValueError) as error:
        if len(batch) == 1:
            yield batch[0][0], LeftOut(batch[0][1].entry, "explain", _refusal(error))
            return
        step = len(batch) // 2 if out_of_memory(error) or isinstance(error, MemoryError) else 1
        for begin in range(0, len(batch), step):
            yield from _shot(worker, batch[begin : begin + step])
        return
    for i, (place, _) in enumerate(batch):
        yield place, (shots, i)


def _refusal(error: Exception) -> str:
    told = sentence(error)
    return told if isinstance(error, HeatproofError) else f"the model failed on it: {told}"


def _row(worker: Worker, found: Ready, shots: Shots, i: int, number: int) -> dict[str, Any]:
    entry, plan, labels = found.entry, worker.plan, worker.labels
    predicted, second = shots.predicted[i], shots.runner_up[i]
    index = labels.index(entry.label)
    outputs = shots.outputs[i]
    columns = {tables.COLUMN + k: tables.cell(entry.columns.get(k), kind) for k, kind in plan.data.columns.items()}
    return {
        "id": entry.id,
        "location": place_of(entry.location),
        "sha256": found.sha256,
        "label": None if index is None else labels.name(index),
        "label_index": index,
        "cluster": entry.cluster,
        "annotated": entry.annotation is not None,
        "predicted": predicted,
        "predicted_label": labels.name(predicted),
        "runner_up": second,
        "runner_up_label": None if second is None else labels.name(second),
        "probability": float(shots.probabilities[i, predicted]),
        "score": float(shots.explanation.scores[i, 0]),
        "scores": [float(v) for v in outputs] if len(outputs) <= tables.SCORES else None,
        "flags": list(shots.explanation.flags[i][0]),
        "map_row": number,
        **columns,
    }


def _failure(number: int, one: LeftOut) -> dict[str, Any]:
    return {
        "id": one.entry.id, "location": place_of(one.entry.location), "row": number,
        "stage": one.stage, "reason": one.reason,
    }  # fmt: skip
