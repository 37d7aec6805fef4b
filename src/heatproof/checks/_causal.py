"""Change a region, ask the simulator for the true answer, and regress the model's change on the true change."""

from collections.abc import Callable
from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

import torch
from jaxtyping import Bool, Float
from scipy.stats import t as student
from torch import Tensor

from heatproof.checks._acted import fed, originals, over
from heatproof.checks._rerun import input_tensor, scorer
from heatproof.checks._stats import DRAWS
from heatproof.checks._study import Study
from heatproof.checks._surrogates import far_shift
from heatproof.checks._verdict import FEWEST, LEFT_OUT, units
from heatproof.errors import HeatproofError, UsageError
from heatproof.types import CheckResult, Interval
from heatproof.types.check import Verdict

DOSES = (1.0, 0.5, -0.5)
"""How far a region's values are moved toward their mean; negative: away from it."""
_ELSEWHERE = 2
_NOTHING = 1e-6
"""A true change below this share of the largest one is none."""


@dataclass(frozen=True, eq=False)
class Changes:
    """What edits did: NaN where the simulator failed.

    Attributes:
        true: change of the true answer, (n, edits).
        model: change of the model's score.
        marked: whether the edit was of the map's region.
        failures: what the simulator said, for each edit that failed.
        tried: how many edits there were.
    """

    true: Float[Tensor, "n e"]
    model: Float[Tensor, "n e"]
    marked: Bool[Tensor, " e"]
    failures: list[str]
    tried: int


def causal(study: Study, simulate: Any, edit: Any, *, region: float, margin: float) -> CheckResult:
    """Return whether the model's answer changes as the true answer does.

    Raises:
        UsageError: the simulator fails on the inputs themselves, on every edited state, or returns no number.
    """
    found = changes(study, simulate, edit or soften, region)

    def answer(study: Study) -> CheckResult:
        failed = len(found.failures) / found.tried
        slope, low, high = ratio(found.true, found.model, study)
        value = Interval(slope, low, high, 1 - study.alpha)
        needless = _needless(study, found)
        verdict, why = _judged(study, found, value, needless, failed, margin)
        parts = {
            name: Interval(*ratio(found.true[:, which], found.model[:, which], study), 1 - study.alpha)
            for name, which in (("marked region", found.marked), ("elsewhere", ~found.marked))
        }
        return CheckResult(
            check="physics",
            claim="Where a region is changed, the model's answer changes as the true answer does.",
            about="model",
            statistic="slope of the model's change on the true change",
            value=value if value.estimate == value.estimate else None,
            null=Interval(1.0, 1.0, 1.0, 1 - study.alpha),
            null_name="the true change itself",
            ceiling=None,
            margin=margin,
            alpha=study.alpha,
            n=units(found.true.nanmean(1), study.clusters),
            unit=study.cluster_name,
            verdict=verdict,
            why=why,
            forwards=float(found.true.shape[1]),
            per_input={
                "input": list(study.names()),
                "target": [row[0].name for row in study.explanation.targets],
                "mean true change": found.true.nanmean(1).tolist(),
                "mean change of the model": found.model.nanmean(1).tolist(),
            },
            details={
                "compared": f"changes of the score and of the simulator's answer, {found.tried} edited states",
                "slope": parts,
                "change where the truth stays": needless,
                "failed": found.failures[:5],
                "true changes": found.true.tolist(),
                "model's changes": found.model.tolist(),
            },
            settings={"seed": study.seed, "region": region, "doses": list(DOSES), "margin": margin},
        )

    return study.answered(answer)


def changes(study: Study, simulate: Callable[[Tensor], Any], edit: Any, region: float) -> Changes:
    """Edit the map's region and regions of the same form elsewhere, at every dose; ask the simulator and the model."""
    inputs, given = originals(study), input_tensor(study)
    maps = study.explanation.maps.detach().double().cpu()[:, 0]
    score, before = scorer(study), study.explanation.scores.detach().double().cpu()[:, 0]
    edits = (1 + _ELSEWHERE) * len(DOSES)
    true = torch.full((study.n, edits), nan, dtype=torch.double)
    model = true.clone()
    failures: list[str] = []
    for i, (one, generator) in enumerate(zip(inputs, study.generators(study.seed + 2), strict=True)):
        first, said = _asked(simulate, one.data.detach().clone())
        if first is None:
            raise UsageError(f"The simulator fails on {one.name} as it is ({said}); it must take every input.")
        marked = top(maps[i], region)
        grids = [marked] + [
            marked.roll(far_shift(tuple(marked.shape), generator), tuple(range(marked.ndim))) for _ in range(_ELSEWHERE)
        ]
        made: list[Tensor] = []
        at: list[int] = []
        for number, (mask, dose) in enumerate((mask, dose) for mask in grids for dose in DOSES):
            area = over(mask.double(), study.explanation.geometries[i]).nan_to_num() > 0.5
            state = edit(one.data.detach().cpu().clone(), area, dose)
            answer, said = _asked(simulate, state)
            if answer is None:
                failures.append(f"{one.name}: {said}")
                continue
            true[i, number] = answer - first
            made.append(fed(study, one, state, given[i]))
            at.append(number)
        if made:
            scores = score(torch.stack(made), torch.full((len(made),), i)).detach().double().cpu()[:, 0]
            model[i, at] = scores - before[i]
    if len(failures) == true.numel():
        raise UsageError(f"The simulator fails on every edited state ({failures[0]}); give edit= that it can take.")
    marked = torch.tensor([number < len(DOSES) for number in range(edits)])
    return Changes(true, model, marked, failures, true.numel())


