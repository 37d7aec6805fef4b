"""Reference values beside every map, without a verdict: a first look at whether it could be about the model."""

from dataclasses import replace
from math import ceil

import torch
import torch.nn.functional as F
from torch import Tensor

from heatproof.checks._other import has_others, runner_up
from heatproof.errors import UsageError
from heatproof.explain import Explainer
from heatproof.explain.gather import Gathered
from heatproof.metrics.similarity import spearman
from heatproof.models.randomize import randomized
from heatproof.types import Explanation, QuickChecks, Target

REGION_SHARE = 0.1
"""Share of the grid that counts as the top region; at least one position."""
ELSEWHERE = 4
"""Regions of the same shape elsewhere that the top region is compared with."""


def quick_checks(explanation: Explanation, *, seed: int = 0) -> Explanation:
    """Return the explanation with reference values for its first target, for at most 10 forwards per input.

    They are: the fall of y when the top region (the tenth of the grid with most positive evidence) is replaced by the
    input's mean, against the mean fall for regions of the same shape elsewhere; the Spearman correlation with the map
    of the strongest other class; and with the map of the same network with random weights (normalization statistics
    recalibrated on these inputs). One mask value, few regions, one random draw: a hint, not a test.

    Args:
        explanation: of a model that takes one tensor.
        seed: of the regions elsewhere and of the random weights.

    Raises:
        UsageError: the explanation was loaded from a file, so that its model is not at hand; or the model takes
            several tensors, or cannot be copied.
    """
    if explanation.origin is None:
        raise UsageError("This explanation does not know its model any more; explain again, then run quick_checks.")
    explainer, parts = explanation.origin
    layers = explanation.layer.split(" + ")
    rows: list[tuple[QuickChecks, ...]] = []
    done = 0
    for gathered in parts:
        n = gathered.batch.n
        part = slice(done, done + n)
        with torch.inference_mode(False), torch.enable_grad():  # whatever mode the caller is in
            rows.extend(_check(explainer, gathered, explanation.maps[part], explanation.targets[part], layers, seed))
        done += n
    return replace(explanation, quick_checks=tuple(rows))


def _check(
    explainer: Explainer,
    gathered: Gathered,
    maps: Tensor,
    targets: tuple[tuple[Target, ...], ...],
    layers: list[str],
    seed: int,
) -> list[tuple[QuickChecks, ...]]:
    first = tuple(row[:1] for row in targets)
    main = maps[:, :1]
    drop_top, drops_elsewhere, share = _masking(explainer, gathered, main, first, seed)
    other_maps, others = _runner_up(explainer, gathered, first, layers)
    rho_other = spearman(main, other_maps).flatten().tolist() if other_maps is not None else None
    noise = _random_weights_map(explainer, gathered, first, layers, seed)
    rho_random = spearman(main, noise).flatten().tolist()
    # plain + masked top + masked elsewhere + runner-up + recalibration + random weights
    forwards = 1 + 1 + ELSEWHERE + (others is not None) + 2
    return [
        (
            QuickChecks(
                drop_top=drop_top[i],
                drop_elsewhere=drops_elsewhere[i],
                region_share=share,
                similarity_runner_up=rho_other[i] if rho_other is not None else None,
                runner_up=others[i] if others is not None else None,
                similarity_random=rho_random[i],
                forwards=forwards,
            ),
        )
        for i in range(gathered.batch.n)
    ]


def _masking(
    explainer: Explainer, gathered: Gathered, maps: Tensor, targets: tuple[tuple[Target, ...], ...], seed: int
) -> tuple[list[float], list[float], float]:
    batch = gathered.batch
    x = batch.tensor
    if x is None:
        raise UsageError("Quick checks mask the input and need a network that takes one tensor.")
    grid = tuple(maps.shape[2:])
    positions = maps[0, 0].numel()
    k = max(1, ceil(REGION_SHARE * positions))
    flat = maps.flatten(1).nan_to_num()
    top = torch.zeros_like(flat).scatter_(1, flat.topk(k, dim=1).indices, 1.0).reshape(batch.n, 1, *grid)
    generator = torch.Generator().manual_seed(seed)
    regions = [top]
    for _ in range(ELSEWHERE):
        shift = _least_overlap(top, grid, generator)
        regions.append(torch.roll(top, shift, dims=tuple(range(2, 2 + len(grid)))))
    fill = x.mean(dim=tuple(range(2, x.ndim)), keepdim=True)
    plain = explainer.engine.scores(batch, targets)[:, 0]
    drops: list[Tensor] = []
    for region in regions:
        mask = F.interpolate(region, size=batch.size, mode="nearest").to(x.dtype)
        masked = batch.with_tensor(x * (1 - mask) + fill * mask)
        drops.append(plain - explainer.engine.scores(masked, targets)[:, 0])
    return drops[0].tolist(), torch.stack(drops[1:]).mean(0).tolist(), k / positions


def _least_overlap(top: Tensor, grid: tuple[int, ...], generator: torch.Generator) -> tuple[int, ...]:
    """Return, of eight drawn shifts (around the edges), the one after which the regions overlap least."""
    dims = tuple(range(2, 2 + len(grid)))
    best, least = (0,) * len(grid), float("inf")
    for _ in range(8):
        shift = tuple(int(torch.randint(0, g, (), generator=generator)) for g in grid)
        overlap = float((torch.roll(top, shift, dims) * top).sum())
        if overlap < least:
            best, least = shift, overlap
    return best


def _runner_up(
    explainer: Explainer, gathered: Gathered, targets: tuple[tuple[Target, ...], ...], layers: list[str]
) -> tuple[Tensor | None, list[str] | None]:
    """Return the map of the strongest class other than the target, and its name; nothing without classes."""
    if not has_others(explainer, gathered, targets):
        return None, None
    found = None
    if layers != ["input"]:
        found = explainer.engine.layers(gathered.batch, layers, lambda _, n: targets[:n])
    return runner_up(explainer, gathered, targets, found)


def _random_weights_map(
    explainer: Explainer,
    gathered: Gathered,
    targets: tuple[tuple[Target, ...], ...],
    layers: list[str],
    seed: int,
) -> Tensor:
    if not explainer.engine.pool.viewable:
        raise UsageError(
            f"{explainer.model.name} reaches its own layers by a global name, so that no copy of it can be given "
            "random weights; let its forward use self, or leave the quick checks out."
        )
    keep = explainer.engine.pool.hooks_matter  # a hook that only watches is not to see random activations
    net = randomized(explainer.model.net, seed, recalibrate=gathered.batch.run, keep_hooks=keep)
    twin = explainer.with_model(replace(explainer.model, net=net), layers)
    return twin.capture_and_map(gathered, lambda output, n: targets[:n]).maps
