"""Candidates that nobody named: regions where evidence gathers, or that stand out and go with the score, and cues.

Cues are of the whole input, or columns of a table.
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from math import isfinite
from statistics import fmean
from typing import Any

import torch
from jaxtyping import Bool
from scipy.stats import mannwhitneyu
from torch import Tensor

from heatproof.checks._stats import holm
from heatproof.shortcuts._candidate import Candidate
from heatproof.shortcuts._clusters import Clustering
from heatproof.shortcuts._columns import column_candidates
from heatproof.shortcuts._features import SAME, Feature, Looker, same
from heatproof.shortcuts._global import global_candidates
from heatproof.shortcuts._prevalence import lift, prevalence
from heatproof.shortcuts._regions import WIDE, to_mask
from heatproof.shortcuts._survey import Survey

LITTLE = 0.02
"""Share of the class's evidence below which a cluster is left alone."""
RELATED = 0.3
"""Rank correlation with the log odds from which on what stands out is a candidate."""
COVERED = 0.5
"""Share of a region's samples that its parts cover, from which on it is no candidate of its own."""
EVIDENCE = "evidence share"
"""Names, among the details, what a region holds that was found by its evidence."""
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

    Rank: share of the class's evidence that the regions hold (for what stands out, the rank correlation of showing it
    with the log odds) x share off the object (1 without annotations) x how much more often inputs of the class show it.
    """
    least = max(5, len(rows) // 20) if least is None else least
    features = Looker(survey, rows, clustering, least)
    found: list[Candidate] = []
    known: list[Feature] = []
    for label in survey.kinds(rows):
        for number, one in enumerate(features(label)):
            made = _candidate(survey, rows, label, one, number)
            known += [one] if made else []
            found += made
    found += _standing_out(survey, rows, features.apart(), known)
    found += global_candidates(survey, rows)
    found += column_candidates(survey, rows)
    return _new(_distinct(sorted(found, key=lambda one: -one.rank)))


def _new(found: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates but for regions that others stand for: to ask twice costs the others certainty.

    Of two that are the same the one that holds evidence stays, or the more suspicious one. A mixture covers what it is
    mixed of: the parts stay, which say more clearly what it is, and are as suspicious as it was.
    """
    regions = [one for one in found if one.kind == "region" and one.masks is not None]
    single: list[Candidate] = []
    for one in sorted(regions, key=lambda one: (EVIDENCE not in one.details, -one.rank)):
        if not any(_shared(one, other) >= SAME * _size(one, other) for other in single):
            single.append(one)
    kept: list[Candidate] = []
    ranks: dict[str, float] = {}
    for one in sorted(single, key=lambda one: _size(one)):
        parts = [other for other in kept if _shared(one, other) > COVERED * _size(other)]
        if parts and _shared(one, *parts) > COVERED * _size(one):
            ranks |= {other.name: max(ranks[other.name], one.rank) for other in parts}
        else:
            kept.append(one)
            ranks[one.name] = one.rank
    rest = [one for one in found if one not in regions or one in kept]
    return sorted((replace(one, rank=ranks.get(one.name, one.rank)) for one in rest), key=lambda one: -one.rank)


def _shared(one: Candidate, *others: Candidate) -> int:
    """Return how many samples of a region others cover."""
    assert one.masks is not None
    covered = torch.stack([other.masks for other in others if other.masks is not None]).any(0)
    return int((one.masks & covered).sum())


def _size(*several: Candidate) -> int:
    """Return how many samples one region, or any of several, covers."""
    return int(torch.stack([one.masks for one in several if one.masks is not None]).any(0).sum())


