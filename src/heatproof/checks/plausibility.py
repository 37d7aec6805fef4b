"""Plausibility: is the evidence where an expert would look?

Localization, agreement with annotation; a question of its own: a faithful map of a model that is wrong is implausible,
and a plausible map may say nothing about the model. Primary statistic: relevance rank (Arras et al. 2022, "CLEVR-XAI":
the share of the k highest places that lie in the annotation of k places), on the map's own grid. It must exceed, by the
margin, both what a random map reaches (the annotation's share of the area) and what a center prior reaches, for experts
and photographers put things in the middle.

Low plausibility where faithfulness was found means: suspect the model. Where it was not found: suspect the map.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.checks._stats import bootstrap, decide, n_needed
from heatproof.checks._study import Study
from heatproof.errors import UsageError
from heatproof.metrics.localization import (
    area_share,
    average_precision,
    pointing_game,
    relevance_mass,
    relevance_rank,
    to_grid,
)
from heatproof.types import CheckResult, Verdict

NAME = "Plausibility"
ALIASES = ("localization",)
TIER = "core"
BIBTEX = """
@article{arras2022clevr,
  title   = {CLEVR-XAI: A Benchmark Dataset for the Ground Truth Evaluation of Neural Network Explanations},
  author  = {Arras, Leila and Osman, Ahmed and Samek, Wojciech},
  journal = {Information Fusion},
  volume  = {81},
  pages   = {14--40},
  year    = {2022}
}
"""
STRATA = {"small (< 10 % of the area)": (0.0, 0.1), "medium": (0.1, 0.3), "large (> 30 %)": (0.3, 1.01)}
MINIMUM = 5
"""Fewest annotated inputs (or clusters) that a verdict is given for."""


def check(study: Study, *, margin: float = 0.05) -> CheckResult:
    """Compare the maps with the annotations.

    Args:
        study: with annotations; inputs whose annotation is empty, or lies outside of the model's view, are left out.
        margin: how far relevance rank must exceed both nulls to support the claim.

    Raises:
        UsageError: there are no annotations, or none that the model can see.
    """
    if study.annotations is None:
        raise UsageError("Plausibility compares maps with annotations; pass annotations=, one mask per input.")
    maps = study.explanation.maps.detach().double().cpu()
    grid = tuple(maps.shape[2:])
    masks = to_grid(study.annotations.unsqueeze(1), grid)
    used = masks.flatten(1).any(1)
    if not bool(used.any()):
        raise UsageError("No annotation lies in the model's view; check their sizes and the order of the inputs.")
    prior = _center_prior(grid).expand_as(maps)
    rank, center = relevance_rank(maps, masks)[:, 0], relevance_rank(prior, masks)[:, 0]
    area = area_share(masks)[:, 0].where(used, torch.nan)
    level = 1 - study.alpha
    at: dict[str, Any] = {"clusters": study.clusters, "seed": study.seed, "level": level}
    over_area, over_center = bootstrap(rank - area, **at), bootstrap(rank - center, **at)
    # the harder of the two nulls is the one that is shown
    null = bootstrap(area, **at) if over_area.estimate <= over_center.estimate else bootstrap(center, **at)
    lift = over_area if over_area.estimate <= over_center.estimate else over_center
    units = len({c for c, kept in zip(study.clusters, used.tolist(), strict=True) if kept})
    verdict: Verdict = "inconclusive"
    if units >= MINIMUM and decide(over_area, margin).beyond and decide(over_center, margin).beyond:
        verdict = "supports"
    elif units >= MINIMUM and (decide(over_area, margin).at_most or decide(over_center, margin).at_most):
        verdict = "undermines"
    needed = n_needed(lift, margin, units) if verdict == "inconclusive" else None
    return CheckResult(
        check="plausibility",
        claim="The evidence lies where the annotations are.",
        about="model",
        statistic="relevance rank",
        value=bootstrap(rank, **at),
        null=null,
        null_name="the annotation's share of the area" if lift is over_area else "a center prior",
        ceiling=None,
        margin=margin,
        alpha=study.alpha,
        n=units,
        unit=study.cluster_name,
        verdict=verdict,
        why=_why(verdict, lift.estimate, units, needed),
        n_needed=max(needed or 0, MINIMUM) if verdict == "inconclusive" else None,
        forwards=1.0,
        per_input={
            "input": study.names(),
            "relevance_rank": rank.tolist(),
            "area_share": area.tolist(),
            "center_prior": center.tolist(),
            "relevance_mass": relevance_mass(maps, masks)[:, 0].tolist(),
            "pointing_game": pointing_game(maps, masks)[:, 0].tolist(),
            "average_precision": average_precision(maps, masks)[:, 0].tolist(),
        },
        details={
            "lift_over_area": over_area,
            "lift_over_center_prior": over_center,
            "strata": _strata(rank, area, study, at),
            "left_out": int((~used).sum()),
            "grid": grid,
        },
        settings={"margin": margin, "seed": study.seed},
    )


def _center_prior(grid: Sequence[int]) -> Float[Tensor, "1 1 *grid"]:
    """Return a Gaussian at the center, a quarter of each side wide."""
    prior = torch.ones((), dtype=torch.float64)
    for size in grid:
        at = (torch.arange(size, dtype=torch.float64) + 0.5) / size - 0.5
        prior = prior.unsqueeze(-1) * torch.exp(-0.5 * (at / 0.25) ** 2)
    return prior[None, None]


def _strata(
    rank: Float[Tensor, " n"], area: Float[Tensor, " n"], study: Study, at: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return count and mean lift over chance for small, medium and large annotations: exploratory."""
    found: dict[str, dict[str, Any]] = {}
    for name, (low, high) in STRATA.items():
        inside: Bool[Tensor, " n"] = (area >= low) & (area < high)
        if bool(inside.any()):
            lift = bootstrap((rank - area).where(inside, torch.nan), **at)
            found[name] = {"inputs": int(inside.sum()), "lift_over_area": lift}
    return found


def _why(verdict: Verdict, lift: float, units: int, needed: int | None) -> str:
    if verdict == "supports":
        return f"The highest places lie in the annotations {lift:.0%} more often than under the harder of two nulls."
    if verdict == "undermines":
        return f"The map meets the annotations no better than chance or than a center prior (lift {lift:.0%})."
    more = f"; about {max(needed, MINIMUM)} would be needed" if needed else ""
    return f"With {units} annotated units the lift of {lift:.0%} lies on no side of the margin for certain{more}."
