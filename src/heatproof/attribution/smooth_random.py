"""Smooth random: a control. Noise blurred to blobs, of mean 0 and variance 1; neither model nor input is asked.

Formula: independent standard normal draws, averaged with Gaussian weights along every axis (at the edges over what is
there), then standardized over the map.

A blob in a random place looks like an explanation, and by chance agrees with some annotation. The map depends on the
seed and the input's size alone: the same for every input and target, so that a batch equals its singles; take several
seeds for several draws. No unit. Cost: none.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.attribution._maps import blank
from heatproof.errors import MethodError
from heatproof.types import Subject

NAME = "Smooth random"
ALIASES = ("random map", "smooth noise")
TIER = "experimental"
UNITS = "none"
SCALES_WITH_SCORE = False  # does not see the score
BIBTEX = ""


def attribute(subject: Subject, *, seed: int = 0, width: float = 0.1) -> Float[Tensor, "n t *spatial"]:
    """Return blurred noise of mean 0 and variance 1, the same for every input and target.

    Args:
        subject: of which the shapes are used.
        seed: of the draw.
        width: standard deviation of the blur, as a share of every axis.

    Raises:
        MethodError: `width` is not above 0.
    """
    if width <= 0:
        raise MethodError(f"width is {width}; it must be above 0.")
    maps = blank(subject)
    size = maps.shape[2:]
    field = torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    for axis, side in enumerate(size):
        places = torch.arange(side, dtype=torch.float64)
        weights = torch.exp(-((places[:, None] - places) / (width * side)).square() / 2)
        weights /= weights.sum(1, keepdim=True)
        field = torch.tensordot(weights, field.movedim(axis, 0), dims=1).movedim(0, axis)
    field -= field.mean()
    spread = field.square().mean().sqrt()
    return maps + (field / spread.where(spread > 0, 1)).to(maps)
