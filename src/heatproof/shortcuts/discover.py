"""Candidates that nobody named: regions where evidence gathers, or that stand out and go with the score, and cues.

Cues are of the whole input, or columns of a table.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from scipy.stats import mannwhitneyu
from torch import Tensor

from heatproof.checks._stats import holm
from heatproof.shortcuts._candidate import Candidate
from heatproof.shortcuts._clusters import Clustering
from heatproof.shortcuts._columns import column_candidates
from heatproof.shortcuts._features import Feature, Looker, same
from heatproof.shortcuts._global import global_candidates
from heatproof.shortcuts._prevalence import lift, prevalence
from heatproof.shortcuts._regions import WIDE, to_mask
from heatproof.shortcuts._survey import Survey

LITTLE = 0.02
"""Share of the class's evidence below which a cluster is left alone."""
RELATED = 0.3
"""Rank correlation with the log odds from which on what stands out is a candidate."""
COVERED = 0.5
"""Share of a region's samples that smaller ones cover, from which on it is no candidate of its own."""
LIKE = 2.0
"""Up to so many times as large, a region with evidence comes before one that stands out."""
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
    features = Looker(survey, rows, clustering, least)
    found: list[Candidate] = []
    known: list[Feature] = []
    for label in survey.kinds(rows):
        for number, one in enumerate(features(label)):
            known.append(one)
            found += _candidate(survey, rows, label, one, number)
    found += _standing_out(survey, rows, features.apart(), known)
    found += global_candidates(survey, rows)
    found += column_candidates(survey, rows)
    return _new(_distinct(sorted(found, key=lambda one: -one.rank)))


def _new(found: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates but for regions that smaller ones cover: to ask twice costs the others certainty.

    A mixture covers what it is mixed of, so that the smaller ones say more clearly what it is. Of two of like size, the
    one that holds evidence stays.
    """
    covered: Tensor | None = None
    again: set[str] = set()
    for one in sorted((one for one in found if one.kind == "region"), key=_large):
        assert one.masks is not None
        covered = torch.zeros_like(one.masks) if covered is None else covered
        if int((one.masks & covered).sum()) > COVERED * _size(one):
            again.add(one.name)
        else:
            covered = covered | one.masks
    return [one for one in found if one.name not in again]


def _large(one: Candidate) -> float:
    return (1.0 if "evidence share" in one.details else LIKE) * _size(one)


def _size(one: Candidate) -> int:
    return 0 if one.masks is None else int(one.masks.sum())


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
    return _region(survey, rows, label, one, name, share, {"evidence share": share})


def _standing_out(
    survey: Survey, rows: Sequence[int], features: Sequence[Feature], known: Sequence[Feature]
) -> list[Candidate]:
    """Return what stands out and goes with the log odds as candidates, but for what is known by its evidence."""
    new = [one for one in features if not any(same(one, other) for other in known)]
    index = list(rows)
    found: list[tuple[float, list[Candidate]]] = []
    for number, one in enumerate(new):
        present = one.places.flatten(1).any(1)[index]
        related = [(*_related(present, survey.log_odds(survey.outputs, k)[index]), k) for k in survey.kinds(rows)]
        rho, p, label = max(related)
        p = min(1.0, p * max(1, len(related) - 1))  # the class was chosen; of two, one says what the other does
        if rho < RELATED:
            found.append((p, []))
            continue
        name = f"region {number + 1} that stands out, with the score of {survey.model.label(label)}"
        details = {"rank correlation": rho, "p": p}
        found.append((p, _region(survey, rows, label, one, name, rho, details)))
    adjusted = holm([p for p, _ in found])
    return [each for (_, made), p in zip(found, adjusted, strict=True) if p < survey.alpha for each in made]


def _related(present: Bool[Tensor, " m"], odds: Float[Tensor, " m"]) -> tuple[float, float]:
    """Return by how much the odds of inputs that show a feature exceed the others', as a rank correlation, and p.

    Odds that are no numbers are left out; without any on one side nothing is known, which is no relation.
    """
    having, lacking = (odds[group & odds.isfinite()].numpy() for group in (present, ~present))
    if not len(having) or not len(lacking):
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
