"""Maps that a check shows beside the map under test: some that know too little, and one that asks the model itself."""

from collections.abc import Sequence
from typing import NoReturn

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from heatproof.attribution import center_prior, input_edges
from heatproof.checks._rerun import Score
from heatproof.checks._surrogates import phase_randomized
from heatproof.errors import MethodError
from heatproof.metrics._fields import pooled
from heatproof.metrics._subsets import drops
from heatproof.metrics.imputers import Imputer
from heatproof.types import Subject

_BLOCKS = {1: 32, 2: 6, 3: 3}
"""Most blocks of grid positions along each axis that the oracle covers, one after the other."""


def controls(
    maps: Float[Tensor, "n 1 *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    score: Score,
    imputer: Imputer,
    *,
    seeds: Sequence[int],
    batch: int,
) -> tuple[dict[str, Float[Tensor, "n 1 *grid"]], int]:
    """Return control maps on the maps' grid, and the forwards per input that they cost.

    "matched random": the map's own power spectrum with random phases; "center prior"; "edges" of the input; "occlusion
    oracle": how far the score falls when each block of positions is filled, which is as near to the truth as single
    removals get.
    """
    grid = tuple(maps.shape[2:])
    asked = Subject(inputs, torch.zeros(len(inputs), 1, device=inputs.device), score, _unasked, _unasked, _unasked)
    subsets = blocks(grid, _BLOCKS[len(grid)]).to(maps.device)
    found = drops(maps, inputs, score, subsets, imputer, batch)
    random = torch.cat([phase_randomized(one, len(grid), seed) for one, seed in zip(maps.split(1), seeds, strict=True)])
    return {
        "matched random": random,
        "center prior": pooled(center_prior.attribute(asked), grid).to(maps.dtype),
        "edges": pooled(input_edges.attribute(asked), grid).to(maps.dtype),
        "occlusion oracle": (found.fallen @ subsets).reshape(maps.shape).to(maps.dtype),
    }, found.forwards


def blocks(grid: Sequence[int], limit: int) -> Float[Tensor, "s p"]:
    """Return at most `limit` blocks along each axis, of even size, that cover the grid once: 1 inside, 0 outside."""
    label = torch.zeros(tuple(grid), dtype=torch.long)
    for axis, side in enumerate(grid):
        count = min(side, limit)
        along = torch.arange(side) * count // side
        label = label * count + along.view(-1, *(1,) * (len(grid) - 1 - axis))
    return F.one_hot(label.flatten()).T.double()


def _unasked(*_: object, **__: object) -> NoReturn:
    raise MethodError("A control was to ask the model, which controls of this kind never do; report this.")
