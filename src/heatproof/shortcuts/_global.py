"""Cues of the whole input that go with the model's score: found by rank correlation over the discovering half."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

import torch
from jaxtyping import Float
from scipy.stats import spearmanr
from torch import Tensor

from heatproof.checks._stats import holm
from heatproof.metrics._fields import blurred
from heatproof.plugins import Plugin
from heatproof.shortcuts._candidate import Candidate
from heatproof.shortcuts._fills import wider
from heatproof.shortcuts._prevalence import lift, prevalence
from heatproof.shortcuts._survey import Survey
from heatproof.shortcuts.cues import cues

LEAST = 0.3
"""Rank correlation with the log odds from which on a cue is a candidate."""


def global_candidates(survey: Survey, rows: Sequence[int]) -> list[Candidate]:
    """Return cues whose level goes with the log odds, each for the class that goes with it most."""
    found: list[tuple[float, Candidate]] = []
    for plugin in cues().values():
        candidate = global_candidate(survey, rows, plugin)
        if candidate is not None:
            found.append((candidate.details["p"], candidate))
    adjusted = holm([p for p, _ in found])
    return [
        one for (_, one), p in zip(found, adjusted, strict=True)
        if p < survey.alpha and abs(one.details["rank correlation"]) >= LEAST
    ]  # fmt: skip


def global_candidate(
    survey: Survey, rows: Sequence[int], plugin: Plugin, label: int | None = None, origin: Any = "found"
) -> Candidate | None:
    """Return one cue as a candidate; None where it does not apply or does not vary.

    Args:
        survey: of the model.
        rows: what direction and threshold are learned on.
        plugin: the cue.
        label: the class in question; None takes the one whose log odds go with the cue most.
        origin: "found" or "given".
    """
    levels = measured(survey, plugin)
    if levels is None:
        return None
    index = list(rows)
    labels = survey.kinds(rows) if label is None else [label]
    best: tuple[float, float, int, Tensor] | None = None
    for k in labels:
        odds = survey.log_odds(survey.outputs, k)
        level = levels @ _direction(levels[index], odds[index])
        if float(level[index].std()) <= 1e-9:
            continue
        related: Any = spearmanr(level[index].numpy(), odds[index].numpy())
        rho, p = float(related.statistic), float(related.pvalue)
        if best is None or rho > best[0]:
            best = (rho, p, k, level)
    if best is None:
        return None
    rho, p, k, level = best
    present = level > otsu(level[index])
    if not bool(present[index].any()) or bool(present[index].all()):
        return None
    chosen = torch.zeros(survey.n, dtype=torch.bool)
    chosen[index] = True
    delta = levels[present & chosen].mean(0) - levels[~present & chosen].mean(0)
    order = level.argsort(descending=True).tolist()
    candidate = Candidate(
        name=plugin.title.lower(),
        kind="global",
        origin=origin,
        label=k,
        present=present,
        change=partial(changed, survey, plugin, delta),
        whole=None if survey.annotations is None else partial(changed, survey, plugin, delta, spare=False),
        rank=abs(rho) * lift(survey, rows, present, k) if origin == "found" else float("nan"),
        exemplars=tuple(order[:8]),
        counter_exemplars=tuple(order[::-1][:8]),
    )
    details = {
        "rank correlation": rho, "p": p, "difference": delta.tolist(),
        "prevalence": prevalence(survey, candidate, rows),
    }  # fmt: skip
    return replace(candidate, details=details)


def measured(survey: Survey, plugin: Plugin) -> Float[Tensor, "n k"] | None:
    """Return a cue's level in every input, off the annotated object; None where it does not apply."""
    weight = torch.ones(survey.n, 1, *survey.pixels.shape[2:])
    if survey.annotations is not None:
        free = ~wider(survey.annotations, 3).unsqueeze(1)
        weight = torch.where(free.flatten(1).any(1).reshape(-1, *[1] * (free.ndim - 1)), free.float(), weight)
    low, reach = _scale(survey)
    return plugin.function((survey.pixels - low) / reach, weight)


def changed(
    survey: Survey,
    plugin: Plugin,
    delta: Float[Tensor, " k"],
    rows: Sequence[int],
    amount: float,
    *,
    spare: bool = True,
) -> Float[Tensor, "m c *spatial"]:
    """Return inputs with more or less of a cue, within the valid range.

    An annotated object may be spared, since its own color, contrast and sharpness are what the task is about; then no
    camera ever made such an input. Or it may not, as another scanner spares nothing; then the task may license the
    effect.
    """
    inputs = survey.pixels[list(rows)]
    low, high = survey.limits
    shift: Any = import_module(plugin.module).shift
    _, reach = _scale(survey)
    shifted = low + reach * shift((inputs - low) / reach, amount * delta)
    edited = torch.minimum(torch.maximum(shifted, low), high)
    if survey.annotations is None or not spare:
        return edited
    marked = survey.annotations[list(rows)]
    free = blurred((~wider(marked, 1)).unsqueeze(1).to(inputs), 1.0)
    return torch.where(marked.unsqueeze(1), inputs, inputs + free * (edited - inputs))


def _scale(survey: Survey) -> tuple[Tensor, Tensor]:
    """Return the lower end and the length of the valid range: cues are told inputs in 0..1."""
    low, high = survey.limits
    return low, torch.where(high > low, high - low, 1.0)


def _direction(levels: Float[Tensor, "m k"], odds: Float[Tensor, " m"]) -> Float[Tensor, " k"]:
    """Return the direction of a cue with several numbers that goes with the log odds: ridge regression."""
    if levels.shape[1] == 1:
        rising = float(((levels[:, 0] - levels[:, 0].mean()) * (odds - odds.mean())).sum()) >= 0
        return levels.new_tensor([1.0 if rising else -1.0])
    x = levels - levels.mean(0)
    gram = x.T @ x
    ridge = 0.01 * gram.trace() / len(gram) * torch.eye(len(gram))
    found = torch.linalg.solve(gram + ridge + 1e-12 * torch.eye(len(gram)), x.T @ (odds - odds.mean()))
    return found / found.norm().clamp(min=1e-12)


def otsu(values: Float[Tensor, " m"]) -> float:
    """Return the threshold that parts values into the two groups with the least variance (Otsu 1979)."""
    ordered = values.double().sort().values
    n = len(ordered)
    left = torch.arange(1, n).double()
    low = ordered.cumsum(0)[:-1] / left
    high = (ordered.sum() - ordered.cumsum(0)[:-1]) / (n - left)
    between = left * (n - left) * (high - low).square()
    at = int(between.argmax())
    return float((ordered[at] + ordered[at + 1]) / 2)
