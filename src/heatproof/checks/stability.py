"""Stability: does the map stay as it is where the input hardly changes?

Statistic: Spearman's rho of the map with that of the same input after a change that should not matter, averaged over
the kinds of change: a little noise; a shift by one sample along each axis, the map shifted back; JPEG compression,
where the inputs are pictures. The null is what maps of different inputs have in common. `supports` where rho exceeds it
by more than the margin, under every kind of change; `undermines` where it does not. Where maps of different inputs are
as alike as that already, nothing can be told. Two runs on the same input must agree exactly.

A stable map need not be right: a constant explanation is the most stable of all (Alvarez-Melis and Jaakkola 2018,
"On the robustness of interpretability methods", arXiv:1806.08049, ask for more than this: all changes, not some).
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.checks._changes import recompressed, shifted, shifted_back
from heatproof.checks._levels import pairs
from heatproof.checks._rerun import input_tensor, with_inputs
from heatproof.checks._stats import decide, n_needed, pair_values
from heatproof.checks._study import Study
from heatproof.checks._twins import jittered, layers_of, maps_for, masked, seeds
from heatproof.checks._verdict import FEWEST, LEFT_OUT, judge, units
from heatproof.errors import UsageError
from heatproof.metrics.similarity import spearman
from heatproof.types import CheckResult, Interval
from heatproof.types.check import Verdict

NAME = "Stability"
ALIASES = ("robustness",)
TIER = "core"
BIBTEX = """
@article{alvarezmelis2018robustness,
  title   = {On the Robustness of Interpretability Methods},
  author  = {Alvarez-Melis, David and Jaakkola, Tommi S.},
  journal = {arXiv preprint arXiv:1806.08049},
  year    = {2018}
}
"""
CLAIM = "The map stays as it is where the input hardly changes."


def check(study: Study, *, jitter: float = 0.01, draws: int = 2, quality: int = 90, margin: float = 0.3) -> CheckResult:
    """Return whether the maps are stable, with a verdict on their rank correlation under small changes.

    Args:
        study: of a network that takes one tensor.
        jitter: deviation of the noise, as a share of each input's own.
        draws: of the noise.
        quality: of the JPEG compression, 1 to 95.
        margin: rank correlation above that of different inputs' maps up to which the maps count as no more alike.

    Raises:
        InputError: the network takes several tensors.
        UsageError: a setting is out of range.
    """
    if not jitter > 0 or draws < 1 or not 1 <= quality <= 95 or not 0 <= margin < 1:
        raise UsageError(
            f"jitter is {jitter} (above 0), draws {draws} (1 or more), quality {quality} (1 to 95), margin {margin} "
            "(0 or more, below 1); one is out of range."
        )
    inputs = input_tensor(study)
    maps = masked(study.explanation.maps, study.explanation.scores)
    changed = _changed(study, inputs, jitter, draws, quality)
    same, again = (maps_for(study, study.explainer, layers=layers_of(study)) for _ in range(2))
    repeats = (same == again) | (same.isnan() & again.isnan())
    differ = int((~repeats.flatten(1).all(1)).sum())
    kinds = {name: torch.stack([_rho(maps, each) for each in every]).mean(0) for name, every in changed.items()}
    stable = torch.stack(list(kinds.values())).mean(0)
    _, null = pair_values(pairs(maps), study.clusters)

    def answer(study: Study) -> CheckResult:
        told = {name: study.interval(values) for name, values in kinds.items()}
        effects = {name: study.interval(values - null) for name, values in kinds.items()}
        effect, room = study.interval(stable - null), study.interval(torch.where(stable.isnan(), stable, 1 - null))
        verdict, why, needed = _judged(study, stable, effect, room, effects, differ, margin)
        settings = {"seed": study.seed, "jitter": jitter, "draws": draws, "quality": quality, "margin": margin}
        return CheckResult(
            check="stability",
            claim=CLAIM,
            about="map",
            statistic="Spearman's rho under small changes",
            value=_known(study.interval(stable)),
            null=_known(study.interval(null)),
            null_name="maps of different inputs",
            ceiling=Interval(1.0, 1.0, 1.0, 1 - study.alpha),
            margin=margin,
            alpha=study.alpha,
            n=units(stable, study.clusters),
            unit=study.cluster_name,
            verdict=verdict,
            why=why,
            n_needed=needed,
            # a backward counts as a forward
            forwards=2.0 * (2 + sum(len(every) for every in changed.values())),
            per_input={
                "input": list(study.names()),
                "target": [row[0].name for row in study.explanation.targets],
                "rho": stable.tolist(),
                **{f"rho, {name}": values.tolist() for name, values in kinds.items()},
            },
            details={"kinds": told, "above the null": effect, "repeated runs that differ": differ},
            settings=settings,
        )

    return study.answered(answer)


def _changed(
    study: Study, inputs: Tensor, jitter: float, draws: int, quality: int
) -> dict[str, list[Float[Tensor, "n 1 *grid"]]]:
    """Return the maps of changed inputs, by kind of change."""
    explainer, layers = study.explainer, layers_of(study)
    found = {"noise": jittered(study, explainer, jitter, seeds(study.seed, draws), layers)}
    spacing = study.explanation.resolution.spacing
    found["one-sample shift"] = [
        shifted_back(maps_for(with_inputs(study, shifted(inputs, axis)), explainer, layers=layers), axis, one)
        for axis, one in enumerate(spacing)
    ]
    coded = recompressed(inputs, explainer.model, quality) if len(spacing) == 2 else None
    if coded is not None:
        found["recompression"] = [maps_for(with_inputs(study, coded), explainer, layers=layers)]
    return found


def _rho(maps: Float[Tensor, "n 1 *grid"], others: Float[Tensor, "n 1 *grid"]) -> Float[Tensor, " n"]:
    return spearman(maps, others)[:, 0]


def _known(interval: Interval) -> Interval | None:
    return interval if interval.estimate == interval.estimate else None


def _judged(
    study: Study,
    stable: Tensor,
    effect: Interval,
    room: Interval,
    effects: dict[str, Interval],
    differ: int,
    margin: float,
) -> tuple[Verdict, str, int | None]:
    """Return the verdict, why, and how many units one would need."""
    n, missing = units(stable, study.clusters), int(stable.isnan().sum())
    left_out = f" {missing} of {study.n} inputs are left out: a map is constant, NaN or infinite." if missing else ""
    if differ:
        return "undermines", f"Two runs on the same input give different maps for {differ} of {study.n} inputs.", None
    if missing > LEFT_OUT * study.n:
        return "inconclusive", f"Too many inputs give no number.{left_out}", None
    if n < FEWEST:
        verdict, needed = judge(effect, margin, n)
        return (
            verdict,
            f"With {n} {study.cluster_name}(s) nothing is decided. A verdict takes {FEWEST} or more.",
            needed,
        )
    if not room.low > margin:
        shared = f"{1 - room.estimate:.2f}"
        return (
            "inconclusive",
            f"Maps of different inputs are too alike (rho {shared}) to tell stability.{left_out}",
            None,
        )
    verdict, needed = judge(effect, margin, n)
    told: dict[str, Any] = {name: f"{one.estimate:.2f}" for name, one in effects.items()}
    each = ", ".join(f"{name} {gap}" for name, gap in told.items())
    of_kinds = [decide(one, margin) for one in effects.values()]
    if verdict == "supports" and not all(one.beyond for one in of_kinds):
        why = f"Not every kind of change leaves maps alike for certain (rho above the null: {each}; margin {margin:g})."
        return (
            "inconclusive",
            why + left_out,
            max((k for one in effects.values() if (k := n_needed(one, margin, n))), default=None),
        )
    if verdict == "undermines" and any(one.estimate > margin for one in effects.values()):
        return "inconclusive", f"The kinds of change disagree (rho above the null: {each}).{left_out}", None
    says: dict[Verdict, str] = {
        "supports": "Maps of slightly changed inputs are far more alike than those of different inputs",
        "undermines": "Maps of slightly changed inputs are hardly more alike than those of different inputs",
        "inconclusive": f"With {n} {study.cluster_name}(s) it is not decided whether maps are stable",
    }
    return verdict, f"{says[verdict]} (rho above the null: {each}; margin {margin:g}).{left_out}", needed
