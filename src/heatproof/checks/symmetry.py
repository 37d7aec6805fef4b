"""Symmetry: does the model keep a law, and does the map then move as the law says?

A law is a pair of actions, one on the input and one on the target (`heatproof.physics`). First the model: Lin's
concordance of its outputs after the action with what the law makes of its outputs before; 1 where the law is kept, 0
where they have nothing in common. Only where the model keeps the law is the map to blame: the map after the action is
correlated (Pearson, on the grid) with the map before, moved as the law says, less what interpolation alone would lose.

Three outcomes: the model breaks the law (`undermines`, about the model), the model keeps it but the map breaks it
(`undermines`, about the map), both keep it (`supports`). A kept law is necessary, not sufficient: a model that ignores
its input keeps many. Where maps of different inputs are alike anyway, a map that moves rightly shows nothing.

Lin 1989, "A concordance correlation coefficient to evaluate reproducibility"; equivariance of maps: Crabbe and van der
Schaar 2023, "Evaluating the robustness of interpretability methods through explanation invariance and equivariance".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.checks._acted import Acted, acted, correlation, expected, floors, originals, smoothed
from heatproof.checks._rerun import input_tensor, rows_of, with_inputs
from heatproof.checks._stats import pair_values
from heatproof.checks._study import Study
from heatproof.checks._twins import Rows, layers_of, maps_for, masked
from heatproof.checks._verdict import FEWEST, LEFT_OUT, judge, units
from heatproof.errors import UsageError
from heatproof.models.outputs import class_scores
from heatproof.physics import Law
from heatproof.types import CheckResult, Input, Interval, Target
from heatproof.types.check import Verdict

NAME = "Symmetry"
ALIASES = ("equivariance", "invariance", "laws")
TIER = "core"
BIBTEX = """
@inproceedings{crabbe2023evaluating,
  title     = {Evaluating the Robustness of Interpretability Methods through Explanation Invariance and Equivariance},
  author    = {Crabb{\\'e}, Jonathan and van der Schaar, Mihaela},
  booktitle = {Advances in Neural Information Processing Systems},
  year      = {2023}
}
"""
MODEL, MAP, BOTH, OPEN = "the model breaks it", "the map breaks it", "both keep it", "undecided"


@dataclass(frozen=True, eq=False)
class Kept:
    """How well a law was kept, per input.

    Attributes:
        model: concordance of the outputs, whose mean over the inputs is Lin's.
        maps: correlation of the maps with what they must be.
        floor: the correlation that interpolation alone would leave; 1 for exact actions.
        others: what is to be resampled for the mean correlation with what other inputs' maps must be.
        classes: whether the highest output is the one that the law says; NaN for a single output.
    """

    model: Float[Tensor, " n"]
    maps: Float[Tensor, " n"]
    floor: Float[Tensor, " n"]
    others: Float[Tensor, " n"]
    classes: Float[Tensor, " n"]


def check(
    study: Study, *, laws: Any = None, tolerance: float = 0.1, margin: float = 0.1, alike: float = 0.05
) -> list[CheckResult]:
    """Return for each law whether model and map keep it.

    Args:
        study: of a network that takes one tensor.
        laws: one `heatproof.physics.Law` or several: which hold is for the problem to say.
        tolerance: how far the concordance of the outputs may lie below 1.
        margin: how far the correlation of the maps may lie below what interpolation leaves.
        alike: by how much the correlation must exceed that with other inputs' maps, for the map to be tested at all.

    Raises:
        UsageError: there is no law, or a setting is out of range.
        InputError: an input lacks what a law needs, or an action leaves the domain.
    """
    given: list[Any] = [laws] if isinstance(laws, Law) else list(laws or ())
    if not given or not all(isinstance(law, Law) for law in given):
        raise UsageError(
            f"laws is {laws!r}; say which laws your problem has, as heatproof.physics laws: "
            "settings={'symmetry': {'laws': [heatproof.physics.shift()]}}."
        )
    if not 0 < tolerance < 1 or not 0 < margin < 1 or not 0 <= alike < 1:
        raise UsageError(
            f"tolerance is {tolerance:g}, margin {margin:g}, alike {alike:g}; each must lie between 0 and 1."
        )
    inputs = originals(study)
    before = outputs(study, input_tensor(study))
    return [_answer(study, law, inputs, before, tolerance, margin, alike) for law in given]


def outputs(study: Study, inputs: Float[Tensor, "n c *spatial"]) -> Float[Tensor, "n q"]:
    """Return what the network says of inputs: its score of every class, or the explained scores where it has none."""
    found: list[Tensor] = []
    functional = any(row[0].index is None for row in study.explanation.targets)
    for gathered, rows in rows_of(study):
        batch = gathered.batch.with_tensor(inputs[rows])
        if functional:
            one = study.explainer.engine.scores(batch, study.explanation.targets[rows])
        else:
            one = study.explainer.engine.output(batch, _scores_of(batch.n))
        found.append(one.detach().double().cpu().reshape(batch.n, -1))
    return torch.cat(found)


def measure(study: Study, law: Law, inputs: Sequence[Input], before: Float[Tensor, "n q"]) -> tuple[Kept, Acted]:
    """Return how well a law is kept, and the inputs after its action."""
    changed = acted(study, law, inputs)
    after = outputs(study, changed.inputs)
    wanted = torch.stack([_of(law, y) for y in before])
    if wanted.shape != after.shape:
        raise UsageError(
            f"act_target of {law.name!r} makes {tuple(wanted.shape[1:])} of an output of {before.shape[1]}."
        )
    targets, signs = _targets(study, law, before.shape[1])
    again = with_inputs(study, changed.inputs)
    maps = masked(study.explanation.maps, study.explanation.scores)
    moved = maps_for(again, study.explainer, targets, layers=layers_of(study)) * signs.reshape(
        -1, *[1] * (maps.ndim - 1)
    )
    geometries = study.explanation.geometries
    must = expected(maps, changed.laws, inputs, geometries)
    got = smoothed(moved, geometries)
    rest = floors(maps, changed.laws, inputs, geometries)
    floor = torch.ones(study.n, dtype=torch.double) if rest is None else correlation(rest, smoothed(maps, geometries))
    pairs = torch.stack([correlation(must.roll(-k, 0), got) for k in range(study.n)])
    index = (torch.arange(study.n)[:, None] - torch.arange(study.n)[None, :]) % study.n
    table = pairs[index, torch.arange(study.n)[None, :].expand_as(index)]
    _, others = pair_values((table + table.T) / 2, study.clusters)
    told = torch.full((study.n,), torch.nan, dtype=torch.double)
    if before.shape[1] > 1:
        told = (after.argmax(1) == wanted.argmax(1)).double()
    return Kept(concordance(wanted, after), correlation(must, got), floor, others, told), changed


def concordance(a: Float[Tensor, "n q"], b: Float[Tensor, "n q"]) -> Float[Tensor, " n"]:
    """Return per input what its outputs contribute to Lin's concordance, which is their mean; NaN without any spread.

    1 - |a_i - b_i|^2 / (var a + var b + |mean a - mean b|^2), sums over the outputs.
    """
    a, b = a.detach(), b.detach()  # a user's action on the target may bring a graph
    spread = (a - a.mean(0)).square().sum(1).mean() + (b - b.mean(0)).square().sum(1).mean()
    whole = spread + (a.mean(0) - b.mean(0)).square().sum()
    size = a.square().sum(1).mean() + b.square().sum(1).mean()
    if not float(spread) > 1e-12 * float(size):
        return torch.full((len(a),), torch.nan, dtype=torch.double)
    return 1 - (a - b).square().sum(1) / whole


def _scores_of(n: int) -> Callable[[Any], Tensor]:
    return lambda output: class_scores(output, n)


def _of(law: Law, y: Float[Tensor, " q"]) -> Float[Tensor, " p"]:
    try:
        return law.act_target(y).double()
    except (RuntimeError, IndexError, ValueError, TypeError, AttributeError) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"act_target of {law.name!r} fails on an output of {len(y)}: {error}") from error


def _targets(study: Study, law: Law, classes: int) -> tuple[Rows, Float[Tensor, " n"]]:
    """Return what is to be explained after the action, and the sign of its score for the same evidence."""
    rows: list[tuple[Target, ...]] = []
    signs: list[float] = []
    for row in study.explanation.targets:
        one = row[0]
        if one.index is None:
            _, factor = law.target_of(0, 1)
            rows.append(row)
        else:
            index, factor = law.target_of(one.index, classes)
            rows.append((Target(study.explainer.model.label(index), index=index),))
        signs.append(1.0 if factor > 0 else -1.0)
    return tuple(rows), torch.tensor(signs, dtype=torch.double)


def _answer(
    study: Study,
    law: Law,
    inputs: Sequence[Input],
    before: Float[Tensor, "n q"],
    tolerance: float,
    margin: float,
    alike: float,
) -> CheckResult:
    found, changed = measure(study, law, inputs, before)
    near = {one.name: measure(study, one, inputs, before)[0] for one in changed.laws[0].near}
    name = changed.laws[0].name

    def answer(study: Study) -> CheckResult:
        model, maps = study.interval(found.model), study.interval(found.maps)
        loss = study.interval(found.maps - found.floor)
        above = study.interval(found.maps - found.others)
        outcome, about_map, why, needed = _judged(study, found, model, loss, above, tolerance, margin, alike)
        verdicts: dict[str, Verdict] = {MODEL: "undermines", MAP: "undermines", BOTH: "supports", OPEN: "inconclusive"}
        shown = maps if about_map else model
        null = study.interval(found.others) if about_map else None
        return CheckResult(
            check="symmetry",
            claim=f"Model and map keep the law: {name}.",
            about="map" if about_map else "model",
            statistic="correlation with the moved map" if about_map else "concordance of the outputs",
            value=shown if shown.estimate == shown.estimate else None,
            null=null if null is not None and null.estimate == null.estimate else None,
            null_name="other inputs' moved maps" if about_map else "",
            ceiling=study.interval(found.floor) if about_map else Interval(1.0, 1.0, 1.0, 1 - study.alpha),
            margin=margin if about_map else tolerance,
            alpha=study.alpha,
            n=units(found.model, study.clusters),
            unit=study.cluster_name,
            verdict=verdicts[outcome],
            why=f"{name}: {why}",
            n_needed=needed,
            forwards=4.0,  # the outputs before and after, and a map, whose backward counts as a forward
            per_input={
                "input": list(study.names()),
                "target": [row[0].name for row in study.explanation.targets],
                f"concordance, {name}": found.model.tolist(),
                f"map correlation, {name}": found.maps.tolist(),
            },
            details={
                "law": name,
                "outcome": outcome,
                "outputs": model,
                "maps": maps,
                "maps, less the floor": loss,
                "floor": study.interval(found.floor),
                "highest output as the law says": _share(found.classes),
                "beside it": _beside(study, near),
            },
            settings={"seed": study.seed, "tolerance": tolerance, "margin": margin, "alike": alike},
        )

    return study.answered(answer)


def _judged(
    study: Study,
    found: Kept,
    model: Interval,
    loss: Interval,
    above: Interval,
    tolerance: float,
    margin: float,
    alike: float,
) -> tuple[str, bool, str, int | None]:
    """Return the outcome, whether it speaks of the map, why, and how many units one would need."""
    n = units(found.model, study.clusters)
    told = f"concordance of the outputs {model.estimate:.3f}, of 1; correlation of the maps {_mean(found.maps):.3f}"
    if n == 0:
        return OPEN, False, "The outputs are the same for all inputs, so that no law can be tested.", None
    of_model, needed = judge(_up(model, 1 - tolerance), 0.0, n)
    if n < FEWEST:
        why = f"With {n} {study.cluster_name}(s) nothing is decided ({told}). It takes {FEWEST} or more."
        return OPEN, False, why, needed
    if of_model == "undermines":
        return MODEL, False, f"The model breaks it, so that its map may, too ({told}).", None
    if of_model == "inconclusive":
        return OPEN, False, f"It is not decided whether the model keeps it ({told}; tolerance {tolerance:g}).", needed
    missing = int((found.maps - found.floor).isnan().sum())
    if missing > LEFT_OUT * study.n:
        return OPEN, True, f"The model keeps it; {missing} of {study.n} maps are constant or not finite.", None
    of_map, needed = judge(_up(loss, -margin), 0.0, units(found.maps, study.clusters))
    if of_map == "undermines":
        return MAP, True, f"The model keeps it, but the map does not move with it ({told}; margin {margin:g}).", None
    if of_map == "inconclusive":
        return OPEN, True, f"The model keeps it; of the map it is not decided ({told}; margin {margin:g}).", needed
    if not above.low > alike:
        return OPEN, True, f"The model keeps it; maps of different inputs are too alike to test them ({told}).", None
    return BOTH, True, f"Both keep it, which is necessary, not sufficient ({told}).", None


def _up(interval: Interval, null: float) -> Interval:
    return Interval(interval.estimate - null, interval.low - null, interval.high - null, interval.level)


def _mean(values: Tensor) -> float:
    return float(values.nanmean())


def _share(values: Tensor) -> float | None:
    return None if bool(values.isnan().all()) else _mean(values)


def _beside(study: Study, near: Mapping[str, Kept]) -> dict[str, dict[str, Interval]]:
    """Return what was measured beside the law and carries no verdict: aliasing, for a shift."""
    return {
        name: {
            "outputs": study.interval(kept.model),
            "maps": study.interval(kept.maps),
            "floor": study.interval(kept.floor),
        }
        for name, kept in near.items()
    }
