"""Maps of a study's inputs under randomized twins of its model, for the targets that were explained."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heatproof.capture.runs import out_of_memory
from heatproof.checks._calibration import calibration
from heatproof.checks._rerun import rows_of
from heatproof.checks._reuse import Reuse
from heatproof.checks._study import Study
from heatproof.errors import TargetError, UsageError
from heatproof.explain import Explainer
from heatproof.models import Model
from heatproof.models.layers import TargetLayer
from heatproof.models.outputs import agree
from heatproof.models.randomize import randomized
from heatproof.models.stages import Cut
from heatproof.types import Target

Rows = tuple[tuple[Target, ...], ...]


def seeds(seed: int, count: int) -> list[int]:
    """Return distinct seeds; more extend fewer."""
    draws = torch.Generator().manual_seed(seed)
    found: list[int] = []
    while len(found) < count:
        one = int(torch.randint(2**62, (), generator=draws))
        if one not in found:
            found.append(one)
    return found


def twin_of(
    study: Study,
    seed: int,
    cut: Cut = (None, None),
    *,
    recalibrate: bool,
    reuse: Reuse | None = None,
    drawn: dict[int, nn.Parameter] | None = None,
    count: Callable[[int], object] | None = None,
) -> Model:
    """Return the study's model with what the cut names drawn anew, and the statistics that it names taken anew.

    Statistics of normalization layers come from the study's inputs; without `recalibrate` they are kept.

    Args:
        study: whose model.
        seed: of the draw.
        cut: what is drawn anew, and whose statistics are taken anew; None is all.
        recalibrate: whether they are.
        reuse: what need not be run again.
        drawn: what this seed drew already, see `randomized`.
        count: is told how many inputs each run for the statistics takes.

    Raises:
        UsageError: the model cannot be copied.
    """
    explainer = study.explainer
    pool = explainer.engine.pool
    if not pool.viewable:
        raise UsageError(
            f"{explainer.model.name} reaches its own layers by a global name, so that no copy of it can be given "
            "random weights; let its forward use self."
        )

    def run(net: nn.Module) -> None:
        for i, batch in calibration(study):
            if reuse is not None:
                reuse.at = i
            if count is not None:
                count(batch.n)
            batch.run(net)

    net = randomized(
        explainer.model.net if reuse is None else reuse.net(cut),
        seed,
        recalibrate=run if recalibrate else None,
        keep_hooks=pool.hooks_matter,
        only=cut[0],
        statistics=cut[1] if recalibrate else (),
        drawn=drawn,
    )
    return replace(explainer.model, net=net)


def layers_of(study: Study) -> tuple[TargetLayer, ...] | None:
    """Return the target layers; None where the map is the input's."""
    layer, batch, targets = study.explanation.layer, study.batches[0].batch, study.explanation.targets
    if layer == "input":
        return None
    return study.explainer.engine.layers(batch, layer.split(" + "), lambda _, n: targets[:n])


def same_first(
    study: Study,
    explainer: Explainer,
    layers: tuple[TargetLayer, ...] | None,
    maps: Float[Tensor, "n 1 *grid"],
) -> bool:
    """Return whether the first input's score and map are the study's."""
    first = study.batches[0]
    one = replace(first, batch=first.batch.rows(torch.tensor([0])))
    try:
        part = explainer.capture_and_map(one, lambda _, n: study.explanation.targets[:n], layers=layers)
    except Exception as error:
        if out_of_memory(error):
            raise
        return False  # its code refused what it was given
    expected = [(part.scores, study.explanation.scores[:1]), (part.maps, maps[:1])]
    return all(
        bool((a.isfinite().cpu() == b.isfinite().cpu()).all()) and agree(a.detach().cpu(), b.cpu(), a.dtype)
        for a, b in expected
    )


def maps_for(
    study: Study,
    explainer: Explainer,
    targets: Rows | None = None,
    *,
    layers: tuple[TargetLayer, ...] | None = None,
    reuse: Reuse | None = None,
) -> Float[Tensor, "n 1 *grid"]:
    """Return the maps of the study's inputs as `explainer` makes them, on the CPU in double precision.

    Args:
        study: the inputs.
        explainer: of a model of the same form.
        targets: what to explain, where it is not what the study explains.
        layers: the target layers, where they are known: a twin is wired as its original is.
        reuse: what need not be run again.

    Raises:
        TargetError: another target was explained than the one asked for.
    """
    asked = study.explanation.targets if targets is None else targets
    found: list[Tensor] = []
    for i, (gathered, rows) in enumerate(rows_of(study)):
        wanted = asked[rows]
        if reuse is not None:
            reuse.at = i

        def same(_output: object, n: int, wanted: Rows = wanted) -> Rows:
            return wanted[:n]

        with explainer.engine.pool.steady():
            part = explainer.capture_and_map(gathered, same, layers=layers)
        if part.targets != wanted:
            raise TargetError(
                f"A randomized model explained {part.targets[0][0].name!r} where {wanted[0][0].name!r} was asked for; "
                "give a target that does not depend on the model, such as a class index."
            )
        found.append(masked(part.maps, part.scores))
    return torch.cat(found)


def masked(maps: Float[Tensor, "n 1 *grid"], scores: Float[Tensor, "n 1"]) -> Float[Tensor, "n 1 *grid"]:
    """Return the maps on the CPU in double precision, NaN where the score is no number: it has no map."""
    good = scores.detach().isfinite().reshape(-1, 1, *[1] * (maps.ndim - 2)).cpu()
    return torch.where(good, maps.detach().cpu().double(), torch.nan)


def jittered(
    study: Study,
    explainer: Explainer,
    jitter: float,
    draws: Sequence[int],
    layers: tuple[TargetLayer, ...] | None = None,
) -> list[Tensor]:
    """Return maps under Gaussian noise of `jitter` times each input's standard deviation, one set per draw."""
    found: list[Tensor] = []
    for draw in draws:
        own = study.generators(draw)
        batches = tuple(
            replace(g, batch=g.batch.with_tensor(_noisy(g.batch.tensor, jitter, own[rows])))
            for g, rows in rows_of(study)
        )
        found.append(maps_for(replace(study, batches=batches), explainer, layers=layers))
    return found


def _noisy(x: Tensor | None, jitter: float, generators: Sequence[torch.Generator]) -> Tensor:
    if x is None:
        raise UsageError("The sanity check jitters the input and needs a network that takes one tensor; wrap it.")
    spread = x.float().flatten(1).std(1).reshape(-1, *[1] * (x.ndim - 1))
    noise = torch.stack([torch.randn(x.shape[1:], generator=own) for own in generators]).to(x.device)
    return (x + (jitter * spread * noise)).to(x.dtype)
