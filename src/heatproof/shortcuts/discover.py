"""Candidates that nobody named: regions where evidence gathers, and cues of the whole input that go with the score."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from heatproof.shortcuts._candidate import Candidate
from heatproof.shortcuts._clusters import Clustering
from heatproof.shortcuts._columns import column_candidates
from heatproof.shortcuts._features import Feature, Looker
from heatproof.shortcuts._global import global_candidates
from heatproof.shortcuts._prevalence import lift, prevalence
from heatproof.shortcuts._regions import to_mask
from heatproof.shortcuts._survey import Survey

LITTLE = 0.02
"""Share of the class's evidence below which a cluster is left alone."""
WIDE = 0.45
"""Share of the input from which on a region is no place but the whole ground."""
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
    for label in survey.kinds(rows):
        for number, one in enumerate(features(label)):
            found += _candidate(survey, rows, label, one, number)
    found += global_candidates(survey, rows)
    found += column_candidates(survey, rows)
    return _distinct(sorted(found, key=lambda one: -one.rank))


def _distinct(found: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates under names of their own: a column may be called like a cue, two classes alike."""
    taken: dict[str, Candidate] = {}
    for one in found:
        names = (one.name, f"{one.name} ({one.kind})", *(f"{one.name} ({i})" for i in range(2, 2 + len(found))))
        name = next(name for name in names if name not in taken)
        taken[name] = replace(one, name=name)
    return list(taken.values())


def _candidate(survey: Survey, rows: Sequence[int], label: int, one: Feature, number: int) -> list[Candidate]:
    masks = torch.stack([to_mask(survey, one.places[row], row) for row in range(survey.n)])
    present = masks.flatten(1).any(1)
    learned = present & torch.zeros_like(present).index_fill_(0, torch.tensor(list(rows)), True)
    area = masks[learned].flatten(1).float().mean(1)
    if int(learned.sum()) < 2 or float(area.median()) > WIDE:
        return []
    evidence = survey.class_evidence(label).nan_to_num(0.0).clamp(min=0)
    weights: list[float] = (evidence * one.places).flatten(1).sum(1).tolist()
    off = torch.tensor(one.off_object)
    share = sum(r.share for r in one.members) / len(rows)
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
