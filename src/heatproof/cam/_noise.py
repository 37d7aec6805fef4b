"""Seeded noise for the methods that average over it, the same for every input and mirrored along every axis."""

from collections.abc import Sequence
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import MethodError


def mirrored_noise(copies: int, shape: Sequence[int], seed: int) -> Float[Tensor, "copies c *spatial"]:
    """Return standard normal draws (copies, c, *spatial), on the CPU; `copies` is rounded up to whole mirror sets.

    Every draw comes with its mirror images along each set of spatial axes, 2^axes in all. An average over them mirrors
    with the input exactly, not merely in expectation. More copies extend the draws of fewer.

    Args:
        copies: least number of draws.
        shape: (c, *spatial) of one draw.
        seed: of the draws.

    Raises:
        MethodError: `copies` is less than 1.
    """
    if copies < 1:
        raise MethodError(f"copies is {copies}; it must be at least 1.")
    axes = range(2, len(shape) + 1)
    mirrors = [which for r in range(len(axes) + 1) for which in combinations(axes, r)]
    generator = torch.Generator().manual_seed(seed)
    sets = -(-copies // len(mirrors))
    # one set at a time: so many values at once would not begin with those of fewer
    draws = torch.stack([torch.randn(tuple(shape), generator=generator) for _ in range(sets)])
    return torch.stack([draws.flip(which) if which else draws for which in mirrors], dim=1).flatten(0, 1)
