"""The same network with random weights: everything that was learned is drawn anew."""

from collections import OrderedDict
from collections.abc import Callable, Collection
from math import prod, sqrt
from typing import Any

import torch
from torch import Tensor, nn

from heatproof.models.norms import (
    NORMS,
    frozen,
    keeps_statistics,
    reset_scale,
    reset_statistics,
)
from heatproof.models.norms import (
    recalibrate as take_statistics,
)
from heatproof.models.view import all_modules, make_view, user_hooks

_RAW = (nn.Embedding, nn.PReLU)
"""What has a weight that multiplies no sum of inputs: a table, a slope."""
_SPREAD = 0.02
"""Standard deviation of what had one value only, as position embeddings begin with."""


def randomized(
    net: nn.Module,
    seed: int,
    recalibrate: Callable[[nn.Module], Any] | None = None,
    *,
    keep_hooks: bool = True,
    only: Collection[str] | None = None,
    statistics: Collection[str] | None = None,
    drawn: dict[int, nn.Parameter] | None = None,
) -> nn.Module:
    """Return a copy of `net` in eval mode with every parameter drawn anew; `net` is not changed.

    Weights with an input fan are drawn from N(0, 2 / fan_in) (He et al. 2015, eq. 10), biases are zero, the scales of
    normalization layers are one, also where they are frozen and no parameters. Raw parameters (class tokens, position
    embeddings, layer scales) are drawn from a normal distribution with their own mean and spread, so that they change
    but keep their size.

    Args:
        net: the network.
        seed: of the draw.
        recalibrate: runs the copy on data; the running statistics of normalization layers are then taken from that
            run. None resets them to mean 0 and variance 1.
        keep_hooks: run the user's hooks on the copy, too; for hooks that change what the network computes.
        only: dotted names of the modules and raw parameters to draw anew, with all that is in them or tied to it; None:
            all.
        statistics: likewise, the modules whose running statistics are reset and recalibrated; None: all.
        drawn: what this seed drew already, by the original's id; used again and added to. What a parameter becomes
            does not depend on which others are drawn, so this only saves time.
    """
    twin = make_view(net)
    if not keep_hooks:
        for module, table, kept in user_hooks(twin):
            vars(module)[table] = OrderedDict(kept)
    draws = torch.Generator().manual_seed(seed)
    memo: dict[int, nn.Parameter] = {} if drawn is None else drawn
    with torch.inference_mode(False), torch.no_grad():
        names = {module: name for name, module in twin.named_modules()}
        owners = [
            (module, name, parameter)
            for module in all_modules(twin)
            for name, parameter in list(_own(module).items())
            if parameter is not None and (parameter.is_floating_point() or parameter.is_complex())
        ]
        chosen = {
            id(parameter)
            for module, name, parameter in owners
            if only is None or _within(f"{names.get(module, '')}.{name}", only)
        }
        seeds = {id(p): int(torch.randint(2**62, (), generator=draws)) for p in {id(p): p for *_, p in owners}.values()}
        for module, name, parameter in owners:
            one = id(parameter)
            if one not in chosen:
                continue
            if one not in memo:  # tied weights stay tied
                fresh = _draw(module, name, parameter, torch.Generator().manual_seed(seeds[one]))
                memo[one] = nn.Parameter(fresh.to(parameter.device, parameter.dtype), parameter.requires_grad)
            _own(module)[name] = memo[one]
        for module in all_modules(twin):
            if frozen(module) and _chosen(names.get(module, ""), only):
                reset_scale(module)
        norms = [module for module in all_modules(twin) if _renewed(module, names.get(module, ""), statistics)]
        for norm in norms:
            reset_statistics(norm)
        if recalibrate is not None and norms:
            take_statistics(norms, twin, recalibrate)
    return twin


def changed_modules(net: nn.Module, only: Collection[str] | None, statistics: Collection[str] | None) -> set[str]:
    """Return the dotted names of the modules that own anything that `randomized` changes, tied weights included."""
    fresh = {id(p) for name, p in net.named_parameters(remove_duplicate=False) if only is None or _within(name, only)}
    return {
        name
        for name, module in net.named_modules(remove_duplicate=False)
        if any(id(p) in fresh for p in module.parameters(recurse=False))
        or _renewed(module, name, statistics)
        or (frozen(module) and _chosen(name, only))
    }


def _own(module: nn.Module) -> dict[str, nn.Parameter | None]:
    return vars(module)["_parameters"]


def _renewed(module: nn.Module, name: str, statistics: Collection[str] | None) -> bool:
    """Return whether the module's running statistics are taken anew."""
    return keeps_statistics(module) and _chosen(name, statistics)


def _chosen(name: str, parts: Collection[str] | None) -> bool:
    return parts is None or _within(name, parts)


def _within(name: str, parts: Collection[str]) -> bool:
    """Return whether a dotted name is one of the parts or lies in one."""
    path = name.strip(".").split(".")
    return any(".".join(path[:depth]) in parts for depth in range(1, len(path) + 1))


def _draw(module: nn.Module, name: str, parameter: Tensor, generator: torch.Generator) -> Tensor:
    shape, weight = parameter.shape, name.endswith("weight") and not isinstance(module, _RAW)
    if name.endswith("bias"):
        return torch.zeros(shape)
    if weight and (parameter.ndim <= 1 or isinstance(module, NORMS)):
        return torch.ones(shape)
    noise = torch.randn(shape, generator=generator, dtype=torch.cfloat if parameter.is_complex() else torch.float)
    if weight:
        return noise * sqrt(2.0 / _fan_in(module, shape))
    values = parameter.detach().to("cpu", noise.dtype)
    spread = float(values.std()) if values.numel() > 1 else 0.0
    return values.mean() + noise * (spread or _SPREAD)


def _fan_in(module: nn.Module, shape: torch.Size) -> float:
    """Return how many inputs are summed for one output."""
    if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d):
        return shape[0] * prod(shape[2:]) / module.groups / prod(module.stride)
    return float(prod(shape[1:]))
