"""Maps of a study's inputs under randomized twins of its model, for the targets that were explained."""

from collections.abc import Collection, Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.checks._rerun import rows_of
from heatproof.checks._study import Study
from heatproof.errors import TargetError, UsageError
from heatproof.explain import Explainer
from heatproof.models import Model
from heatproof.models.randomize import randomized
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
    *,
    recalibrate: bool,
    only: Collection[str] | None = None,
    statistics: Collection[str] | None = None,
) -> Model:
    """Return the study's model with what `only` names (None: all) drawn anew.

    Statistics of normalization layers are taken from the study's first batch; without `recalibrate` they are kept.

    Raises:
        UsageError: the model cannot be copied.
    """
    explainer, batch = study.explainer, study.batches[0].batch
    pool = explainer.engine.pool
    if not pool.viewable:
        raise UsageError(
            f"{explainer.model.name} reaches its own layers by a global name, so that no copy of it can be given "
            "random weights; let its forward use self."
        )
    net = randomized(
        explainer.model.net,
        seed,
        recalibrate=batch.run if recalibrate else None,
        keep_hooks=pool.hooks_matter,
        only=only,
        statistics=statistics if recalibrate else (),
    )
    return replace(explainer.model, net=net)


def layers_of(study: Study) -> list[str] | None:
    """Return the target layers' names; None where the map is the input's."""
    layer = study.explanation.layer
    return None if layer == "input" else layer.split(" + ")


def maps_for(study: Study, explainer: Explainer, targets: Rows | None = None) -> Float[Tensor, "n 1 *grid"]:
    """Return the maps of the study's inputs as `explainer` makes them, on the CPU in double precision.

    Raises:
        TargetError: another target was explained than the one asked for.
    """
    asked = study.explanation.targets if targets is None else targets
    found: list[Tensor] = []
    for gathered, rows in rows_of(study):
        wanted = asked[rows]

        def same(_output: object, n: int, wanted: Rows = wanted) -> Rows:
            return wanted[:n]

        part = explainer.capture_and_map(gathered, same)
        if part.targets != wanted:
            raise TargetError(
                f"A randomized model explained {part.targets[0][0].name!r} where {wanted[0][0].name!r} was asked for; "
                "give a target that does not depend on the model, such as a class index."
            )
        # a score that is no number has no map
        good = part.scores.detach().isfinite().reshape(-1, 1, *[1] * (part.maps.ndim - 2)).cpu()
        found.append(torch.where(good, part.maps.detach().cpu().double(), torch.nan))
    return torch.cat(found)


def jittered(study: Study, explainer: Explainer, jitter: float, draws: Sequence[int]) -> list[Tensor]:
    """Return maps under Gaussian noise of `jitter` times each input's standard deviation, one set per draw."""
    found: list[Tensor] = []
    for draw in draws:
        generator = torch.Generator().manual_seed(draw)
        batches = tuple(
            replace(g, batch=g.batch.with_tensor(_noisy(g.batch.tensor, jitter, generator))) for g in study.batches
        )
        found.append(maps_for(replace(study, batches=batches), explainer))
    return found


def _noisy(x: Tensor | None, jitter: float, generator: torch.Generator) -> Tensor:
    if x is None:
        raise UsageError("The sanity check jitters the input and needs a network that takes one tensor; wrap it.")
    spread = x.float().flatten(1).std(1).reshape(-1, *[1] * (x.ndim - 1))
    noise = torch.randn(x.shape, generator=generator).to(x.device)
    return (x + (jitter * spread * noise)).to(x.dtype)
