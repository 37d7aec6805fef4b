"""Changed copies of the input whose maps are averaged: exact symmetries, other brightness, noise."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import UsageError

_FLIPS = {"flip_x": -1, "flip_y": -2, "flip_z": -3}
_TURNS = {"rot90": 1, "rot180": 2, "rot270": 3}
_TIMES = re.compile(r"\*(\d+(\.\d*)?|\.\d+)")


@dataclass(frozen=True)
class Variant:
    """A way to change inputs, and to bring the map of the changed input back.

    Attributes:
        change: (n, c, *spatial) -> inputs of the same form.
        undo: (n, t, *grid) -> the map as it lies over the unchanged input.
    """

    change: Callable[[Tensor], Tensor]
    undo: Callable[[Tensor], Tensor]


IDENTITY = Variant(lambda x: x, lambda m: m)


def variants(augment: Sequence[str], noise: float, samples: int, seed: int, axes: int) -> tuple[Variant, ...]:
    """Return the variants to average over: the input itself and every augmentation, each under every noise.

    Args:
        augment: names of augmentations: "flip_x", "flip_y", "flip_z", "rot90", "rot180", "rot270" (in the plane of the
            last two axes), "*0.9" (any factor); several in a row joined by "+": "flip_x+*0.9".
        noise: standard deviation of Gaussian noise, as a fraction of each input's own range; 0 for none.
        samples: how many draws of noise.
        seed: of the draws. Every input gets the same ones.
        axes: spatial axes of the input.

    Raises:
        UsageError: there is no such augmentation, or it does not fit the axes; noise or samples out of range.
    """
    if noise < 0 or samples < 1:
        raise UsageError(f"noise is {noise} and samples is {samples}; give a noise of at least 0 and 1 sample or more.")
    names = [augment] if isinstance(augment, str) else list(augment)
    symmetric = [IDENTITY, *(_parse(name, axes) for name in names)]
    if noise == 0:
        return tuple(symmetric)
    return tuple(_noisy(variant, noise, seed + k) for variant in symmetric for k in range(samples))


def stated(augment: Sequence[str], noise: float, samples: int, seed: int) -> str | None:
    """Return what the result says about the averaging; None where there was none."""
    names = [augment] if isinstance(augment, str) else list(augment)
    said: list[str] = []
    if names:
        said.append(f"the input and {', '.join(names)}")
    if noise:
        said.append(f"{samples} draws of noise of {noise:g} of each input's range, seed {seed}")
    return f"mean over {' x '.join(said)}" if said else None


def _parse(name: str, axes: int) -> Variant:
    steps = [_step(part.strip(), axes) for part in name.split("+")]

    def change(x: Tensor) -> Tensor:
        for step in steps:
            x = step.change(x)
        return x

    def undo(maps: Tensor) -> Tensor:
        for step in reversed(steps):
            maps = step.undo(maps)
        return maps

    return Variant(change, undo)


def _step(name: str, axes: int) -> Variant:
    if name in _FLIPS and -_FLIPS[name] <= axes:
        axis = _FLIPS[name]
        return Variant(lambda x: x.flip(axis), lambda m: m.flip(axis))
    if name in _TURNS and axes >= 2:
        quarters = _TURNS[name]
        return Variant(lambda x: x.rot90(quarters, (-2, -1)), lambda m: m.rot90(-quarters, (-2, -1)))
    if found := _TIMES.fullmatch(name):
        factor = float(found[1])
        return Variant(lambda x: x * factor, lambda m: m)
    usable = [n for n, axis in _FLIPS.items() if -axis <= axes] + (list(_TURNS) if axes >= 2 else [])
    raise UsageError(f"There is no augmentation {name!r} for {axes} axes; give any of {', '.join(usable)}, *0.9.")


def _noisy(variant: Variant, level: float, seed: int) -> Variant:
    def change(x: Float[Tensor, "n c *spatial"]) -> Float[Tensor, "n c *spatial"]:
        x = variant.change(x)
        generator = torch.Generator().manual_seed(seed)
        draw = torch.randn(x.shape[1:], generator=generator, dtype=torch.float32).to(x.device, x.dtype)
        flat = x.flatten(1)
        spread = (flat.amax(1) - flat.amin(1)).view(-1, *(1,) * (x.ndim - 1))
        return x + level * spread * draw

    return Variant(change, variant.undo)
