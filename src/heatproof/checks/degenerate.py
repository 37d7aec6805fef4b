"""Degenerate maps: do the maps say anything at all, about their inputs and about the class?

Statistic: the share of inputs whose map is blank, constant, not finite, negative everywhere (nothing is left of it
after the ReLU), or the same as that of the strongest other class (Spearman's rho of `alike` or more: it does not depend
on what was asked). `supports` where the interval lies below the margin, `undermines` where it lies above.

That maps ignore the class is what Adebayo et al. 2018 and Sixt et al. 2020, "When explanations lie", found in some
methods. Cost: one more forward and backward per input, with classes.
"""

from collections.abc import Mapping
from math import floor, log

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.checks._other import has_others, runner_up
from heatproof.checks._rerun import rows_of
from heatproof.checks._stats import n_needed, proportion
from heatproof.checks._study import Study
from heatproof.checks._twins import layers_of
from heatproof.checks._verdict import FEWEST
from heatproof.errors import UsageError
from heatproof.metrics.similarity import spearman
from heatproof.types import CheckResult, Interval
from heatproof.types.check import Verdict

NAME = "Degenerate maps"
ALIASES = ("blank", "class-insensitive")
TIER = "core"
BIBTEX = """
@inproceedings{sixt2020lie,
  title     = {When Explanations Lie: Why Many Modified {BP} Attributions Fail},
  author    = {Sixt, Leon and Granz, Maximilian and Landgraf, Tim},
  booktitle = {International Conference on Machine Learning (ICML)},
  year      = {2020}
}
"""
CLAIM = "The maps say something about their inputs and about the class."
CLASS = "class-insensitive"
FLAGS = ("blank", "constant", "non-finite", "all-negative")
_LEAST = 9
"""Grid positions below which two maps share their order too easily by chance to be called the same."""


def check(study: Study, *, alike: float = 0.99, margin: float = 0.1) -> CheckResult:
    """Return whether the maps are degenerate, with a verdict on the share of inputs whose map is.

    Args:
        study: any.
        alike: rank correlation of two classes' maps from which on they count as the same.
        margin: share of degenerate maps that is put up with.

    Raises:
        UsageError: a setting is out of range.
    """
    if not 0 < alike <= 1 or not 0 < margin < 1:
        raise UsageError(
            f"alike is {alike} (above 0, up to 1), margin {margin} (between 0 and 1); one is out of range."
        )
    flags = study.explanation.flags
    found = {name: torch.tensor([name in row[0] for row in flags]) for name in FLAGS}
    rho, others = _runner_up(study)
    if others:
        found[CLASS] = rho >= alike
    bad = torch.stack(list(found.values())).any(0)

    def answer(study: Study) -> CheckResult:
        value = share(study, bad)
        verdict, why, needed = _judged(study, value, found, margin)
        table = {name: each.tolist() for name, each in found.items()}
        return CheckResult(
            check="degenerate",
            claim=CLAIM,
            about="map",
            statistic="share of degenerate maps",
            value=value,
            null=Interval(0.0, 0.0, 0.0, value.level),
            null_name="none",
            ceiling=None,
            margin=margin,
            alpha=study.alpha,
            n=len(set(study.clusters)),
            unit=study.cluster_name,
            verdict=verdict,
            why=why,
            n_needed=needed,
            forwards=2.0 if others else 0.0,  # a backward counts as a forward
            per_input={
                "input": list(study.names()),
                "target": [row[0].name for row in study.explanation.targets],
                **table,
                **({"other class": others, "rho with other class": rho.tolist()} if others else {}),
            },
            details={"shares": {name: share(study, each) for name, each in found.items()}},
            settings={"seed": study.seed, "alike": alike, "margin": margin},
        )

    return study.answered(answer)


def share(study: Study, bad: Bool[Tensor, " n"]) -> Interval:
    """Return the share of inputs with its interval, see `proportion`."""
    return proportion(bad, study.clusters, seed=study.seed, level=1 - study.alpha)


def _runner_up(study: Study) -> tuple[Float[Tensor, " n"], list[str]]:
    """Return the rank correlation with the map of the strongest other class, and its name; nothing without classes."""
    nothing = torch.empty(0, dtype=torch.float64)
    explainer, explanation = study.explainer, study.explanation
    if explanation.maps[0].numel() < _LEAST or not has_others(explainer, study.batches[0], explanation.targets):
        return nothing, []
    layers, names, found = layers_of(study), list[str](), list[Tensor]()
    for gathered, rows in rows_of(study):
        maps, named = runner_up(explainer, gathered, explanation.targets[rows], layers)
        found.append(spearman(explanation.maps[rows].detach().double(), maps.detach().double())[:, 0].cpu())
        names += named
    return torch.cat(found), names


def _judged(
    study: Study, value: Interval, found: Mapping[str, Tensor], margin: float
) -> tuple[Verdict, str, int | None]:
    """Return the verdict, why, and how many units one would need."""
    groups = len(set(study.clusters))
    counted = {name: int(each.sum()) for name, each in found.items() if each.any()}
    kinds = ", ".join(f"{name} {count}" for name, count in counted.items()) or "none of any kind"
    of_all = f"{value.estimate:.0%} of the maps are degenerate ({kinds}; margin {margin:.0%})."
    unasked = "" if CLASS in found else f" Whether maps depend on the class was not asked: {_unasked(study)}."
    if groups < FEWEST:
        more = f" A verdict takes {FEWEST} or more {study.cluster_name}s."
        return "inconclusive", f"{of_all}{more}{unasked}", max(FEWEST, _needed(study, value, margin, groups) or 0)
    if value.high < margin:
        return "supports", f"{of_all}{unasked}", None
    if value.low > margin:
        return "undermines", f"{of_all}{unasked}", None
    needed = _needed(study, value, margin, groups)
    return "inconclusive", f"{of_all} That is not decided yet.{unasked}", needed


def _needed(study: Study, value: Interval, margin: float, groups: int) -> int | None:
    """Return the units that would decide; exact where all agree, for such intervals shrink faster than others."""
    if value.estimate in (0.0, 1.0):
        edge = 1 - margin if value.estimate == 0 else margin  # the limit of k of k, or of none of k
        return max(groups, floor(log(study.alpha / 2) / log(edge)) + 1)
    return n_needed(value, margin, groups)


def _unasked(study: Study) -> str:
    positions = study.explanation.maps[0].numel()
    if positions < _LEAST:
        return f"the grid has {positions} positions, on which two maps are too easily alike by chance"
    return "there is no other class here"
