"""Networks whose score is a weighted sum over the grid, and maps with known relations to the exact contributions."""

from collections.abc import Callable
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from heatproof.synthetic._fields import (
    activations,
    changed,
    exact,
    restless,
    scrambled,
    silenced,
    smooth,
    unrelated,
    with_scrambled,
)
from heatproof.synthetic._instance import Answer, Instance

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_POOLS: dict[int, Callable[[Tensor, int], Tensor]] = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}
_CELL = 2
"""Samples of the input per grid position, along each axis."""
_INPUTS = 50


class Additive(nn.Module):
    """Two logits, each the sum over the grid of a weight times the input's mean there."""

    def __init__(self, weights: Float[Tensor, "2 *grid"]) -> None:
        super().__init__()
        self.axes = weights.ndim - 1
        self.body = _CONVOLUTIONS[self.axes](1, 1, 1, bias=False)
        nn.init.ones_(self.body.weight)
        self.head = nn.Linear(prod(weights.shape[1:]), 2, bias=False)
        self.head.weight = nn.Parameter(weights.flatten(1))

    def forward(self, x: Float[Tensor, "n 1 *spatial"]) -> Float[Tensor, "n 2"]:
        """Return the logits."""
        return self.head(self.body(_POOLS[self.axes](x, _CELL)).flatten(1))


def problems(axes: int, grid: tuple[int, ...], seed: int) -> list[Instance]:
    """Return one network's faithful maps, unfaithful ones, and maps that know nothing of it."""
    net = Additive(smooth((2, *grid), axes, 3 * seed)).eval()
    inputs = smooth((_INPUTS, 1, *(_CELL * side for side in grid)), axes, 3 * seed + 1)
    shifts = tuple(side // 2 for side in grid)
    last = tuple(range(-axes, 0))

    def noisy(maps: Tensor) -> Tensor:
        return maps + 0.5 * maps.std() * smooth(tuple(maps.shape), axes, 3 * seed + 2)

    planted: list[tuple[Answer, str, Any]] = [
        ("good", "exact contributions", exact),
        ("good", "exact contributions, with noise", changed(noisy)),
        ("bad", "contributions with the opposite sign", changed(torch.neg)),
        ("bad", "a smooth random field", unrelated(seed)),
        ("bad", "exact contributions, moved by half the grid", changed(lambda maps: maps.roll(shifts, last))),
    ]
    of_sanity: list[tuple[Answer, str, Any]] = [
        ("good", "exact contributions", "hirescam"),
        ("bad", "the activations alone", activations),
        ("bad", "edges of the input", "input_edges"),
        ("bad", "a center prior", "center_prior"),
    ]
    of_stability: list[tuple[Answer, str, Any]] = [
        ("good", "exact contributions", exact),
        ("good", "exact contributions, a tenth of them scrambled by any change", with_scrambled(0.1)),
        ("bad", "values that any change scrambles", scrambled),
        ("bad", "exact contributions under ten times as much that any change scrambles", with_scrambled(10.0)),
        ("bad", "another field in every run", restless(seed)),
    ]
    of_degenerate: list[tuple[Answer, str, Any]] = [
        ("good", "exact contributions", exact),
        ("good", "exact contributions, with noise", changed(noisy)),
        ("bad", "the activations, the same for every class", activations),
        ("bad", "blank for a third of the inputs", silenced(torch.zeros_like, 3)),
        ("bad", "no number for a third of the inputs", silenced(lambda maps: torch.full_like(maps, torch.nan), 3)),
        ("bad", "negative everywhere", changed(lambda maps: -maps.abs() - 1e-3)),
        ("bad", "constant", changed(lambda maps: maps.mean(last, keepdim=True).expand_as(maps))),
    ]
    every = {"faithfulness": planted, "sanity": of_sanity, "stability": of_stability, "degenerate": of_degenerate}
    rows = [(check, *row) for check, listed in every.items() for row in listed]
    return [
        Instance(check, answer, f"{axes}-D: {what}", net, inputs, 0, method, "body")
        for check, answer, what, method in rows
    ]
