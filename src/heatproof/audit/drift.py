"""How far the maps of two runs lie apart, input by input: the same class, on the first run's grid."""

from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from heatproof.audit.pairs import Pairs
from heatproof.audit.store import read_maps
from heatproof.metrics.similarity import spearman
from heatproof.types.explanation import LINEAR

_BLOCK = 256


def map_drift(a: str | Path, b: str | Path, pairs: Pairs) -> Float[np.ndarray, " n"]:
    """Return Spearman's rank correlation of the two maps of each input, for the class that the first run predicts.

    1 is the same order of places, 0 no relation. NaN where the second run has no map of that class, or a map is
    constant or not finite. A map on another grid is brought to the first run's by linear interpolation.
    """
    first, second = read_maps(a)[0], read_maps(b)[0]
    column = [_column(x["predicted_label"], y) for x, y in zip(pairs.a, pairs.b, strict=True)]
    found = np.full(len(pairs), nan)
    for start in range(0, len(pairs), _BLOCK):
        at = [
            i
            for i in range(start, min(start + _BLOCK, len(pairs)))
            if column[i] is not None and pairs.a[i]["map_row"] is not None and pairs.b[i]["map_row"] is not None
        ]
        if not at:
            continue
        before = _rows(first, [pairs.a[i]["map_row"] for i in at])[:, 0]
        after = _rows(second, [pairs.b[i]["map_row"] for i in at])
        chosen = after[torch.arange(len(at)), torch.tensor([column[i] for i in at])]
        found[at] = spearman(before.unsqueeze(1), _on(chosen, before.shape[1:]).unsqueeze(1))[:, 0].numpy()
    return found


def _column(label: str | None, other: dict[str, Any]) -> int | None:
    """Return which target of the other run is this class: its prediction, its runner-up, or none."""
    if label is None:
        return None
    names = (other["predicted_label"], other["runner_up_label"])
    return names.index(label) if label in names else None


def _rows(maps: Any, rows: Sequence[int]) -> Float[Tensor, "m t *grid"]:
    """Read some rows; those of a run of numbers in one piece, since a shard is read as a whole anyway."""
    low, high = min(rows), max(rows) + 1
    if high - low <= 4 * len(rows):
        block = np.asarray(maps[low:high])[[row - low for row in rows]]
    else:
        block = np.stack([np.asarray(maps[row]) for row in rows])
    return torch.from_numpy(block.astype(np.float32))


def _on(maps: Float[Tensor, "m *grid"], grid: Sequence[int]) -> Float[Tensor, "m *other"]:
    if tuple(maps.shape[1:]) == tuple(grid):
        return maps
    mode = LINEAR[len(grid)]
    return F.interpolate(maps.unsqueeze(1), size=tuple(grid), mode=mode, align_corners=False)[:, 0]