def _distinct(found: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates under names of their own: a column may be called like a cue, two classes alike."""
    taken: dict[str, Candidate] = {}
    for one in found:
        names = (one.name, f"{one.name} ({one.kind})", *(f"{one.name} ({i})" for i in range(2, 2 + len(found))))
        name = next(name for name in names if name not in taken)
        taken[name] = replace(one, name=name)
    return list(taken.values())


def _candidate(survey: Survey, rows: Sequence[int], label: int, one: Feature, number: int) -> list[Candidate]:
    """Return what holds evidence for a class as a candidate; nothing where it is too little or too wide."""
    share = sum(r.share for r in one.members) / len(rows)
    if share < LITTLE:
        return []
    where = "" if survey.annotations is None else " off the object"
    name = f"region {number + 1}{where}, evidence for {survey.model.label(label)}"
    return _region(survey, rows, label, one, name, share, {EVIDENCE: share})


def _standing_out(
    survey: Survey, rows: Sequence[int], features: Sequence[Feature], known: Sequence[Feature]
) -> list[Candidate]:
    """Return what stands out and goes with the log odds as candidates, but for what is known by its evidence."""
    new = [one for one in features if not any(same(one, other) for other in known)]
    index = list(rows)
    related: list[tuple[float, float, int]] = []
    for one in new:
        present = one.places.flatten(1).any(1)
        by_class = [(*_related(survey, index, present, k), k) for k in survey.kinds(rows)]
        rho, p, label = max(by_class)
        # the class was chosen; of two, one says what the other does
        related.append((rho, min(1.0, p * max(1, len(by_class) - 1)), label))
    found: list[Candidate] = []
    for number, (one, (rho, _, label), p) in enumerate(
        zip(new, related, holm([p for _, p, _ in related]), strict=True)
    ):
        if rho >= RELATED and p < survey.alpha:
            name = f"region {number + 1} that stands out, with the score of {survey.model.label(label)}"
            found += _region(survey, rows, label, one, name, rho, {"rank correlation": rho, "p": p})
    return found


def _related(survey: Survey, rows: Sequence[int], present: Bool[Tensor, " n"], label: int) -> tuple[float, float]:
    """Return by how much the odds of inputs that show a feature exceed the others', as a rank correlation, and p.

    Inputs of one cluster count as one that shows it and one that does not. Odds that are no numbers are left out;
    without any on one side nothing is known, which is no relation.
    """
    odds = survey.log_odds(survey.outputs, label)
    groups: dict[tuple[bool, Hashable], list[float]] = {}
    for row in rows:
        if isfinite(float(odds[row])):
            groups.setdefault((bool(present[row]), survey.clusters[row]), []).append(float(odds[row]))
    having, lacking = ([fmean(v) for (has, _), v in groups.items() if has is shows] for shows in (True, False))
    if not having or not lacking:
        return 0.0, 1.0
    told: Any = mannwhitneyu(having, lacking)
    return 2 * float(told.statistic) / (len(having) * len(lacking)) - 1, float(told.pvalue)


def _region(
    survey: Survey, rows: Sequence[int], label: int, one: Feature, name: str, weight: float, details: dict[str, Any]
) -> list[Candidate]:
    """Return a feature as a candidate; nothing where it is as wide as the ground, or nowhere."""
    masks = torch.stack([to_mask(survey, one.places[row], row) for row in range(survey.n)])
    present = masks.flatten(1).any(1)
    learned = present & torch.zeros_like(present).index_fill_(0, torch.tensor(list(rows)), True)
    area = masks[learned].flatten(1).float().mean(1)
    if int(learned.sum()) < 2 or float(area.median()) > WIDE:
        return []
    evidence = survey.class_evidence(label).nan_to_num(0.0).clamp(min=0)
    weights: list[float] = (evidence * one.places).flatten(1).sum(1).tolist()
    more = lift(survey, rows, present, label)
    outside = float(torch.tensor(one.off_object).mean()) if survey.annotations is not None else float("nan")
    showing = sorted((r for r in range(survey.n) if bool(present[r])), key=lambda r: -weights[r])
    without = [r for r in range(survey.n) if not bool(present[r]) and int(survey.labels[r]) == label]
    candidate = Candidate(
        name=name,
        kind="region",
        origin="found",
        label=label,
        present=present,
        masks=masks,
        off_object=outside,
        rank=weight * (outside if outside == outside else 1.0) * more,
        exemplars=tuple(showing[:EXEMPLARS]),
        counter_exemplars=tuple(without[:EXEMPLARS]),
        details={**details, "class lift": more, "stability": one.stability, "members": len(one.members)},
    )
    return [replace(candidate, details={**candidate.details, "prevalence": prevalence(survey, candidate, rows)})]
