"""Find a feature again wherever it lies, also where it hardly counts: a linear discriminant over grid positions.

Regions are drawn where most of an input's evidence lies, so a weak feature is seen only in the few inputs where nothing
stronger lies beside it. What these few have in common tells the others.
"""

from collections.abc import Mapping, Sequence
from math import sqrt

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.metrics._fields import pooled
from heatproof.shortcuts._regions import FREE, off_object
from heatproof.shortcuts._survey import Survey

RECALL = 0.8
"""Share of the known inputs that would be recognized by the others."""
NEAR = 0.02
"""Scores that differ by less are the same; the middle of the known positions has 1."""
PART = 0.35
"""Share of the score that an input is recognized by, from which on its other positions belong to the feature, too."""
GROUND = 0.75
"""Share of all positions that the known ones must be set apart from: a feature is no matter of the whole ground."""
RIDGE = 0.1
"""Added to each variance, as a share of their mean: a few inputs do not tell all correlations of many channels."""
FEWEST = 3
"""Inputs below which there is nothing that they have in common."""
_POINTS = 10_000
"""Positions that tell what positions look like."""
_AT_ONCE = 2**24
"""Numbers held at once."""


class Recognizer:
    """Tells the grid positions of a feature, by the target layer's activations and by color and texture.

    Source: Fisher 1936, "The use of multiple measurements in taxonomic problems": the direction that tells two groups
    is the inverse covariance times the difference of their means.
    """

    def __init__(self, survey: Survey, rows: Sequence[int], seen: Float[Tensor, "n k *grid"]) -> None:
        """Learn what positions look like.

        Args:
            survey: of the model.
            rows: what is learned on.
            seen: the target layer's activations.
        """
        self._groups = (seen, look(survey, tuple(seen.shape[2:])))
        self._rows = list(rows)
        free = off_object(survey)
        self._free = torch.ones_like(seen[:, 0], dtype=torch.bool) if free is None else free >= FREE
        width = sum(one.shape[1] for one in self._groups)
        self.chunk = max(1, _AT_ONCE // (self._free[0].numel() * width))
        points = self._drawn(torch.Generator().manual_seed(survey.seed))
        self._middle = points.mean(0)
        spread = points.std(0, correction=0)
        # each group counts alike, however many channels it has; what never changes tells nothing
        weight = torch.cat(
            [torch.full((one.shape[1],), 1 / sqrt(one.shape[1]), dtype=torch.float64) for one in self._groups]
        )
        self._scale = torch.where(spread > 1e-9 * (1 + self._middle.abs()), weight / spread, 0.0)
        scaled = (points - self._middle) * self._scale
        covariance = scaled.T @ scaled / len(scaled)
        ridge = RIDGE * covariance.diagonal().mean().clamp(min=1e-12)
        self._precision = torch.linalg.inv(covariance + ridge * torch.eye(width).double())

    def __call__(self, known: Mapping[int, Bool[Tensor, "*grid"]]) -> Bool[Tensor, "n *grid"]:
        """Return the positions of every input that look like the known ones, off the annotated object.

        Args:
            known: number of an input -> where the feature lies in it.
        """
        found = torch.zeros_like(self._free)
        known = {row: free for row, places in known.items() if bool((free := places & self._free[row]).any())}
        if len(known) < FEWEST:
            return found
        sums = {row: self._points(torch.tensor([row]))[0][places].sum(0) for row, places in known.items()}
        counts = {row: int(places.sum()) for row, places in known.items()}
        total, count = torch.stack(list(sums.values())).sum(0), sum(counts.values())
        by_others = [
            self.scores(torch.tensor([row]), (total - sums[row]) / (count - counts[row]))[0][places]
            for row, places in known.items()
        ]
        alike = float(torch.stack([one.mean() for one in by_others]).quantile(1 - RECALL))
        least = float(torch.stack([one.max() for one in by_others]).quantile(1 - RECALL)) - NEAR
        parts = torch.arange(len(found)).split(self.chunk)
        every = torch.cat([self.scores(part, total / count) for part in parts])
        ground = float(np.quantile(every[self._rows][self._free[self._rows]].numpy(), GROUND))
        if alike <= ground or least <= 0:  # no more like each other than like anything else
            return found
        recognized = (every >= least).flatten(1).any(1)
        return (every >= PART * least) & recognized.reshape(-1, *[1] * (every.ndim - 1))

    def scores(self, rows: Tensor, middle: Float[Tensor, " p"]) -> Float[Tensor, "m *grid"]:
        """Return how much each position looks like the middle of a group: 1 there, 0 at the middle of all."""
        direction = self._precision @ middle
        direction = direction / (direction @ middle).clamp(min=1e-12)
        return (self._points(rows) @ direction).masked_fill(~self._free[rows], -torch.inf)

    def distances(self, rows: Tensor) -> Float[Tensor, "m *grid"]:
        """Return how far each position lies from the middle of all, squared, by the spread in each direction."""
        points = self._points(rows)
        return ((points @ self._precision) * points).sum(-1).masked_fill(~self._free[rows], -torch.inf)

    def _points(self, rows: Tensor) -> Float[Tensor, "m *grid p"]:
        points = torch.cat([one[rows].double() for one in self._groups], 1).movedim(1, -1)
        return (points - self._middle) * self._scale

    def _drawn(self, generator: torch.Generator) -> Float[Tensor, "q p"]:
        """Return what random positions off the object look like, as many of each input."""
        most = -(-_POINTS // max(1, len(self._rows)))
        found: list[Tensor] = []
        for row in self._rows:
            free = self._free[row].flatten().nonzero().flatten()
            drawn = free[torch.randperm(len(free), generator=generator)[:most]]
            found.append(torch.cat([one[row].flatten(1)[:, drawn].double() for one in self._groups]).T)
        points = torch.cat(found)
        return points if len(points) else torch.zeros(1, points.shape[1], dtype=torch.float64)


def look(survey: Survey, grid: tuple[int, ...]) -> Float[Tensor, "n d *grid"]:
    """Return mean and deviation of each channel under each position, against the input's middle level."""
    levels = survey.pixels.flatten(2).median(2).values
    apart = survey.pixels - levels.reshape(*levels.shape, *[1] * len(grid))
    mean = pooled(apart, grid)
    return torch.cat([mean, (pooled(apart.square(), grid) - mean.square()).clamp(min=0).sqrt()], 1)
