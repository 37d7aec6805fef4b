"""Faithfulness: does the score suffer more from losing what the map calls important than from losing something else?

Statistic: the superiority of the map's symmetric relevance gain (SRG, Blücher et al., 2024, arXiv:2401.06654): the
share of maps of the same smoothness (the map itself shifted or turned, other inputs' maps) whose gain it exceeds, ties
counting half, averaged over imputers that err in different ways; 0.5 where the map knows nothing of its input. Grid
positions are removed as wholes. It has no unit, so that inputs whose scores move more do not outweigh the others.

The verdict needs the imputers to agree: `supports` where the interval lies above 0.5 by more than the margin and that
of every imputer alone lies above 0.5; `undermines` where it lies below that and no imputer alone finds more than that.
Everything else (muFidelity, ROAD, the region test, and the controls, which meet the first imputer only) is exploratory
and in the details.

Assumes that what the imputers put in is like nothing to the model. Cost: some 310 forwards per input at the defaults.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from heatproof.checks._controls import controls
from heatproof.checks._fills import FillSpec, chosen
from heatproof.checks._gain import Gains, gains, mean_over
from heatproof.checks._regions import region_test
from heatproof.checks._rerun import input_tensor, scorer
from heatproof.checks._study import Study
from heatproof.checks._surrogates import surrogates
from heatproof.checks._verdict import FEWEST, LEFT_OUT, above, judge, units
from heatproof.errors import UsageError
from heatproof.metrics.correlation import mu_fidelity
from heatproof.metrics.road import road
from heatproof.types import CheckResult, Interval
from heatproof.types.check import Verdict

NAME = "Faithfulness"
ALIASES = ("masking", "perturbation", "srg")
TIER = "core"
BIBTEX = """
@article{bluecher2024decoupling,
  title   = {Decoupling Pixel Flipping and Occlusion Strategy for Consistent {XAI} Benchmarks},
  author  = {Bl{\\"u}cher, Stefan and Vielhaben, Johanna and Strodthoff, Nils},
  journal = {Transactions on Machine Learning Research},
  year    = {2024}
}
"""

CLAIM = "The score depends more on what the map calls important than on what another map as smooth calls important."
NULL = 0.5
_ROAD = (0.1, 0.3, 0.5, 0.7, 0.9)
_LEAST = 4
"""Grid positions below which there is no order to test."""


def check(
    study: Study,
    *,
    imputers: FillSpec = None,
    margin: float = 0.15,
    steps: int = 6,
    nulls: Sequence[int] = (4, 2, 2),
    region: float = 0.1,
    subsets: int = 30,
    batch: int = 64,
) -> CheckResult:
    """Return whether the maps are faithful, with a verdict on the superiority of their SRG.

    Args:
        study: of a network that takes one tensor.
        imputers: names or functions, see `checks/_fills.py`; None takes two that suit the number of axes.
        margin: superiority above 0.5 up to which the maps count as no better than others.
        steps: of the removal curves.
        nulls: how many maps to compare with: shifted, turned, other inputs'.
        region: share of the grid that the region test masks.
        subsets: random ones, for muFidelity.
        batch: most inputs in one forward.

    Raises:
        InputError: the network takes several tensors.
        UsageError: a setting is out of range.
    """
    if len(nulls) != 3 or any(type(k) is not int or k < 0 for k in nulls) or sum(nulls[:2]) < 1:
        raise UsageError(f"nulls is {tuple(nulls)}; give how many shifted, turned and other inputs' maps, at least 1.")
    if not 0 <= margin < 1 - NULL or not 0 < region < 1:
        raise UsageError(
            f"margin is {margin:g} (0 or more, below 0.5), region {region:g} (above 0, below 1); one is out of range."
        )
    maps = study.explanation.maps.detach()
    if maps[0].numel() < _LEAST:
        return _not_applicable(study, margin, f"The grid has {maps[0].numel()} positions, too few to put in an order.")
    inputs = input_tensor(study)
    fills = chosen(imputers, study.explanation.resolution.spacing, study.seed)
    first = next(iter(fills.values()))
    null_maps, kinds = surrogates(
        maps[:, 0], study.clusters, shifted=nulls[0], turned=nulls[1], others=nulls[2],
        keys=study.keys, generators=study.generators(study.seed),
    )  # fmt: skip
    score = scorer(study)
    shown, spent = controls(maps, inputs, score, first, seeds=study.seeds(study.seed), batch=batch)
    # the controls carry no verdict: one imputer, the one that the oracle asked with, does for them
    found = {
        name: gains(maps, list(shown.values()) if fill is first else [], null_maps, inputs, study, fill, steps, batch)
        for name, fill in fills.items()
    }
    more, columns, cost = _secondary(study, maps, inputs, first, region, subsets, batch)
    superior = mean_over([each.superiority[:, 0] for each in found.values()])

    def answer(study: Study) -> CheckResult:
        value = study.interval(superior)
        verdict, why, needed = _judged(study, superior, value, found, margin)
        against = mean_over([each.over_each[:, 0] for each in found.values()])
        per_control = next(iter(found.values())).superiority[:, 1:]
        control_intervals = {name: study.interval(per_control[:, i]) for i, name in enumerate(shown)}
        details: dict[str, Any] = {
            "imputers": {name: _of_imputer(study, each) for name, each in found.items()},
            "against": {k: study.interval(_of_kind(against, kinds, k)) for k in dict.fromkeys(kinds)},
            "controls": control_intervals,
            "left out": [name for name, s in zip(study.names(), superior.tolist(), strict=True) if s != s],
            **more,
        }
        return CheckResult(
            check="faithfulness",
            claim=CLAIM,
            about="map",
            statistic="superiority of the SRG",
            value=value if value.estimate == value.estimate else None,
            null=Interval(NULL, NULL, NULL, value.level),
            null_name="maps of the same smoothness: " + ", ".join(dict.fromkeys(kinds)),
            ceiling=control_intervals["occlusion oracle"],
            margin=margin,
            alpha=study.alpha,
            n=units(superior, study.clusters),
            unit=study.cluster_name,
            verdict=verdict,
            why=why,
            n_needed=needed,
            forwards=float(spent + cost + sum(each.forwards for each in found.values())),
            per_input=_table(study, superior, found, columns),
            curves=_curves(found),
            details=details,
            settings={
                "seed": study.seed,
                "imputers": list(fills),
                "margin": margin,
                "steps": steps,
                "nulls": list(nulls),
                "region": region,
                "subsets": subsets,
            },
        )

    return study.answered(answer)


def _judged(
    study: Study, superior: Float[Tensor, " n"], value: Interval, found: Mapping[str, Gains], margin: float
) -> tuple[Verdict, str, int | None]:
    """Return the verdict, why, and how many units one would need."""
    missing, n = int(superior.isnan().sum()), units(superior, study.clusters)
    left_out = f" {missing} of {study.n} inputs are left out: a map or a score is NaN or infinite." if missing else ""
    if missing > LEFT_OUT * study.n:
        return "inconclusive", f"Too many inputs give no number.{left_out}", None
    if all(not each.moved.any() for each in found.values()):
        return "inconclusive", "No removal changes any score, so that no map can be told from another.", None
    effect = above(value, NULL)
    verdict, needed = judge(effect, margin, n)
    each = {name: float(one.superiority[:, 0].nanmean()) for name, one in found.items()}
    told = ", ".join(f"{name} {estimate:.2f}" for name, estimate in each.items())
    certain = min(study.interval(one.superiority[:, 0]).low for one in found.values())
    if (verdict == "supports" and certain <= NULL) or (verdict == "undermines" and max(each.values()) > NULL + margin):
        return "inconclusive", f"The imputers disagree ({told}).{left_out}", None
    says: dict[Verdict, str] = {
        "supports": f"Maps beat others as smooth in {value.estimate:.0%} of comparisons",
        "undermines": f"Maps beat others as smooth in only {value.estimate:.0%} of comparisons",
        "inconclusive": f"With {n} {study.cluster_name}(s), a superiority of {value.estimate:.0%} is not decided",
    }
    few = f" A verdict takes {FEWEST} or more." if n < FEWEST else ""
    return verdict, f"{says[verdict]} (null 50%, margin {margin:.0%}; {told}).{few}{left_out}", needed


def _secondary(
    study: Study, maps: Tensor, inputs: Tensor, fill: Any, region: float, subsets: int, batch: int
) -> tuple[dict[str, Any], dict[str, list[float]], int]:
    """Return the exploratory statistics: in words and intervals, as columns of the table, and their cost."""
    score = scorer(study)
    mu = mu_fidelity(maps, inputs, score, imputer=fill, subsets=subsets, seed=study.seed, batch=batch)
    combined = road(maps, inputs, score, removed=_ROAD, batch=batch)
    masked = region_test(
        maps, inputs, score, fill, share=region, generators=study.generators(study.seed + 1), batch=batch
    )
    columns = {
        "muFidelity": mu.values[:, 0],
        "ROAD (combined)": combined.values[:, 0],
        "fall without top region": masked.top,
        "fall without regions elsewhere": masked.elsewhere,
    }
    details = {
        "muFidelity": study.interval(columns["muFidelity"]),
        "ROAD (combined)": study.interval(columns["ROAD (combined)"]),
        "region": {"difference": study.interval(masked.top - masked.elsewhere), "share": masked.share},
    }
    return details, {k: v.tolist() for k, v in columns.items()}, mu.forwards + combined.forwards + masked.forwards


def _of_imputer(study: Study, found: Gains) -> dict[str, Interval]:
    return {
        "superiority": study.interval(found.superiority[:, 0]),
        "gain": study.interval(found.gain),
        "gain above the null": study.interval(found.gain - found.null),
    }


def _of_kind(over_each: Float[Tensor, "n k"], kinds: Sequence[str], kind: str) -> Float[Tensor, " n"]:
    return over_each[:, [i for i, one in enumerate(kinds) if one == kind]].mean(1)


def _table(
    study: Study, superior: Tensor, found: Mapping[str, Gains], columns: dict[str, list[float]]
) -> dict[str, Sequence[Any]]:
    table: dict[str, Sequence[Any]] = {
        "input": list(study.names()),
        "target": [row[0].name for row in study.explanation.targets],
        "superiority": superior.tolist(),
    }
    for name, each in found.items():
        table |= {f"SRG, {name}": each.gain.tolist(), f"SRG of the null, {name}": each.null.tolist()}
    return {**table, **columns}


def _curves(found: Mapping[str, Gains]) -> dict[str, tuple[Sequence[float], Sequence[float]]]:
    named: dict[str, tuple[Sequence[float], Sequence[float]]] = {}
    for name, each in found.items():
        named[f"most influential first, {name}"] = (each.steps, each.most_first)
        named[f"least influential first, {name}"] = (each.steps, each.least_first)
    return named


def _not_applicable(study: Study, margin: float, why: str) -> CheckResult:
    return CheckResult(
        check="faithfulness",
        claim=CLAIM,
        about="map",
        statistic="superiority of the SRG",
        value=None,
        null=None,
        null_name="maps of the same smoothness",
        ceiling=None,
        margin=margin,
        alpha=study.alpha,
        n=len(set(study.clusters)),
        unit=study.cluster_name,
        verdict="not applicable",
        why=why,
        settings={"seed": study.seed, "margin": margin},
    )
