"""The region test: does masking where the map is highest cost more than masking as much elsewhere?"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.checks._rerun import Score
from heatproof.checks._surrogates import far_shift
from heatproof.metrics._perturb import plain, scored
from heatproof.metrics.imputers import Imputer

_TRIES = 16


@dataclass(frozen=True, eq=False)
class Regions:
    """What masking regions did.

    Attributes:
        top: (n,) fall of the score without the top region.
        elsewhere: (n,) mean fall without regions of the same area and shape elsewhere.
        share: of the grid that each covers.
        forwards: what this cost per input.
    """

    top: Float[Tensor, " n"]
    elsewhere: Float[Tensor, " n"]
    share: float
    forwards: int


def region_test(
    maps: Float[Tensor, "n 1 *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    score: Score,
    imputer: Imputer,
    *,
    share: float = 0.1,
    elsewhere: int = 4,
    generators: Sequence[torch.Generator],
    batch: int = 64,
) -> Regions:
    """Return the falls of the score when the highest share of the grid is masked, and when it is moved first.

    Regions elsewhere are the same one shifted around the edges, each shift the one of several drawn that overlaps
    least with the region itself, drawn from the input's own generator. NaN where a map is not finite.
    """
    n, grid = len(maps), tuple(maps.shape[2:])
    positions = maps[0].numel()
    size = max(1, ceil(share * positions))
    flat = maps.flatten(1)
    top = torch.zeros_like(flat).scatter_(1, flat.nan_to_num().topk(size, dim=1).indices, 1.0).reshape(n, *grid)
    moved = [_moved(one, elsewhere, generator) for one, generator in zip(top, generators, strict=True)]
    masks = torch.stack([torch.stack([one, *others]) for one, others in zip(top, moved, strict=True)])
    each = masks.flatten(0, 1)
    rows = torch.arange(n, device=inputs.device).repeat_interleave(masks.shape[1])
    masked = scored(inputs, rows, lambda chunk: each[chunk], score, imputer, batch)[:, 0].reshape(n, -1)
    falls = plain(inputs, score, batch)[:, :1] - masked
    falls = torch.where(flat.isfinite().all(1, keepdim=True), falls, torch.nan)
    return Regions(falls[:, 0], falls[:, 1:].mean(1), size / positions, 1 + masks.shape[1])


def _moved(top: Tensor, count: int, generator: torch.Generator) -> list[Tensor]:
    axes = tuple(range(top.ndim))
    found: list[Tensor] = []
    for _ in range(count):
        tried = [top.roll(far_shift(tuple(top.shape), generator), axes) for _ in range(_TRIES)]
        found.append(min(tried, key=lambda region: float((region * top).sum())))
    return found
