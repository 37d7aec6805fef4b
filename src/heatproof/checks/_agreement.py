"""Agreement of maps with a field that known physics derives, by its margin over surrogates and random weights."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.checks._acted import originals, to_grid
from heatproof.checks._stats import decide, n_needed
from heatproof.checks._study import Study
from heatproof.checks._surrogates import phase_randomized
from heatproof.checks._twins import layers_of, maps_for, masked, seeds, twin_of
from heatproof.checks._verdict import FEWEST, LEFT_OUT, units
from heatproof.errors import InputError
from heatproof.metrics._stats import pearson, ranks
from heatproof.physics import Known
from heatproof.types import CheckResult, Input, Interval
from heatproof.types.check import Verdict

_LEFT = 0.02
"""Share of the field's variance (of ranks) that must be left once amplitude and position are known."""
_FINE = 0.1
"""Share of the field's variance that must survive on the map's grid, for a claim about it."""
SURROGATES, RANDOM = "maps with random phases", "the network with random weights"


def agreement(study: Study, field: Known, *, surrogates: int, draws: int, margin: float) -> CheckResult:
    """Return whether maps agree with a field more than the nulls do."""
    maps = masked(study.explanation.maps, study.explanation.scores)
    grid = tuple(maps.shape[2:])
    inputs = originals(study)
    fields = _fields(study, field, inputs)
    coarse = _gridded(study, fields, grid)
    survives = _survives(study, fields, coarse)
    amplitude = _gridded(study, [_amplitude(one) for one in inputs], grid)
    others = covariates(amplitude)
    value = partial(maps[:, 0], coarse, others)
    fakes = [phase_randomized(maps[:, 0], len(grid), one) for one in seeds(study.seed, surrogates)]
    by_phase = torch.stack([partial(one, coarse, others) for one in fakes]).mean(0)
    twins = [_twin_maps(study, one) for one in seeds(study.seed + 1, draws)]
    by_weights = torch.stack([partial(one, coarse, others) for one in twins]).nanmean(0)
    rich = enrichment(maps[:, 0], coarse)
    rich_random = torch.stack([enrichment(one, coarse) for one in twins]).nanmean(0)

    def answer(study: Study) -> CheckResult:
        effects = {SURROGATES: study.interval(value - by_phase), RANDOM: study.interval(value - by_weights)}
        hardest = min(effects, key=lambda name: effects[name].estimate)
        null = {SURROGATES: by_phase, RANDOM: by_weights}[hardest]
        verdict, why, needed = _judged(study, field, value, effects, survives, margin)
        shown, shown_null = study.interval(value), study.interval(null)
        return CheckResult(
            check="physics",
            claim=f"The map lies where there is {field.name}, beyond what amplitude, position and chance would give.",
            about="map",
            statistic=f"partial rank correlation with {field.name}",
            value=shown if shown.estimate == shown.estimate else None,
            null=shown_null if shown_null.estimate == shown_null.estimate else None,
            null_name=hardest,
            ceiling=Interval(1.0, 1.0, 1.0, 1 - study.alpha),
            margin=margin,
            alpha=study.alpha,
            n=units(value, study.clusters),
            unit=study.cluster_name,
            verdict=verdict,
            why=why,
            n_needed=needed,
            forwards=2.0 * draws,
            per_input={
                "input": list(study.names()),
                "target": [row[0].name for row in study.explanation.targets],
                "partial rank correlation": value.tolist(),
                "with random phases": by_phase.tolist(),
                "with random weights": by_weights.tolist(),
                "enrichment": rich.tolist(),
                "enrichment, random weights": rich_random.tolist(),
            },
            details={
                "compared": f"map and {field.name} on the map's grid of {grid}, amplitude and position partialled out",
                "margins": effects,
                "enrichment": study.interval(rich),
                "enrichment, random weights": study.interval(rich_random),
                "variance of the field on the grid": survives,
            },
            settings={"seed": study.seed, "surrogates": surrogates, "draws": draws, "margin": margin},
        )

    return study.answered(answer)


def partial(
    maps: Float[Tensor, "n *grid"], fields: Float[Tensor, "n *grid"], others: Float[Tensor, "n m q"]
) -> Float[Tensor, " n"]:
    """Return the correlation of the ranks of maps and fields, with a linear fit of both to the covariates taken off.

    NaN where a map is constant or not finite, or where the covariates determine the field.
    """
    a, b = maps.flatten(1).double(), fields.flatten(1).double()
    good = a.isfinite().all(1) & b.isfinite().all(1)
    a, b = (ranks(torch.where(good[:, None], each, 0.0)) for each in (a, b))
    rest = [_residual(each, others) for each in (a, b)]
    left = rest[1].square().sum(1) / (b - b.mean(1, keepdim=True)).square().sum(1)
    found = pearson(rest[0], rest[1])
    return torch.where(good & (left > _LEFT), found, torch.nan)


def covariates(amplitude: Float[Tensor, "n *grid"]) -> Float[Tensor, "n m q"]:
    """Return what is partialled out: ranks of the amplitude, and along every axis the position and its square."""
    n, grid = len(amplitude), tuple(amplitude.shape[1:])
    columns = [ranks(amplitude.flatten(1).double())]
    for axis, side in enumerate(grid):
        at = torch.linspace(-1, 1, side, dtype=torch.double) if side > 1 else torch.zeros(1, dtype=torch.double)
        shape = [-1 if a == axis else 1 for a in range(len(grid))]
        along = at.reshape(shape).expand(grid).flatten().expand(n, -1)
        columns += [along, along.square()]
    return torch.stack(columns, 2)


