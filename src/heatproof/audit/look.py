"""A first look before the plan: the data counted, one input explained, a forward timed."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import torch
from torch import Tensor

from heatproof.audit.entry import Entry, Source
from heatproof.audit.labels import Labels
from heatproof.audit.reading import LeftOut, Ready, ready
from heatproof.audit.shooting import shoot
from heatproof.audit.tables import kind_of
from heatproof.errors import InputError
from heatproof.explain import Explainer
from heatproof.types import Resolution

_TRIED = 256
"""Entries that are tried for one that can be read, before the data is given up."""
_ROUNDS = 3
_KINDS = 4096
"""Values by which the type of a column is told."""


@dataclass
class Counts:
    """What the data holds, counted in one pass that reads no input.

    Attributes:
        entries, labelled, annotated: how many.
        clusters: how many there are; entries without one count for themselves.
        labels: label as the data has it -> how many.
        columns: name -> type.
        splits: values of the split column -> how many.
    """

    entries: int = 0
    labelled: int = 0
    annotated: int = 0
    clusters: int = 0
    labels: dict[str | int, int] = field(default_factory=dict[str | int, int])
    columns: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True)
class Look:
    """What one input told.

    Attributes:
        grid, input_size, resolution: of its map.
        channels: of the network's input.
        layer, units: of the map.
        targets: 2 (predicted and runner-up), or 1 with one output.
        classes: of the output.
        forward_ms: time of a forward of one input in a batch.
    """

    grid: tuple[int, ...]
    input_size: tuple[int, ...]
    resolution: Resolution
    channels: int
    layer: str
    units: str
    targets: int
    classes: int
    forward_ms: float


def count(source: Source) -> Counts:
    """Count the entries of a source.

    Raises:
        InputError: there are none.
    """
    found = Counts()
    seen: dict[str, list[Any]] = {name: [] for name in source.columns}
    clusters: set[int] = set()
    for entry in source:
        found.entries += 1
        found.labelled += entry.label is not None
        found.annotated += entry.annotation is not None
        if entry.label is not None:
            found.labels[entry.label] = found.labels.get(entry.label, 0) + 1
        if entry.cluster is not None:
            clusters.add(hash(entry.cluster))
        else:
            found.clusters += 1
        for name, values in seen.items():
            if len(values) < _KINDS and (value := entry.columns.get(name)) is not None:
                values.append(value)
    if not found.entries:
        raise InputError(f"{source.data} holds no entries; name a folder or a table with inputs.")
    found.clusters += len(clusters)
    found.columns = {name: kind_of(values) for name, values in seen.items()}
    return found


def look(source: Source, explainer: Explainer, batch_size: int) -> Look:
    """Explain the first entry that can be read.

    Raises:
        InputError: none of the first ones can be read; the sentence gives the reasons.
        TargetError, LayerError, MethodError, ExplainError: as for `explain`.
    """
    one = _first(source, explainer)
    shot = shoot(explainer, [one.prepared])
    explanation = shot.explanation
    return Look(
        grid=tuple(explanation.maps.shape[2:]),
        input_size=explanation.input_size,
        resolution=explanation.resolution,
        channels=one.prepared.tensor.shape[0],
        layer=explanation.layer,
        units=explanation.units,
        targets=explanation.maps.shape[1],
        classes=shot.outputs.shape[1],
        forward_ms=_timed(explainer, one.prepared.tensor, batch_size),
    )


def check_labels(counts: Counts, labels: Labels, classes: int) -> None:
    """Refuse labels that the model does not have; see `Labels.index`."""
    labels.check(counts.labels, classes)


def _first(source: Source, explainer: Explainer) -> Ready:
    reasons: Mapping[str, str] = {}
    for number, entry in enumerate(source):
        found: Ready | LeftOut = ready(source, entry, explainer.model)
        if isinstance(found, Ready):
            return found
        reasons = {**reasons, _short(entry): found.reason}
        if number + 1 == _TRIED:
            break
    some = "; ".join(f"{name}: {why}" for name, why in list(reasons.items())[:3])
    raise InputError(f"None of the first {len(reasons)} entries of {source.data} can be used ({some}).")


def _short(entry: Entry) -> str:
    return entry.id if len(entry.id) <= 80 else "…" + entry.id[-79:]


def _timed(explainer: Explainer, tensor: Tensor, batch_size: int) -> float:
    """Return the milliseconds that a forward of one input takes in a batch."""
    from heatproof.capture import Batch

    batch = Batch.of(torch.stack([tensor] * batch_size), explainer.model.net)
    took: list[float] = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        explainer.engine.output(batch, lambda output: _any(output))
        took.append(time.perf_counter() - began)
    return 1000 * median(took) / batch_size


def _any(output: Any) -> Tensor:
    """Return some tensor of the output, on the CPU, so that a GPU has finished."""
    from heatproof.models.outputs import tensors

    return next(tensor for _, tensor in tensors(output)).detach().flatten()[:1].cpu()
