"""Small problems for the tests of metrics: maps, inputs and a model whose answers depend on the row that is named."""

import torch
from torch import Tensor

GRIDS = {1: ((5,), (11,)), 2: ((3, 4), (7, 9)), 3: ((2, 3, 2), (4, 5, 3))}
"""Grid and size of the input, for each number of axes; the sizes are no multiples of the grids."""


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Toy:
    """n inputs with t targets: a positive score with interactions, other weights for every input."""

    def __init__(self, axes: int = 2, n: int = 3, t: int = 2, seed: int = 0) -> None:
        self.grid, self.spatial = GRIDS[axes]
        self.n, self.t = n, t
        self.inputs = draw(n, 2, *self.spatial, seed=seed)
        self.maps = draw(n, t, *self.grid, seed=seed + 1)
        self.weights = draw(n, t, 2, *self.spatial, seed=seed + 2)
        self.calls = 0

    def score(self, inputs: Tensor, rows: Tensor) -> Tensor:
        self.calls += len(rows)
        weights = self.weights[rows].flatten(2)
        flat = inputs.double().flatten(1).unsqueeze(1)
        return torch.exp(0.1 * torch.tanh(weights * flat).sum(-1)) + 0.1 * (weights * flat).sum(-1).square().clamp(
            max=9
        )

    def explain(self, inputs: Tensor, rows: Tensor) -> Tensor:
        """Something that looks at the input and the target: pooled, weighted, not linear."""
        pool = {1: "adaptive_avg_pool1d", 2: "adaptive_avg_pool2d", 3: "adaptive_avg_pool3d"}[len(self.grid)]
        evidence = torch.tanh(self.weights[rows] * inputs.double().unsqueeze(1)).sum(2)
        return getattr(torch.nn.functional, pool)(evidence, self.grid)

    def part(self, keep: list[int]) -> "Toy":
        other = Toy.__new__(Toy)
        other.grid, other.spatial, other.n, other.t, other.calls = self.grid, self.spatial, len(keep), self.t, 0
        other.inputs, other.maps, other.weights = self.inputs[keep], self.maps[keep], self.weights[keep]
        return other

    def mask_of(self, inside: Tensor) -> Tensor:
        """The samples of the input whose nearest grid position is inside, sample by sample."""
        out = torch.zeros(self.spatial, dtype=inside.dtype)
        for at in torch.cartesian_prod(*(torch.arange(s) for s in self.spatial)).reshape(-1, len(self.spatial)):
            cell = tuple(int((int(a) + 0.5) * g / s) for a, g, s in zip(at, self.grid, self.spatial, strict=True))
            out[tuple(at)] = inside[cell]
        return out
