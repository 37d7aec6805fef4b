"""Where in the inputs is what a column speaks of? Without an answer there is nothing to edit.

Either a linear probe of the target layer tells those that have it from the others, and its evidence says where (the
ruler), or a cue of the whole input does (a scanner's tint). Both are learned on some inputs and must hold on the rest;
and taking away what the probe points at must take away what it sees.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Bool, Float
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from torch import Tensor

from heatproof.metrics._fields import pooled, to_input
from heatproof.shortcuts._candidate import Candidate
from heatproof.shortcuts._descriptors import activations
from heatproof.shortcuts._edits import removed
from heatproof.shortcuts._fills import membrane, wider
from heatproof.shortcuts._global import changed, measured
from heatproof.shortcuts._regions import WIDE
from heatproof.shortcuts._survey import Survey
from heatproof.shortcuts.cues import cues

TELLS = 0.85
"""Area under the ROC curve, on inputs that nothing was learned on, from which on a cue or a probe tells."""
RARE = 0.02
"""Share of grid positions of inputs without the feature that may look as much like it as those called by its name."""
LEFT = 0.5
"""Share of what the probe sees that may be left after removal."""


def located(survey: Survey, candidate: Candidate, rows: Sequence[int]) -> Candidate:
    """Return the candidate with a change, or with masks; as it is, with a note in its details, where neither holds.

    Args:
        survey: of the model.
        candidate: known by name alone.
        rows: what is learned on.
    """
    rows = [row for row in rows if row not in survey.unmarked]
    place = _as_region(survey, candidate, rows)
    if isinstance(place, Candidate):
        return place
    # only now: a large thing in one place moves medians a little, too
    cue = _as_cue(survey, candidate, rows)
    return cue or replace(candidate, details={**candidate.details, "not located": place})


def _as_cue(survey: Survey, candidate: Candidate, rows: Sequence[int]) -> Candidate | None:
    """Return the candidate as a change of the cue that tells best who has it."""
    has, index, rest = candidate.present, list(rows), _rest(survey, rows)
    best: tuple[float, Candidate] | None = None
    for plugin in cues().values():
        levels = measured(survey, plugin)
        if levels is None or _one_sided(has[index]):
            continue
        delta = levels[index][has[index]].mean(0) - levels[index][~has[index]].mean(0)
        spread = levels[index].std(0).clamp(min=1e-9)
        told = (levels / spread) @ (delta / spread)
        tells = min(_auc(has, told, part) for part in (index, rest))
        if tells >= TELLS and (best is None or tells > best[0]):
            change = partial(changed, survey, plugin, delta)
            whole = None if survey.annotations is None else partial(change, spare=False)
            details = {**candidate.details, "located": f"by {plugin.title.lower()}", "tells": tells}
            best = (tells, replace(candidate, change=change, whole=whole, details=details))
    return best[1] if best else None


def _as_region(survey: Survey, candidate: Candidate, rows: Sequence[int]) -> Candidate | str:
    """Return the candidate with masks where a probe of the layer finds it, or why there are none."""
    has, index, rest = candidate.present, list(rows), _rest(survey, rows)
    if _one_sided(has[index]) or _one_sided(has[rest]):
        return "In one half of the inputs all have it, or none, so that nothing can be learned of it."
    seen = activations(survey)
    free = _free(survey, seen)
    weight = _probe(_mean(seen, free)[index], has[index], survey.labels[index])
    if weight is None:
        return "The layer's activations do not tell who has it."
    field = torch.einsum("nk...,k->n...", seen, weight) * free
    told = _mean(seen, free) @ weight
    tells = min(_auc(has, told, part) for part in (index, rest))
    if tells < TELLS:
        return f"A probe of the layer tells who has it with an area under the curve of {tells:.2f}, too little."
    usual = field[index][~has[index]]
    cut = float(torch.quantile(usual.flatten()[:1_000_000], 1 - RARE))
    masks = to_input(((field > cut) & has.reshape(-1, *[1] * (field.ndim - 1))).float(), survey.pixels.shape[2:])
    step = max(1, int(max(survey.explanation.resolution.spacing) / 2))
    masks = wider(masks[:, 0] > 0.5, step)
    if survey.annotations is not None:
        masks = masks & ~wider(survey.annotations, 2)
    there = masks.flatten(1).any(1)
    area = masks.flatten(1).float().mean(1)[there]
    if int(there.sum()) < int(has.sum()) / 2 or float(area.median()) > WIDE:
        return "A probe of the layer sees it in too few inputs or all over, so that no place can be taken away."
    left = _left(survey, masks, [r for r in rest if bool(there[r])], weight, told, has)
    if not left <= LEFT:
        return f"Taking away the places where a probe of the layer sees it leaves {left:.0%} of what it sees."
    details = {**candidate.details, "located": "by a probe of the layer", "tells": tells, "left after removal": left}
    off = float("nan") if survey.annotations is None else 1.0
    return replace(candidate, masks=masks, off_object=off, details=details)


def _probe(features: Float[Tensor, "m k"], has: Bool[Tensor, " m"], labels: Tensor) -> Float[Tensor, " k"] | None:
    """Return the weights of a ridge logistic regression in which the feature says nothing about the class.

    Each cell of feature and class weighs the same, so that what goes with the class alone has no weight.
    """
    spread = features.std(0)
    scaled = (features - features.mean(0)) / torch.where(spread > 1e-9, spread, torch.inf)
    cells = has.long() + 2 * labels
    counts = cells.bincount()
    weight = (1 / counts[cells].double()).numpy()
    fitted = LogisticRegression(C=1.0, max_iter=1000).fit(
        scaled.double().numpy(), has.numpy(), sample_weight=weight * len(has) / weight.sum()
    )
    found = torch.from_numpy(fitted.coef_[0]).to(features) / torch.where(spread > 1e-9, spread, torch.inf)
    return found if bool(found.any()) else None


def _left(
    survey: Survey,
    masks: Bool[Tensor, "n *spatial"],
    rows: Sequence[int],
    weight: Float[Tensor, " k"],
    told: Float[Tensor, " n"],
    has: Bool[Tensor, " n"],
) -> float:
    """Return the share of what the probe sees in inputs that have the feature that is there after its removal."""
    rows = list(rows)[: survey.batch]
    if not rows:
        return float("nan")
    edited = removed(survey, masks[rows], rows, membrane(survey.seed))
    seen = activations(survey, edited)
    after = (_mean(seen, _free(survey, seen, rows)) @ weight).mean()
    before, none = told[rows].mean(), told[~has].mean()
    return float((after - none) / (before - none))


def _free(survey: Survey, seen: Tensor, rows: Sequence[int] | None = None) -> Float[Tensor, "m *grid"]:
    """Return how much of each grid position lies off the object; 1 without annotations."""
    if survey.annotations is None:
        return torch.ones(len(seen), *seen.shape[2:])
    marked = survey.annotations if rows is None else survey.annotations[list(rows)]
    return pooled((~marked).float().unsqueeze(1), tuple(seen.shape[2:]))[:, 0]


def _mean(seen: Float[Tensor, "m k *grid"], free: Float[Tensor, "m *grid"]) -> Float[Tensor, "m k"]:
    """Return each channel's mean off the object."""
    weight = free.flatten(1).unsqueeze(1)
    return (seen.flatten(2) * weight).sum(2) / weight.sum(2).clamp(min=1e-6)


def _rest(survey: Survey, rows: Sequence[int]) -> list[int]:
    inside = {*rows, *survey.unmarked}
    return [row for row in range(survey.n) if row not in inside]


def _one_sided(has: Bool[Tensor, " m"]) -> bool:
    return not 0 < int(has.sum()) < len(has)


def _auc(has: Bool[Tensor, " n"], told: Float[Tensor, " n"], rows: Sequence[int]) -> float:
    if _one_sided(has[list(rows)]):
        return 0.0
    return float(roc_auc_score(has[list(rows)].numpy(), told[list(rows)].detach().numpy()))
