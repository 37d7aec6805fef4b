"""Petsiuk et al. 2018, eqs. 3 to 5 and sec. 3.3: the masks upsampled place by place, the two means taken as written."""

from itertools import product

import numpy as np
import torch


def mask(seed, cells, size, probability):
    """Return one mask: draws in the documented order, then linear interpolation between the centers of the cells."""
    source = torch.Generator().manual_seed(seed)
    grid = [min(cells, side) for side in size]
    coarse = (torch.rand(*grid, generator=source, dtype=torch.float32) < probability).numpy().astype(float)
    cell = [int(np.ceil(side / count)) for side, count in zip(size, grid, strict=True)]
    shift = [int(torch.randint(side, (), generator=source)) for side in cell]
    found = np.zeros(size)
    for place in np.ndindex(*size):
        sides = []
        for p, count, side, off in zip(place, grid, cell, shift, strict=True):
            position = (p + off + 0.5) * count / ((count + 1) * side) - 0.5
            position = min(max(position, 0.0), count - 1.0)
            low = int(np.floor(position))
            high = min(low + 1, count - 1)
            sides.append([(low, 1 - (position - low)), (high, position - low)])
        for corners in product(*sides):
            index = tuple(i for i, _ in corners)
            found[place] += coarse[index] * np.prod([w for _, w in corners])
    return found


def reference(chain, x, j, *, masks, cells, probability, seed):
    seeds = torch.randint(2**62, (masks,), generator=torch.Generator().manual_seed(seed)).tolist()
    drawn = [mask(s, cells, x.shape[1:], probability) for s in seeds]
    scores = [chain.score(x * m, j) for m in drawn]
    shown, total = np.zeros(x.shape[1:]), np.zeros(x.shape[1:])
    for m, y in zip(drawn, scores, strict=True):
        shown += m
        total += y * m
    return np.where(shown > 0, total / np.where(shown > 0, shown, 1) - np.mean(scores), 0)
