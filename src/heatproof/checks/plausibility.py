"""Plausibility: is the evidence where an expert would look?

Localization, agreement with annotation; a question of its own: a faithful map of a model that is wrong is implausible,
and a plausible map may say nothing about the model. Primary statistic: relevance rank (Arras et al. 2022, "CLEVR-XAI":
the share of the k highest places that lie in the annotation of k places), on the map's own grid. It must exceed, by the
margin, both what a random map reaches (the annotation's share of the area) and what a center prior reaches, for experts
and photographers put things in the middle.

Low plausibility where faithfulness was found means: suspect the model. Where it was not found: suspect the map.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.checks._stats import bootstrap, proportion
from heatproof.checks._study import Study
from heatproof.checks._verdict import FEWEST, above, judge, units
from heatproof.errors import UsageError
from heatproof.metrics.localization import (
    area_share,
    average_precision,
    pointing_game,
    relevance_mass,
    relevance_rank,
    to_grid,
)
from heatproof.types import CheckResult, Interval, Verdict

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
AREA, CENTER = "the annotation's share of the area", "a center prior"
STRATA = {"small (< 10 % of the area)": (0.0, 0.1), "medium": (0.1, 0.3), "large (> 30 %)": (0.3, 1.01)}


def check(study: Study, *, margin: float = 0.05) -> CheckResult:
    """Compare the maps with the annotations.

    Args:
        study: with annotations; inputs are left out whose annotation is empty, lies outside of the model's view, or
            covers so much that no map could exceed its area by the margin.
        margin: how far relevance rank must exceed both nulls to support the claim.

    Raises:
        UsageError: there are no annotations, or none that the model can see; the margin is out of range.
    """
    if study.annotations is None:
        raise UsageError("Plausibility compares maps with annotations; pass annotations=, one mask per input.")
    if not 0 <= margin < 1:
        raise UsageError(
            f"margin is {margin:g}; give how far relevance rank must exceed the nulls, 0 or more, below 1."
        )
    maps = study.explanation.maps.detach().double().cpu()
    grid = tuple(maps.shape[2:])
    masks = to_grid(study.annotations.unsqueeze(1), grid)
    marked = masks.flatten(1).any(1)
    if not bool(marked.any()):
        raise UsageError("No annotation lies in the model's view; check their sizes and the order of the inputs.")
    rank = relevance_rank(maps, masks)[:, 0]
    area = area_share(masks)[:, 0]
    roomy = 1 - area > margin  # no map could exceed the area's share by the margin on the others
    used = marked & roomy & rank.isfinite()
    center = relevance_rank(_center_prior(grid).expand_as(maps), masks)[:, 0]
    columns = {"relevance_rank": rank, "area_share": area, "center_prior": center}
    columns = {name: each.where(marked, torch.nan) for name, each in columns.items()}
    rank, area, center = (each.where(used, torch.nan) for each in (rank, area, center))
    left_out = {
        "nothing marked": int((~marked).sum()),
        "marked all over": int((marked & ~roomy).sum()),
        "no map": int((marked & roomy & ~used).sum()),
    }

    def answer(study: Study) -> CheckResult:
        at: dict[str, Any] = {"clusters": study.clusters, "seed": study.seed, "level": 1 - study.alpha}
        lifts = {AREA: _lift(rank, area, at), CENTER: _lift(rank, center, at)}
        n = units(rank, study.clusters)
        judged = {name: judge(lift, margin, n) for name, lift in lifts.items()}
        # The null that decided is the one that is shown: both must be exceeded, and one that is not is enough.
        name = min(
            lifts, key=lambda each: (judged[each][0] != "undermines", judged[each][0] == "supports", lifts[each].low)
        )
        verdict, needed = judged[name]
        null = bootstrap(area if name == AREA else center, **at)
        return CheckResult(
            check="plausibility",
            claim="The evidence lies where the annotations are.",
            about="model",
            statistic="relevance rank",
            value=bootstrap(rank, **at) if n else None,
            null=null if n else None,
            null_name=name,
            ceiling=None,
            margin=margin,
            alpha=study.alpha,
            n=n,
            unit=study.cluster_name,
            verdict=verdict,
            why=_why(verdict, lifts[name].estimate, n, needed, left_out),
            n_needed=needed,
            forwards=1.0,
            per_input={
                "input": study.names(),
                **{name: each.tolist() for name, each in columns.items()},
                "relevance_mass": relevance_mass(maps, masks)[:, 0].tolist(),
                "pointing_game": pointing_game(maps, masks)[:, 0].tolist(),
                "average_precision": average_precision(maps, masks)[:, 0].tolist(),
            },
            details={
                "lift_over_area": lifts[AREA],
                "lift_over_center_prior": lifts[CENTER],
                "strata": _strata(rank, area, study, at),
                "left_out": left_out,
                "grid": grid,
            },
            settings={"margin": margin, "seed": study.seed},
        )

    return study.answered(answer)


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


def _lift(rank: Float[Tensor, " n"], null: Float[Tensor, " n"], at: Mapping[str, Any]) -> Interval:
    """Return the interval of the mean lift over a null.

    Where the highest places hit or miss as a whole (points, small objects) a bootstrap of few would be certain of what
    it never saw, and the exact interval of the share of hits takes the null's mean as known, which it is not where the
    null hits or misses too. What both allow then counts.
    """
    paired = bootstrap(rank - null, **at)
    used = ~rank.isnan()
    if not bool(used.any()) or not bool(((rank[used] == 0) | (rank[used] == 1)).all()):
        return paired
    clusters = [cluster for cluster, kept in zip(at["clusters"], used.tolist(), strict=True) if kept]
    hits = proportion(rank[used] == 1, clusters, seed=at["seed"], level=at["level"])
    known = above(hits, float(null[used].mean()))
    return Interval(known.estimate, min(known.low, paired.low), max(known.high, paired.high), known.level)


def _why(verdict: Verdict, lift: float, n: int, needed: int | None, left_out: Mapping[str, int]) -> str:
    told = [f"{count} {name}" for name, count in left_out.items() if count]
    rest = f" {sum(left_out.values())} inputs are left out: {', '.join(told)}." if told else ""
    points = f"{100 * lift:.0f} percentage points"
    if verdict == "supports":
        return f"The highest places lie in the annotations more often than under the harder null, by {points}.{rest}"
    if verdict == "undermines":
        return f"The map meets the annotations no better than chance or than a center prior (lift: {points}).{rest}"
    if n < FEWEST:
        few = f"A verdict takes {FEWEST} or more annotated units; there are {n}"
        return f"{few} (lift: {points}).{rest}" if n else f"{few}.{rest}"
    more = f"; about {needed} would be needed" if needed else ""
    return f"With {n} annotated units a lift of {points} lies on no side of the margin for certain{more}.{rest}"
