"""Does the region that the map marks violate a conservation law more than the rest of the input?"""

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.checks._acted import originals, to_grid
from heatproof.checks._causal import top as top_of
from heatproof.checks._study import Study
from heatproof.checks._twins import masked
from heatproof.checks._verdict import judge, units
from heatproof.physics import Balance
from heatproof.types import CheckResult, Input


def conservation(study: Study, balance: Balance, *, region: float, margin: float) -> CheckResult:
    """Return whether the evidence lies where the balance holds as well as elsewhere.

    The violation is the sum of the terms relative to the mean of their sizes over the input: 0 where the law holds.
    """
    maps = masked(study.explanation.maps, study.explanation.scores)[:, 0]
    grid = tuple(maps.shape[1:])
    each = zip(originals(study), study.explanation.geometries, strict=True)
    broken = torch.stack([to_grid(violation(one, balance), geometry, grid) for one, geometry in each])
    inside = torch.stack([_mean(b, top_of(m, region)) for m, b in zip(maps, broken, strict=True)])
    outside = torch.stack([_mean(b, ~top_of(m, region)) for m, b in zip(maps, broken, strict=True)])

    def answer(study: Study) -> CheckResult:
        # the claim is that the violation is no higher: the sign is turned, so that "supports" is the claim
        effect = study.interval(outside - inside)
        n = units(inside - outside, study.clusters)
        told = f"violation {_told(inside)} in the marked region, {_told(outside)} elsewhere; margin {margin:g}"
        verdict, needed = judge(
            type(effect)(effect.estimate + margin, effect.low + margin, effect.high + margin, effect.level), 0.0, n
        )
        says = {
            "supports": f"Not refuted: the marked region obeys {balance.name} about as well as the rest ({told}).",
            "undermines": f"The marked region violates {balance.name} more than the rest, as an artifact would "
            f"({told}).",
            "inconclusive": f"It is not decided whether the marked region violates {balance.name} more ({told}).",
        }
        value, null = study.interval(inside), study.interval(outside)
        return CheckResult(
            check="physics",
            claim=f"The map marks what obeys the law: {balance.name}.",
            about="map",
            statistic=f"violation of {balance.name}",
            value=value if value.estimate == value.estimate else None,
            null=null if null.estimate == null.estimate else None,
            null_name="the rest of the input",
            ceiling=None,
            margin=margin,
            alpha=study.alpha,
            n=n,
            unit=study.cluster_name,
            verdict=verdict,
            why=says[verdict],
            n_needed=needed,
            forwards=0.0,
            per_input={
                "input": list(study.names()),
                "violation, marked": inside.tolist(),
                "violation, elsewhere": outside.tolist(),
            },
            details={"compared": f"the {region:.0%} of the grid with the strongest evidence, and the rest"},
            settings={"seed": study.seed, "region": region, "margin": margin},
        )

    return study.answered(answer)


def violation(one: Input, balance: Balance) -> Float[Tensor, "*spatial"]:
    """Return the size of the sum of a balance's terms, relative to the mean over the input of their sizes' sum."""
    terms = balance.terms(one)
    size = terms.abs().sum(0).mean()
    return terms.sum(0).abs() / size if float(size) > 0 else torch.zeros_like(terms[0])


def _mean(values: Tensor, where: Tensor) -> Tensor:
    return values[where].nanmean()


def _told(values: Tensor) -> str:
    return f"{float(values.nanmean()):.3f}"
