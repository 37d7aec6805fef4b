"""What regions with evidence for a class have in common: clustered, and found again wherever it lies."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.shortcuts._clusters import Cluster, Clustering, assign, cluster, clusters
from heatproof.shortcuts._descriptors import Space, activations, descriptors
from heatproof.shortcuts._recognize import Recognizer
from heatproof.shortcuts._regions import FREE, Region, regions
from heatproof.shortcuts._salient import standing_out
from heatproof.shortcuts._survey import Survey

LOOKS = 2
"""The second look is at the evidence that the first has not explained: there a weak feature is the strongest."""
STRONG = 0.35
"""Evidence of a region, as a share of the cluster's median, from which on an input counts as showing the feature."""
SAME = 0.5
"""Share of the grid positions of two features, from which on they are one."""


@dataclass(frozen=True, eq=False)
class Feature:
    """What a cluster of regions has in common, in all inputs.

    Attributes:
        members: regions that it was learned from.
        off_object: share off the object of the regions that look like them, in what is learned on.
        places: where it lies.
        stability: of the cluster.
    """

    members: tuple[Region, ...]
    off_object: tuple[float, ...]
    places: Bool[Tensor, "n *grid"]
    stability: float


class Looker:
    """Finds the features of one class after another."""

    def __init__(self, survey: Survey, rows: Sequence[int], clustering: Clustering, least: int) -> None:
        """Read the target layer of every input.

        Args:
            survey: of the model.
            rows: what is learned on.
            clustering: of regions: "hdbscan" or "spectral".
            least: inputs that must show a feature.
        """
        self._survey, self._rows, self._least = survey, set(rows), least
        self._clustering: Clustering = clustering
        self._seen: Float[Tensor, "n k *grid"] = activations(survey)
        self._recognize = Recognizer(survey, rows, self._seen)

    def __call__(self, label: int) -> list[Feature]:
        """Return the features of a class, in all inputs."""
        found: list[Feature] = []
        known = torch.zeros_like(self._seen[:, 0], dtype=torch.bool)
        for _ in range(LOOKS):
            more = self._look(label, known)
            if not more:
                break
            found = _joined([*found, *more])
            known = torch.stack([one.places for one in found]).any(0)
        return found

    def apart(self) -> list[Feature]:
        """Return what stands out from all else in the inputs, whatever evidence lies there."""
        every = standing_out(self._survey, sorted(self._rows), self._recognize)
        return _joined(self._features(every, range(len(every)), again=True))

    def _look(self, label: int, known: Bool[Tensor, "n *grid"]) -> list[Feature]:
        """Return the features of a class but for those that lie at places known."""
        survey = self._survey
        every = regions(survey, range(survey.n), label, known)
        marked = survey.annotations is not None
        # what lies on the marked object is where an expert would look
        pool = [i for i, one in enumerate(every) if not marked or one.off_object >= FREE]
        return self._features(every, pool, again=bool(known.any()))

    def _features(self, every: Sequence[Region], pool: Sequence[int], *, again: bool) -> list[Feature]:
        """Return what regions of a pool have in common; how regions differ is learned from all of them."""
        survey = self._survey
        learned = [i for i, one in enumerate(every) if one.row in self._rows]
        if len(learned) < self._least:
            return []
        groups = descriptors(survey, every, self._seen)
        points = Space({name: values[learned] for name, values in groups.items()})(groups)
        side = [i for i in pool if every[i].row in self._rows]
        own = [
            cluster(points, [side[m] for m in one.members], one.stability)
            for one in clusters(points[side], self._least, how=self._clustering, seed=survey.seed)
        ]
        if survey.annotations is not None and not own and len({every[i].row for i in side}) >= self._least:
            own = [cluster(points, side)]
        joined = assign(points[list(pool)], own).tolist()
        found: list[Feature] = []
        for number, one in enumerate(own):
            mine = [every[i] for i, k in zip(pool, joined, strict=True) if k == number]
            found += self._feature(one, every, mine, again=again)
        return found

    def _feature(
        self, one: Cluster, every: Sequence[Region], joined: Sequence[Region], *, again: bool
    ) -> list[Feature]:
        members = [every[m] for m in one.members]
        known: dict[int, Tensor] = {}
        for region in members:
            known[region.row] = known.get(region.row, torch.zeros_like(region.places)) | region.places
        places = self._recognize(known)
        if again and not bool(places.any()):  # what is left when all is explained is alike in nothing
            return []
        strong = STRONG * float(torch.tensor([r.mass for r in members]).median())
        kept = [r for r in joined if r.mass >= strong]
        for region in kept:
            places[region.row] |= region.places
        off = tuple(r.off_object for r in kept if r.row in self._rows)
        return [Feature(tuple(members), off or tuple(r.off_object for r in members), places, one.stability)]


def same(one: Feature, other: Feature) -> bool:
    """Return whether two features lie at the same places."""
    both, either = (one.places & other.places).sum(), (one.places | other.places).sum()
    return int(both) >= SAME * int(either)


def _joined(features: Sequence[Feature]) -> list[Feature]:
    """Return the features, those that lie at the same places as one: a cluster may hold a part of what is alike."""
    kept: list[Feature] = []
    for one in features:
        for i, other in enumerate(kept):
            if same(one, other):
                kept[i] = Feature(
                    other.members + one.members,
                    other.off_object + one.off_object,
                    other.places | one.places,
                    max(other.stability, one.stability),
                )
                break
        else:
            kept.append(one)
    return kept
