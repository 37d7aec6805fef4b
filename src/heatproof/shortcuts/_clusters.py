"""Regions that look alike: clusters that survive resampling, and the rule by which other regions join them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from sklearn.cluster import HDBSCAN, SpectralClustering
from torch import Tensor

from heatproof.errors import UsageError

Clustering = Literal["hdbscan", "spectral"]
RESAMPLES = 10
STABLE = 0.5
"""Mean Jaccard overlap with the best match under resampling below which a cluster is not kept (Hennig 2007)."""
REACH = 0.95
"""Share of a cluster's own members that its radius takes in."""


@dataclass(frozen=True, eq=False)
class Cluster:
    """Points that belong together.

    Attributes:
        members: numbers of the points.
        middle: their mean.
        radius: how far from it others may lie.
        stability: mean Jaccard overlap under resampling.
    """

    members: tuple[int, ...]
    middle: Float[Tensor, " p"]
    radius: float
    stability: float


def clusters(points: Float[Tensor, "r p"], least: int, *, how: Clustering = "hdbscan", seed: int = 0) -> list[Cluster]:
    """Return the clusters that are stable under the bootstrap, the largest first.

    Args:
        points: to be clustered.
        least: members that a cluster needs.
        how: "hdbscan" (Campello et al. 2013), or "spectral" as in SpRAy (Lapuschkin et al. 2019), with the number of
            clusters at the largest gap of the eigenvalues.
        seed: of the resampling.

    Raises:
        UsageError: there is no such clustering.

    Source: Hennig 2007, "Cluster-wise assessment of cluster stability", section 2.
    """
    if how not in ("hdbscan", "spectral"):
        raise UsageError(f"clustering is {how!r}; use 'hdbscan' or 'spectral'.")
    if len(points) < 2 * least:
        return []
    found = _labels(points, least, how, seed)
    generator = torch.Generator().manual_seed(seed)
    overlaps: dict[int, list[float]] = {int(k): [] for k in found.unique() if int(k) >= 0}
    for _ in range(RESAMPLES):
        drawn = torch.randint(len(points), (len(points),), generator=generator).unique()
        again = _labels(points[drawn], max(2, round(least * 0.63)), how, seed)
        for k, seen in overlaps.items():
            own = found[drawn] == k
            seen.append(max((_jaccard(own, again == j) for j in again.unique() if int(j) >= 0), default=0.0))
    kept: list[Cluster] = []
    for k, seen in overlaps.items():
        members = (found == k).nonzero().flatten()
        stability = float(np.mean(seen))
        if stability >= STABLE and len(members) >= least:
            kept.append(cluster(points, members.tolist(), stability))
    return sorted(kept, key=lambda one: -len(one.members))


def cluster(points: Float[Tensor, "r p"], members: Sequence[int], stability: float = 1.0) -> Cluster:
    """Return some points as a cluster."""
    mine = points[list(members)]
    middle = mine.mean(0)
    radius = float(torch.quantile((mine - middle).norm(dim=1), REACH)) if len(mine) else 0.0
    return Cluster(tuple(members), middle, radius, stability)


def assign(points: Float[Tensor, "r p"], known: Sequence[Cluster]) -> Int[Tensor, " r"]:
    """Return the number of the nearest cluster within whose radius each point lies; -1 where there is none."""
    if not known or not len(points):
        return torch.full((len(points),), -1)
    distance = torch.cdist(points, torch.stack([one.middle for one in known]))
    distance = torch.where(distance <= torch.tensor([one.radius for one in known]), distance, torch.inf)
    nearest = distance.min(1)
    return torch.where(nearest.values.isfinite(), nearest.indices, -1)


def _labels(points: Tensor, least: int, how: Clustering, seed: int) -> Int[Tensor, " r"]:
    if len(points) < max(4, least):
        return torch.full((len(points),), -1)
    x = points.double().numpy()
    if how == "hdbscan":
        settings: dict[str, Any] = {"min_cluster_size": max(2, least), "copy": True}  # its stubs take copy for a word
        return torch.from_numpy(HDBSCAN(**settings).fit_predict(x)).long()
    distance = _distances(x)
    # Of each point, to its seventh neighbor (Zelnik-Manor and Perona 2004); differences far below the whole's are none.
    scale = np.maximum(np.sort(distance, 1)[:, min(7, len(x) - 1)], 0.25 * float(np.sqrt(np.mean(distance**2))) + 1e-12)
    affinity = (
        np.exp(-np.square(distance) / np.outer(scale, scale)) + 1e-4
    )  # a little, so that the graph is in one piece
    degree = affinity.sum(1)
    laplacian = np.eye(len(x)) - affinity / np.sqrt(degree[:, None] * degree[None])
    values = np.linalg.eigvalsh(laplacian)[: min(9, len(x))]
    count = int(np.diff(values).argmax()) + 1  # the eigengap: as many clusters as eigenvalues below it
    if count == 1:
        return torch.zeros(len(x), dtype=torch.int64)
    fitted = SpectralClustering(count, affinity="precomputed", random_state=seed).fit_predict(affinity)
    return torch.from_numpy(fitted).long()


def _distances(x: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(((x[:, None] - x[None]) ** 2).sum(-1), 0))


def _jaccard(a: Bool[Tensor, " r"], b: Bool[Tensor, " r"]) -> float:
    either = int((a | b).sum())
    return int((a & b).sum()) / either if either else 0.0