def soften(
    data: Float[Tensor, "c *spatial"], mask: Bool[Tensor, "*spatial"], dose: float
) -> Float[Tensor, "c *spatial"]:
    """Return data whose values in the mask lie nearer to their mean there, by a share `dose`; farther if negative."""
    if not bool(mask.any()):
        return data
    inside = data[:, mask]
    changed = data.clone()
    changed[:, mask] = inside + dose * (inside.mean(1, keepdim=True) - inside)
    return changed


def ratio(x: Float[Tensor, "n e"], y: Float[Tensor, "n e"], study: Study) -> tuple[float, float, float]:
    """Return the slope of y on x through the origin, with a bootstrap interval over clusters; NaN without any x.

    Limits are those of the basic percentile bootstrap, widened as for a t interval.
    """
    both = x.isfinite() & y.isfinite()
    x, y = torch.where(both, x, 0.0), torch.where(both, y, 0.0)
    names = list(dict.fromkeys(study.clusters))
    index = torch.tensor([names.index(one) for one in study.clusters])
    zeros = torch.zeros(len(names), dtype=torch.double)
    xy, xx = zeros.index_add(0, index, (x * y).sum(1)), zeros.index_add(0, index, x.square().sum(1))
    if float(xx.sum()) == 0.0:
        return nan, nan, nan
    slope = float(xy.sum() / xx.sum())
    g = len(names)
    if g < 2:
        return slope, -float("inf"), float("inf")
    generator = torch.Generator().manual_seed(study.seed)
    counts = torch.zeros(DRAWS, g, dtype=torch.double).scatter_add_(
        1, torch.randint(g, (DRAWS, g), generator=generator), torch.ones(1, 1, dtype=torch.double).expand(DRAWS, g)
    )
    drawn = counts @ xx
    slopes = ((counts @ xy) / drawn)[drawn > 0]
    wide = float(student.ppf(1 - study.alpha / 2, g - 1)) / float(student.ppf(1 - study.alpha / 2, 1e6))
    low, high = torch.quantile(
        slopes, torch.tensor([study.alpha / 2, 1 - study.alpha / 2], dtype=torch.double)
    ).tolist()
    return slope, slope - wide * (slope - low), slope + wide * (high - slope)


def _asked(simulate: Callable[[Tensor], Any], state: Tensor) -> tuple[float | None, str]:
    """Return the simulator's answer, or None and why there is none."""
    try:
        said = simulate(state.clone())
        answer = float(said.detach() if isinstance(said, Tensor) else said)
    except HeatproofError as error:
        return None, str(error)
    except Exception as error:  # noqa: BLE001  the user's own code, on a state that nature may not know: told as it is
        return None, f"{type(error).__name__}: {error}"
    return (answer, "") if isfinite(answer) else (None, f"its answer is {answer}")


def top(one: Float[Tensor, "*grid"], region: float) -> Bool[Tensor, "*grid"]:
    size = max(1, round(region * one.numel()))
    flat = torch.zeros(one.numel(), dtype=torch.bool)
    flat[one.flatten().nan_to_num(nan=-torch.inf).argsort(descending=True, stable=True)[:size]] = True
    return flat.reshape(one.shape)


def _needless(study: Study, found: Changes) -> Interval:
    """Return the root mean square of the model's changes where the truth stays, relative to where it changes.

    Where it never changes, relative to the spread of the scores over the inputs.
    """
    largest = found.true[found.true.isfinite()].abs().max()
    still = (found.true.abs() <= _NOTHING * largest) & found.model.isfinite()
    moved = (found.true.abs() > _NOTHING * largest) & found.model.isfinite()
    scores = study.explanation.scores.detach().double().cpu()
    size = float(found.model[moved].square().mean().sqrt()) if bool(moved.any()) else float(scores.std())
    squares = torch.where(still, found.model.square(), 0.0).sum(1) / still.sum(1)
    return study.interval(squares.sqrt() / size if size > 0 else torch.full_like(squares, nan))


def _judged(
    study: Study, found: Changes, value: Interval, needless: Interval, failed: float, margin: float
) -> tuple[Verdict, str]:
    n = units(found.true.nanmean(1), study.clusters)
    told = f"slope {value.estimate:.2f} [{value.low:.2f}, {value.high:.2f}], 1 is right; margin {margin:g}"
    left = f" {len(found.failures)} of {found.tried} edited states are left out: the simulator fails, first on "
    left = f"{left}{found.failures[0]}." if found.failures else ""
    if failed > LEFT_OUT:
        return "inconclusive", f"The simulator fails on too many edited states.{left}"
    if n < FEWEST:
        return "inconclusive", f"With {n} {study.cluster_name}(s) nothing is decided ({told}).{left}"
    restless = needless.estimate == needless.estimate and needless.low > margin
    if value.estimate != value.estimate:
        size = f"{needless.estimate:.2f} of the scores' spread"
        if restless:
            return "undermines", f"No edit changes the true answer, but the model's changes by {size}.{left}"
        if needless.high < margin:
            return "supports", f"Not refuted: where the true answer stays, the model's stays (within {size}).{left}"
        return "inconclusive", f"No edit changes the true answer, so that there is nothing to follow.{left}"
    if value.low > 1 + margin or value.high < 1 - margin:
        return "undermines", f"The model's answer does not change as the true one does ({told}).{left}"
    if restless:
        return (
            "undermines",
            f"The model's answer changes where the true one stays, by {needless.estimate:.2f} of what it changes "
            f"elsewhere ({told}).{left}",
        )
    if value.low > 1 - margin and value.high < 1 + margin:
        return (
            "supports",
            f"Not refuted: the model's answer changes as the simulator says, for these edits ({told}).{left}",
        )
    return "inconclusive", f"The slope's interval lies on both sides of the margin ({told}).{left}"
