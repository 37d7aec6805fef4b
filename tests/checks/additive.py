"""An additive network, whose exact contributions are known, and maps with known relations to them."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from heatproof.types import Capture

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOLS = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
GRIDS = {1: (16,), 2: (8, 8), 3: (4, 4, 4)}


def smooth(*shape: int, axes: int, seed: int) -> Tensor:
    """Noise, averaged over three neighbors along each axis, twice, of mean 0 and variance about 1."""
    field = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    for axis in range(-axes, 0):
        for _ in range(2):
            field = (field.roll(1, axis) + field + field.roll(-1, axis)) / 3
    last = tuple(range(-axes, 0))
    return (field - field.mean(last, keepdim=True)) / field.std(last, keepdim=True)


class Additive(nn.Module):
    """Logit 0 is the sum over the grid of weight times the input's mean in each position; logit 1 that of others."""

    def __init__(self, axes: int = 2, seed: int = 0) -> None:
        super().__init__()
        self.axes = axes
        self.body = CONVS[axes](1, 1, 1, bias=False)
        nn.init.ones_(self.body.weight)
        self.weights = nn.Parameter(smooth(2, *GRIDS[axes], axes=axes, seed=seed))

    def forward(self, x: Tensor) -> Tensor:
        grid = self.body(POOLS[self.axes](x, 2))
        return (
            (grid * self.weights).flatten(2).sum(-1)
            if self.axes == 0
            else torch.einsum("nk,tk->nt", grid.flatten(1), self.weights.flatten(1))
        )


def signals(n: int, axes: int = 2, seed: int = 100) -> Tensor:
    """Inputs of twice the grid's size along each axis."""
    return smooth(n, 1, *(2 * side for side in GRIDS[axes]), axes=axes, seed=seed)


def exact(capture: Capture) -> Tensor:
    """The contributions: activation times gradient (HiResCAM)."""
    return (capture.activations.unsqueeze(1) * capture.gradients).sum(2)


def changed(change: Callable[[Tensor], Tensor]) -> Callable[[Capture], Tensor]:
    """A method whose map is the exact one, changed."""

    def method(capture: Capture) -> Tensor:
        return change(exact(capture))

    return method


def random_map(seed: int) -> Callable[[Capture], Tensor]:
    """A method whose map is smooth, random and another for every input of a batch."""

    def method(capture: Capture) -> Tensor:
        shape = exact(capture).shape
        return smooth(*shape, axes=len(shape) - 2, seed=seed)

    return method
