"""Candidates that nobody named: regions where evidence gathers, and cues of the whole input that go with the score."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from heatproof.shortcuts._candidate import Candidate
from heatproof.shortcuts._clusters import Cluster, Clustering, assign, cluster, clusters
from heatproof.shortcuts._columns import column_candidates
from heatproof.shortcuts._descriptors import Space, activations, descriptors
from heatproof.shortcuts._global import global_candidates
from heatproof.shortcuts._prevalence import lift, prevalence
from heatproof.shortcuts._regions import FREE, Region, regions, to_mask
from heatproof.shortcuts._survey import Survey

STRONG = 0.35
"""Evidence of a region, as a share of the cluster's median, from which on an input counts as showing the feature."""
LITTLE = 0.02
"""Share of the class's evidence below which a cluster is left alone."""
WIDE = 0.45
"""Share of the input from which on a region is no place but the whole ground."""
MOST_CLASSES = 10
EXEMPLARS = 8


def discover(
    survey: Survey, rows: Sequence[int], *, clustering: Clustering = "hdbscan", least: int | None = None
) -> list[Candidate]:
    """Return candidates, the most suspicious first: learned on some inputs, and looked for in all.

    Args:
        survey: of the model.
        rows: the discovering half.
        clustering: "hdbscan", or "spectral" as in SpRAy.
        least: inputs that must show a feature; None takes 5, or a twentieth of the rows if that is more.

    Rank: share of the class's evidence that the regions hold x share off the object (1 without annotations) x how much
    more often inputs of the class show it.
    """
    least = max(5, len(rows) // 20) if least is None else least
    seen = activations(survey)
    kinds = [int(k) for k in torch.cat(survey.compared()).bincount().argsort(descending=True, stable=True)]
    found: list[Candidate] = []
    for label in kinds[:MOST_CLASSES]:
        found += _of_class(survey, rows, label, seen, clustering, least)
    found += global_candidates(survey, rows)
    found += column_candidates(survey, rows)
    return sorted(found, key=lambda one: -one.rank)


def _of_class(
    survey: Survey, rows: Sequence[int], label: int, seen: Tensor, clustering: Clustering, least: int
) -> list[Candidate]:
    every = regions(survey, range(survey.n), label)
    inside = set(rows)
    learned = [i for i, one in enumerate(every) if one.row in inside]
    if len(learned) < least:
        return []
    groups = descriptors(survey, every, seen)
    points = Space({name: values[learned] for name, values in groups.items()})(groups)
    marked = survey.annotations is not None
    # what lies on the marked object is where an expert would look
    pool = [i for i, one in enumerate(every) if not marked or one.off_object >= FREE]
    side = [i for i in pool if every[i].row in inside]
    own = [
        cluster(points, [side[m] for m in one.members], one.stability)
        for one in clusters(points[side], least, how=clustering, seed=survey.seed)
    ]
    if marked and not own and len({every[i].row for i in side}) >= least:
        own = [cluster(points, side)]
    joined = assign(points[pool], own).tolist()
    candidates: list[Candidate] = []
    for number, one in enumerate(own):
        mine = [every[i] for i, k in zip(pool, joined, strict=True) if k == number]
        candidates += _candidate(survey, rows, label, one, mine, [every[m] for m in one.members], number)
    return candidates


def _candidate(
    survey: Survey,
    rows: Sequence[int],
    label: int,
    one: Cluster,
    joined: Sequence[Region],
    members: Sequence[Region],
    number: int,
) -> list[Candidate]:
    strong = STRONG * float(torch.tensor([r.mass for r in members]).median())
    kept = [r for r in joined if r.mass >= strong]
    of_row: dict[int, list[Region]] = {}
    for region in kept:
        of_row.setdefault(region.row, []).append(region)
    masks = torch.stack([to_mask(survey, of_row.get(row, []), row) for row in range(survey.n)])
    present = masks.flatten(1).any(1)
    area = masks.flatten(1).float().mean(1)[present]
    if int(present[list(rows)].sum()) < 2 or float(area.median()) > WIDE:
        return []
    weights = [sum(r.mass for r in of_row.get(row, [])) for row in range(survey.n)]
    off = torch.tensor([r.off_object for r in kept])
    share = sum(r.share for r in members) / len(rows)
    if share < LITTLE:
        return []
    more = lift(survey, rows, present, label)
    outside = float(off.mean()) if survey.annotations is not None else float("nan")
    rank = share * (outside if outside == outside else 1.0) * more
    showing = sorted((r for r in range(survey.n) if bool(present[r])), key=lambda r: -weights[r])
    without = [r for r in range(survey.n) if not bool(present[r]) and int(survey.labels[r]) == label]
    where = " off the object" if outside == outside else ""
    candidate = Candidate(
        name=f"region {number + 1}{where}, evidence for {survey.model.label(label)}",
        kind="region",
        origin="found",
        label=label,
        present=present,
        masks=masks,
        off_object=outside,
        rank=rank,
        exemplars=tuple(showing[:EXEMPLARS]),
        counter_exemplars=tuple(without[:EXEMPLARS]),
        details={
            "evidence share": share,
            "class lift": more,
            "stability": one.stability,
            "members": len(one.members),
        },
    )
    table = prevalence(survey, candidate, rows)
    details = {**candidate.details, "prevalence": table}
    return [replace(candidate, details=details)]
