"""RISE: the mean score of the input seen through random masks that show a place, less the mean of all; no gradients.

Formula (Petsiuk et al., 2018, arXiv:1806.07421, eqs. 3 to 6 and sec. 3.3): with random masks M_i in 0..1,

    S(p) = sum_i y(x * M_i) M_i(p) / sum_i M_i(p) - mean_i y(x * M_i)

A mask is a coarse grid of cells, each 1 with the given probability, upsampled linearly and shifted by a random part of
a cell. Two differences to eq. 6, neither of which changes the order of the places in expectation: it divides by N E[M]
instead of the sum of the masks that were really drawn, which adds noise in proportion to the score; and it does not
subtract the mean, so that all of a map has the sign of y.

The masks depend on the seed alone, the same for every input. A hidden place becomes 0 in what the model is given: the
mean color, after the usual normalization. In the units of the score. Cost: one forward per mask.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from heatproof.attribution._maps import at_least_one, blank, per_axis, precision, seeds
from heatproof.capture.runs import each_batch
from heatproof.errors import MethodError
from heatproof.types import Subject
from heatproof.types.explanation import LINEAR

NAME = "RISE"
ALIASES = ("randomized input sampling for explanation",)
TIER = "experimental"
UNITS = "score"
BIBTEX = """
@inproceedings{petsiuk2018rise,
  title     = {RISE: Randomized Input Sampling for Explanation of Black-box Models},
  author    = {Petsiuk, Vitali and Das, Abir and Saenko, Kate},
  booktitle = {British Machine Vision Conference (BMVC)},
  year      = {2018}
}
"""


def attribute(
    subject: Subject,
    *,
    masks: int = 4000,
    cells: int | Sequence[int] = 7,
    probability: float = 0.5,
    seed: int = 0,
    batch_size: int = 32,
) -> Float[Tensor, "n t *spatial"]:
    """Return how far above the mean over all masks the score is while a place is shown, signed, in the units of y.

    Args:
        subject: of which inputs, scores and rescore are used.
        masks: N; fewer are faster and noisier.
        cells: of the coarse grid, one number or one per axis.
        probability: that a cell is shown.
        seed: of the masks.
        batch_size: most masked inputs in one run; halved where memory runs out.

    Raises:
        MethodError: a setting is out of range.
    """
    if not 0 < probability < 1:
        raise MethodError(f"probability is {probability}; it must lie between 0 and 1.")
    inputs = subject.inputs
    size = inputs.shape[2:]
    grid = per_axis(cells, (), size, "cells")
    drawn = seeds(seed, at_least_one(masks, "masks"))
    sums, total = blank(subject), torch.zeros_like(subject.scores)
    shown = torch.zeros(size, dtype=sums.dtype, device=sums.device)
    everyone = torch.arange(len(inputs), device=inputs.device)

    def add(numbers: slice) -> None:
        drawing = [draw_mask(drawn[number], grid, size, probability) for number in range(numbers.start, numbers.stop)]
        batch = torch.stack(drawing).to(sums)
        for row in everyone.split(1):
            seen = (inputs[row].to(precision(subject)) * batch.unsqueeze(1)).to(inputs.dtype)
            # relative to the score of the whole input: what all masks have in common leaves no rounding behind
            change = subject.rescore(seen, row.expand(len(batch))) - subject.scores[row]
            found[row] = torch.einsum("mt,m...->t...", change.to(sums.dtype), batch)
            changes[row] = change.sum(0)
        sums.add_(found)
        total.add_(changes)
        shown.add_(batch.sum(0))

    found, changes = torch.zeros_like(sums), torch.zeros_like(total)
    each_batch(masks, batch_size, add)
    mean = (total / masks).view(*total.shape, *(1,) * len(size)).to(sums.dtype)
    return (sums / shown.where(shown > 0, 1) - mean).where(shown > 0, 0)  # a place that was never shown says nothing


def draw_mask(seed: int, grid: Sequence[int], size: Sequence[int], probability: float) -> Float[Tensor, "*spatial"]:
    """Return one mask of the given size, on the CPU: a coarse grid, upsampled by one cell too many, cut out at random.

    Source: Petsiuk et al. 2018, sec. 3.3, steps 1 to 3.
    """
    source = torch.Generator().manual_seed(seed)
    coarse = (torch.rand(*grid, generator=source, dtype=torch.float32) < probability).float()
    cell = [-(-side // count) for side, count in zip(size, grid, strict=True)]
    large = [(count + 1) * side for count, side in zip(grid, cell, strict=True)]
    mask = F.interpolate(coarse[None, None], size=large, mode=LINEAR[len(size)], align_corners=False)[0, 0]
    begins = [int(torch.randint(side, (), generator=source)) for side in cell]
    return mask[tuple(slice(begin, begin + side) for begin, side in zip(begins, size, strict=True))]
