"""Normalization with statistics that were learned: which layers keep some, and how they are taken anew from data."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase  # pyright: ignore[reportPrivateUsage]  the one base of all that keep running statistics

from heatproof.models.outputs import tensors

NORMS = (_NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_FROZEN = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}
"""The buffers of a frozen batch normalization, and what they are before anything is learned."""


def frozen(module: nn.Module) -> bool:
    """Return whether a module is a batch normalization that keeps what was learned as buffers.

    They are known by their buffers: detection models have such a class each (torchvision's is `FrozenBatchNorm2d`).
    """
    own = _buffers(module)
    found = [own.get(name) for name in _FROZEN]
    return not isinstance(module, _NormBase) and all(each is not None and each.ndim == 1 for each in found)


def keeps_statistics(module: nn.Module) -> bool:
    """Return whether a module may keep statistics of its inputs."""
    return isinstance(module, _NormBase) or frozen(module)


def reset_scale(module: nn.Module) -> None:
    """Put a frozen normalization's scale to one and its shift to zero."""
    _fill(module, ("weight", "bias"))


def reset_statistics(module: nn.Module) -> None:
    """Put the statistics to mean 0 and variance 1."""
    if isinstance(module, _NormBase):
        module.reset_running_stats()
    else:
        _fill(module, ("running_mean", "running_var"))


def recalibrate(norms: Sequence[nn.Module], twin: nn.Module, run: Callable[[nn.Module], Any]) -> None:
    """Take the running statistics of normalization layers from one run, layer after layer within it.

    Where it holds several batches, statistics are the mean over their inputs.
    """
    layers = [m for m in norms if isinstance(m, _NormBase) and m.track_running_stats]
    before = [(m.training, m.momentum) for m in layers]
    seen = dict.fromkeys(norms, 0)
    means: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    def enough(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Take statistics where there is more than one value a channel to take a variance from."""
        x = next((each for _, each in tensors((args, kwargs))), None)
        several = x is not None and (x.ndim < 2 or x.numel() > x.shape[1])
        if isinstance(module, _NormBase):
            module.training = several
        if x is None or not several:
            return
        seen[module] += len(x)
        share = len(x) / seen[module]  # of what is seen now
        if isinstance(module, _NormBase):
            module.momentum = share
        else:
            means[module] = _frozen_statistics(module, x, means.get(module), share)

    watched = [*layers, *(m for m in norms if frozen(m))]
    handles = [module.register_forward_pre_hook(enough, with_kwargs=True) for module in watched]
    try:
        run(twin)
    finally:
        for handle in handles:
            handle.remove()
        for module, (training, momentum) in zip(layers, before, strict=True):
            module.training, module.momentum = training, momentum
    for module, (mean, variance) in means.items():
        _put(module, running_mean=mean, running_var=variance)


def _frozen_statistics(
    module: nn.Module, x: Tensor, known: tuple[Tensor, Tensor] | None, share: float
) -> tuple[Tensor, Tensor]:
    """Let a frozen layer normalize by what it is given now, as one in training does; return the means so far."""
    flat = x.detach().float().transpose(0, 1).flatten(1)
    mean = flat.mean(1)
    _put(module, running_mean=mean, running_var=flat.var(1, correction=0))
    found = (mean, flat.var(1))
    if known is None:
        return found
    return known[0].lerp(found[0], share), known[1].lerp(found[1], share)


def _buffers(module: nn.Module) -> dict[str, Tensor | None]:
    return vars(module)["_buffers"]


def _fill(module: nn.Module, names: Sequence[str]) -> None:
    _put(module, **{name: torch.full_like(getattr(module, name), _FROZEN[name]) for name in names})


def _put(module: nn.Module, **values: Tensor) -> None:
    """Exchange buffers rather than write into them: they may still be the original's."""
    own = _buffers(module)
    for name, value in values.items():
        old = own[name]
        assert old is not None
        own[name] = value.to(old.device, old.dtype)