def enrichment(maps: Float[Tensor, "n *grid"], fields: Float[Tensor, "n *grid"]) -> Float[Tensor, " n"]:
    """Return how much denser the positive evidence is where the field is strong than everywhere; 1 is chance.

    Strong is half of the field's maximum or more. NaN without evidence, or where the field is strong everywhere.
    """
    positive, flat = maps.flatten(1).double().clamp(min=0), fields.flatten(1).double()
    strong = (flat >= flat.amax(1, keepdim=True) / 2).double()
    share = (positive * strong).sum(1) / positive.sum(1)
    area = strong.mean(1)
    return torch.where(area < 1, share / area, torch.nan)


def _residual(values: Float[Tensor, "n m"], others: Float[Tensor, "n m q"]) -> Float[Tensor, "n m"]:
    scale = others.abs().amax(1, keepdim=True).clamp(min=1e-12)
    design = torch.cat([torch.ones_like(others[..., :1]), others / scale], 2)
    # by an orthogonal basis of what the covariates span; columns that are constant add nothing
    basis, sizes, _ = torch.linalg.svd(design, full_matrices=False)
    basis = basis * (sizes > 1e-10 * sizes[:, :1]).unsqueeze(1)
    return values - (basis @ (basis.transpose(1, 2) @ values.unsqueeze(2))).squeeze(2)


def _fields(study: Study, field: Known, inputs: Sequence[Input]) -> list[Tensor]:
    found: list[Tensor] = []
    for one in inputs:
        values = torch.as_tensor(field.of(one, study.explanation.resolution)).double().cpu()
        if tuple(values.shape) != one.size:
            raise InputError(
                f"The field {field.name!r} has shape {tuple(values.shape)} for {one.name} of size {one.size}; "
                "return one value for each of the input's samples."
            )
        found.append(values)
    return found


def _gridded(study: Study, fields: Sequence[Tensor], grid: Sequence[int]) -> Float[Tensor, "n *grid"]:
    each = zip(fields, study.explanation.geometries, strict=True)
    return torch.stack([to_grid(one, geometry, grid) for one, geometry in each])


def _survives(study: Study, fields: Sequence[Tensor], coarse: Float[Tensor, "n *grid"]) -> float:
    """Return the share of the fields' variance within the model's view that is left on the map's grid."""
    fine = [
        to_grid(one, geometry, geometry.model_size)
        for one, geometry in zip(fields, study.explanation.geometries, strict=True)
    ]
    parts = [
        (b.nan_to_num().var(unbiased=False), a.nan_to_num().var(unbiased=False))
        for a, b in zip(fine, coarse, strict=True)
    ]
    shares = [float(b / a) for b, a in parts if float(a) > 0]
    return sum(shares) / len(shares) if shares else 0.0


def _amplitude(one: Input) -> Float[Tensor, "*spatial"]:
    data = one.data.detach().double().cpu()
    mean = data.flatten(1).mean(1).reshape(-1, *[1] * (data.ndim - 1))
    return (data - mean).square().sum(0).sqrt()


def _twin_maps(study: Study, seed: int) -> Float[Tensor, "n *grid"]:
    model = twin_of(study, seed, recalibrate=True)
    layer = None if study.explanation.layer == "input" else study.explanation.layer.split(" + ")
    explainer = study.explainer.with_model(model, layer)
    return maps_for(study, explainer, layers=layers_of(study))[:, 0]


def _judged(
    study: Study, field: Known, value: Tensor, effects: dict[str, Interval], survives: float, margin: float
) -> tuple[Verdict, str, int | None]:
    n, missing = units(value, study.clusters), int(value.isnan().sum())
    told = ", ".join(f"{one.estimate:+.2f} over {name}" for name, one in effects.items())
    compared = f"compared on the map's grid, amplitude and position partialled out: {told}; margin {margin:g}"
    if survives < _FINE:
        spacing = " x ".join(f"{one:g}" for one in study.explanation.resolution.spacing)
        return (
            "inconclusive",
            f"{field.name} is finer than the map, of which {survives:.0%} of its variance is left at a resolution of "
            f"{spacing} samples: nothing can be claimed.",
            None,
        )
    if missing > LEFT_OUT * study.n:
        return (
            "inconclusive",
            f"{missing} of {study.n} inputs give no number: a map is constant, or amplitude and position determine "
            f"{field.name}.",
            None,
        )
    if n < FEWEST:
        return "inconclusive", f"With {n} {study.cluster_name}(s) nothing is decided ({compared}).", FEWEST
    found = [decide(one, margin) for one in effects.values()]
    if all(one.beyond for one in found):
        return (
            "supports",
            f"Not refuted: the map follows {field.name} beyond both nulls ({compared}). Regions that matter moderately "
            "need not be extreme, so this is no proof.",
            None,
        )
    if any(one.at_most for one in found):
        return "undermines", f"The map follows {field.name} no more than a null does ({compared}).", None
    needs = [k for one in effects.values() if (k := n_needed(one, margin, n)) is not None and k > n]
    return (
        "inconclusive",
        f"It is not decided whether the map follows {field.name} ({compared}).",
        max(needs, default=None),
    )
