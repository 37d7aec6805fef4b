"""The same network with random weights: everything that was learned is drawn anew."""

from collections import OrderedDict
from collections.abc import Callable, Collection
from math import prod, sqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase  # pyright: ignore[reportPrivateUsage]  the one base of all that keep running statistics

from heatproof.models.view import all_modules, make_view, user_hooks

_NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
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
) -> nn.Module:
    """Return a copy of `net` in eval mode with every parameter drawn anew; `net` is not changed.

    Weights with an input fan are drawn from N(0, 2 / fan_in) (He et al. 2015, eq. 10), biases are zero, the scales of
    normalization layers are one. Raw parameters (class tokens, position embeddings, layer scales) are drawn from a
    normal distribution with their own mean and spread, so that they change but keep their size.

    Args:
        net: the network.
        seed: of the draw.
        recalibrate: runs the copy on data; the running statistics of normalization layers are then taken from that
            run. None resets them to mean 0 and variance 1.
        keep_hooks: run the user's hooks on the copy, too; for hooks that change what the network computes.
        only: dotted names of the modules and raw parameters to draw anew, all that is in them included; None: all.
        statistics: likewise, the modules whose running statistics are reset and recalibrated; None: all.
    """
    twin = make_view(net)
    if not keep_hooks:
        for module, table, kept in user_hooks(twin):
            vars(module)[table] = OrderedDict(kept)
    generator = torch.Generator().manual_seed(seed)
    memo: dict[int, nn.Parameter] = {}
    with torch.inference_mode(False), torch.no_grad():
        names = {module: name for name, module in twin.named_modules()}
        for module in all_modules(twin):
            own = vars(module)["_parameters"]
            for name, parameter in own.items():
                if parameter is None or not (parameter.is_floating_point() or parameter.is_complex()):
                    continue
                if only is not None and not _within(f"{names.get(module, '')}.{name}", only):
                    continue
                if id(parameter) not in memo:  # tied weights stay tied
                    fresh = _draw(module, name, parameter, generator).to(parameter.device, parameter.dtype)
                    memo[id(parameter)] = nn.Parameter(fresh, requires_grad=parameter.requires_grad)
                own[name] = memo[id(parameter)]
        norms = [
            module
            for module in all_modules(twin)
            if isinstance(module, _NormBase) and (statistics is None or _within(names.get(module, ""), statistics))
        ]
        for norm in norms:
            norm.reset_running_stats()
        if recalibrate is not None and norms:
            _recalibrate(norms, twin, recalibrate)
    return twin


def _within(name: str, parts: Collection[str]) -> bool:
    """Return whether a dotted name is one of the parts or lies in one."""
    path = name.strip(".").split(".")
    return any(".".join(path[:depth]) in parts for depth in range(1, len(path) + 1))


def _draw(module: nn.Module, name: str, parameter: Tensor, generator: torch.Generator) -> Tensor:
    shape, weight = parameter.shape, name.endswith("weight") and not isinstance(module, _RAW)
    if name.endswith("bias"):
        return torch.zeros(shape)
    if weight and (parameter.ndim <= 1 or isinstance(module, _NORMS)):
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


def _recalibrate(norms: list[_NormBase], twin: nn.Module, run: Callable[[nn.Module], Any]) -> None:
    """Take the running statistics of normalization layers from one run, layer after layer within it."""
    layers = [m for m in norms if m.track_running_stats]
    before = [(m.training, m.momentum) for m in layers]

    def enough(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        """Switch to training where there is more than one value a channel to take a variance from."""
        x = args[0]
        module.training = x.ndim < 2 or x.numel() > x.shape[1]

    handles = [module.register_forward_pre_hook(enough) for module in layers]
    try:
        for module in layers:
            module.momentum = None  # the plain average of what is seen
        run(twin)
    finally:
        for handle in handles:
            handle.remove()
        for module, (training, momentum) in zip(layers, before, strict=True):
            module.training, module.momentum = training, momentum
