"""One map from those of several layers."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from heatproof.errors import UsageError
from heatproof.types.explanation import LINEAR

Combine = Literal["mean", "product", "max"]

STATED = {
    "mean": "mean over layers, each resampled linearly to the finest grid",
    "product": "geometric mean over layers of the positive evidence, each resampled linearly to the finest grid",
    "max": "maximum over layers, each resampled linearly to the finest grid",
}
"""What the result says about how it was made."""


def checked(combine: str) -> Combine:
    """Return `combine` if there is such a way, else raise UsageError."""
    for known in get_args(Combine):
        if combine == known:
            return known
    raise UsageError(f"combine is {combine!r}; give one of {', '.join(map(repr, get_args(Combine)))}.")


def combined(maps: Sequence[Tensor], how: Combine) -> Tensor:
    """Return one map (n, t, *grid) on the finest of the grids, in the units of the maps.

    Args:
        maps: one map per layer; grids may differ.
        how: "mean"; "max": the largest value at every place; "product": the product of the positive evidence, its
            root taken (the geometric mean), so that it stays in the units of the target.
    """
    if len(maps) == 1:
        return maps[0]
    finest = max((tuple(m.shape[2:]) for m in maps), key=lambda g: torch.Size(g).numel())
    mode = LINEAR[len(finest)]
    same = torch.stack(
        [
            m if tuple(m.shape[2:]) == finest else F.interpolate(m, size=finest, mode=mode, align_corners=False)
            for m in maps
        ]
    )
    if how == "mean":
        return same.mean(0)
    if how == "max":
        return same.amax(0)
    positive = same.clamp(min=0)
    everywhere = (positive > 0).all(0)
    # a sum of logarithms: the product of many small numbers would underflow
    return torch.where(positive > 0, positive, 1).log().mean(0).exp().where(everywhere, 0)
