"""How alike are two maps? Rank correlation on the native grid, and the measures of the literature."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import MethodError
from heatproof.metrics._order import finite
from heatproof.metrics._record import Metric
from heatproof.metrics._stats import pearson, ranks

__all__ = ["hog_similarity", "ranks", "spearman", "spearman_absolute", "ssim"]

_WINDOW, _SIGMA = 11, 1.5  # Wang et al. 2004, section III C
_FEWEST = 3
"""Positions along an axis below which a window holds one only."""
_K1, _K2 = 0.01, 0.03
_BINS, _CLIP = 9, 0.2  # Dalal and Triggs 2005, section 6


def spearman(a: Float[Tensor, "n t *grid"], b: Float[Tensor, "n t *grid"]) -> Float[Tensor, "n t"]:
    """Return Spearman's rank correlation of each pair of maps.

    Range -1 to 1, higher is more alike, chance level 0. NaN where a map is constant or not finite: no order, no
    correlation. Source: Spearman 1904; used for maps by Adebayo et al. 2018, section 4.
    """
    a, b = a.flatten(2), b.flatten(2)
    rho = pearson(ranks(a), ranks(b))
    return torch.where(finite(a) & finite(b), rho, torch.nan)


def spearman_absolute(a: Float[Tensor, "n t *grid"], b: Float[Tensor, "n t *grid"]) -> Float[Tensor, "n t"]:
    """Return Spearman's rank correlation of the absolute values of each pair of maps.

    Range -1 to 1, higher is more alike, chance level 0. NaN as in `spearman`. Source: Adebayo et al. 2018, section 4
    ("rank correlation (absolute value)").
    """
    return spearman(a.abs(), b.abs())


def ssim(
    a: Float[Tensor, "n t *grid"], b: Float[Tensor, "n t *grid"], data_range: float | None = None
) -> Float[Tensor, "n t"]:
    """Return the mean structural similarity of each pair of maps, over all windows that lie inside the grid.

    The window is Wang's Gaussian (sigma 1.5, 11 positions an axis); on a smaller grid it is cut to the largest odd size
    that fits the shortest axis, at least 3. Range -1 to 1, higher is more alike, chance level about 0. NaN where a map
    is not finite, where both are the same constant, or where an axis has fewer than 3 positions: a window of one holds
    no structure. Made for values that are not negative: where the means of two signed maps have opposite signs, the
    luminance term turns the sign of the whole, so that a map and its opposite can look alike; compare signed maps by
    `spearman`.

    Args:
        a: signed maps, 1 to 3 axes.
        b: maps on the same grid, in the same units.
        data_range: L, the span of possible values (1 for maps scaled to 0..1); None takes the span that the two
            maps cover together, which makes the result independent of their common unit.

    Source: Wang et al. 2004, "Image quality assessment: from error visibility to structural similarity", eq. 13.
    """
    if min(a.shape[2:]) < _FEWEST:
        return torch.full(a.shape[:2], torch.nan, dtype=torch.float64, device=a.device)
    x, y = a.double(), b.double()
    if data_range is None:
        both = torch.cat([x.flatten(2), y.flatten(2)], -1)
        span = (both.amax(-1) - both.amin(-1)).reshape(*a.shape[:2], *[1] * (a.ndim - 2))
    else:
        span = torch.as_tensor(data_range, dtype=torch.float64, device=a.device)
    # Divided by the span first: squares of tiny values would vanish. The common offset stays, as in the paper.
    x, y = x / span, y / span
    mean_x, mean_y = _windowed(x), _windowed(y)
    var_x = _windowed(x * x) - mean_x * mean_x
    var_y = _windowed(y * y) - mean_y * mean_y
    cov = _windowed(x * y) - mean_x * mean_y
    c1, c2 = _K1**2, _K2**2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x * mean_x + mean_y * mean_y + c1)
    index = luminance * (2 * cov + c2) / (var_x + var_y + c2)
    return index.flatten(2).mean(-1)


def hog_similarity(
    a: Float[Tensor, "n t *grid"], b: Float[Tensor, "n t *grid"], cell: int = 8, block: int = 3
) -> Float[Tensor, "n t"]:
    """Return Pearson's correlation of the histograms of oriented gradients of each pair of two-dimensional maps.

    Nine unsigned orientations, L2-Hys normalized blocks without a constant under the root (a block without gradient
    stays zero), so that the unit of the map does not matter. Range -1 to 1, higher is more alike; the chance level
    lies above 0, because all blocks share their norm: compare with a null. NaN where a map has no gradient.

    Args:
        a: signed maps.
        b: maps on the same grid.
        cell: positions per cell along each axis.
        block: cells per block along each axis.

    Raises:
        MethodError: the maps have not two axes, or are smaller than one block.

    Source: Dalal and Triggs 2005, "Histograms of oriented gradients for human detection", section 6; correlation of
    the descriptors: Adebayo et al. 2018, section 4.
    """
    if a.ndim != 4:
        raise MethodError(
            f"HOG compares edges in the plane, but the maps have {a.ndim - 2} axes (shape {tuple(a.shape)}); "
            "use spearman or ssim."
        )
    if min(a.shape[2:]) < cell * block:
        raise MethodError(
            f"One block of HOG is {cell * block} positions wide, but the maps are {tuple(a.shape[2:])}; "
            "pass a smaller cell or block, or maps at the size of the input."
        )
    value = pearson(_hog(a.double(), cell, block), _hog(b.double(), cell, block))
    return torch.where(finite(a.flatten(2)) & finite(b.flatten(2)), value, torch.nan)


def _windowed(maps: Float[Tensor, "n t *grid"]) -> Float[Tensor, "n t *inner"]:
    shortest = min(maps.shape[2:])
    size = min(_WINDOW, shortest - 1 + shortest % 2)
    offset = torch.arange(size, dtype=maps.dtype, device=maps.device) - size // 2
    kernel = torch.exp(-offset.square() / (2 * _SIGMA**2))
    kernel = kernel / kernel.sum()
    for axis in range(2, maps.ndim):
        maps = maps.unfold(axis, size, 1) @ kernel
    return maps


def _hog(maps: Float[Tensor, "n t h w"], cell: int, block: int) -> Float[Tensor, "n t f"]:
    largest = maps.abs().amax((-2, -1), keepdim=True)
    maps = torch.where(largest > 0, maps / largest, maps)
    dy, dx = torch.zeros_like(maps), torch.zeros_like(maps)
    dy[..., 1:-1, :] = maps[..., 2:, :] - maps[..., :-2, :]
    dx[..., :, 1:-1] = maps[..., :, 2:] - maps[..., :, :-2]
    angle = torch.atan2(dy, dx).remainder(math.pi) * (_BINS / math.pi)
    # remainder may round up to pi itself, which is the direction of bin 0
    votes = torch.nn.functional.one_hot(angle.nan_to_num().floor().long() % _BINS, _BINS)
    votes = votes * torch.hypot(dx, dy).unsqueeze(-1)
    rows, columns = (size // cell for size in maps.shape[2:])
    votes = votes[:, :, : rows * cell, : columns * cell]
    cells = votes.unflatten(2, (rows, cell)).unflatten(4, (columns, cell)).mean((3, 5))
    blocks = cells.unfold(2, block, 1).unfold(3, block, 1).flatten(4)
    return _unit(_unit(blocks).clamp(max=_CLIP)).flatten(2)


def _unit(vectors: Float[Tensor, "*b f"]) -> Float[Tensor, "*b f"]:
    norm = vectors.norm(dim=-1, keepdim=True)
    return torch.where(norm > 0, vectors / norm, 0.0)


METRICS = (
    Metric(
        spearman,
        "Spearman correlation",
        "Spearman 1904; for maps: Adebayo et al. 2018, Sanity checks for saliency maps, section 4",
        low=-1.0,
        high=1.0,
        better="neither",
        chance=0.0,
    ),
    Metric(
        spearman_absolute,
        "Spearman correlation of absolute values",
        "Adebayo et al. 2018, Sanity checks for saliency maps, section 4",
        low=-1.0,
        high=1.0,
        better="neither",
        chance=0.0,
    ),
    Metric(
        ssim,
        "SSIM",
        "Wang et al. 2004, Image quality assessment: from error visibility to structural similarity, eq. 13",
        low=-1.0,
        high=1.0,
        better="neither",
        chance="about 0 for unrelated maps with mean 0; higher for maps that share an offset",
    ),
    Metric(
        hog_similarity,
        "HOG similarity",
        "Dalal and Triggs 2005, Histograms of oriented gradients, section 6; Adebayo et al. 2018, section 4",
        low=-1.0,
        high=1.0,
        better="neither",
        chance="above 0, since all blocks share their norm: that of a null of unrelated maps",
    ),
)
