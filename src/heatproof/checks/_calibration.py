"""Which of a study's inputs the statistics of normalization layers are taken from, under random weights."""

import torch

from heatproof.capture import Batch
from heatproof.checks._study import Study

_CALIBRATION = 64
"""Inputs that normalization statistics are taken from, at most."""
_VALUES = 32 * 3 * 224 * 224
"""Values of the inputs of one run for these statistics, at most."""


def calibration(study: Study) -> list[tuple[int, Batch]]:
    """Return the batches that normalization statistics are taken from, each with its number; 64 inputs at most.

    They are the same however the inputs were batched, and in whatever order they came; their size depends on that of
    an input only. One that is a batch of the study has that one's number, others have numbers behind those.
    """
    first = study.batches[0].batch
    found = [gathered.batch.tensor for gathered in study.batches]
    known = [tensor for tensor in found if tensor is not None]
    alike = len({tensor.shape[1:] for tensor in known}) == 1
    if first.tensor is None or len(known) < len(found) or not alike or len(study.keys) != study.n:
        return _first(study)  # nothing tells inputs apart, or they cannot share a run
    order = sorted(range(study.n), key=lambda i: study.keys[i])[:_CALIBRATION]
    size = max(1, _VALUES // first.tensor[0].numel())
    if len(study.batches) == 1 and study.n == len(order) <= size:
        return [(0, first)]  # the whole in its own order: sums are the same
    rows = [tensor[i] for tensor in known for i in range(len(tensor))]
    parts = [order[begin : begin + size] for begin in range(0, len(order), size)]
    return [
        (len(found) + number, first.with_tensor(torch.stack([rows[i] for i in part])))
        for number, part in enumerate(parts)
    ]


def _first(study: Study) -> list[tuple[int, Batch]]:
    """Return the study's batches that hold the first inputs."""
    found: list[tuple[int, Batch]] = []
    left = _CALIBRATION
    for i, gathered in enumerate(study.batches):
        if left <= 0:
            break
        batch = gathered.batch
        found.append((i, batch if batch.n <= left else batch.rows(torch.arange(left))))
        left -= batch.n
    return found
