"""Overlapping windows over a volume, and their maps blended into one."""

from collections.abc import Iterator, Sequence
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor


def starts(length: int, window: int, overlap: float) -> list[int]:
    """Return where windows begin along one axis; the last one ends at the end, and none reaches beyond it."""
    if window >= length:
        return [0]
    step = max(1, int(window * (1 - overlap)))
    return [*range(0, length - window, step), length - window]


def places(size: Sequence[int], window: Sequence[int], overlap: float) -> list[tuple[int, ...]]:
    """Return the first voxel of every window."""
    return list(product(*(starts(s, w, overlap) for s, w in zip(size, window, strict=True))))


def weights(window: Sequence[int]) -> Float[Tensor, "z y x"]:
    """Return Hann weights at voxel centers: above 0 everywhere, so that every voxel is covered."""
    whole = torch.ones(1, dtype=torch.float64)
    for length in window:
        one = torch.sin(torch.pi * (torch.arange(length, dtype=torch.float64) + 0.5) / length) ** 2
        whole = whole.unsqueeze(-1) * one
    return whole[0]


def blend(
    size: Sequence[int], window: Sequence[int], found: Iterator[tuple[tuple[int, ...], Float[Tensor, "z y x"]]]
) -> Float[Tensor, "Z Y X"]:
    """Return the weighted mean of windows' maps over each voxel.

    Args:
        size: of the volume.
        window: of each map.
        found: first voxel and map of each window.
    """
    total = torch.zeros(tuple(size), dtype=torch.float64)
    mass = torch.zeros_like(total)
    weight = weights(window)
    for begin, map in found:
        here = tuple(slice(b, b + w) for b, w in zip(begin, window, strict=True))
        total[here] += weight * map.double().cpu()
        mass[here] += weight
    return (total / mass).float()
