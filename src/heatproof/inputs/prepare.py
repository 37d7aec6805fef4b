"""Resize, crop and normalize an input for a model, and the exact way back for maps and points."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import InputError, UsageError
from heatproof.inputs.probe import Adopted
from heatproof.inputs.resample import check_interpolation, resize
from heatproof.types import Geometry, Input, Prepared

__all__ = ["Preprocess", "adopt", "restore"]


@dataclass(frozen=True)
class Preprocess:
    """What timm, torchvision and Hugging Face configurations say about preprocessing, in this order of application.

    Attributes:
        resize: an int is the length of the side that `fit` names, keeping the aspect; a tuple is the exact size per
            axis (the aspect is lost); None keeps the size.
        crop: size of the center crop per axis; an axis shorter than that is padded.
        mean: per channel, subtracted after `scale`.
        std: per channel, divided by last.
        interpolation: "nearest", "bilinear", "bicubic", "lanczos" or "box", along however many axes there are.
        antialias: widen the kernel when reducing, as Pillow does.
        fit: what an int `resize` refers to. "shorter" pads with zeros (torchvision); "longer" pads with `mean`
            (timm's "border" crop mode).
        scale: factor applied before normalizing; 255 for models that want 0..255.
    """

    resize: int | tuple[int, ...] | None = None
    crop: tuple[int, ...] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    interpolation: str = "bilinear"
    antialias: bool = True
    fit: Literal["shorter", "longer"] = "shorter"
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Refuse settings that contradict themselves."""
        check_interpolation(self.interpolation)
        if self.fit not in ("shorter", "longer"):
            raise UsageError(f"fit={self.fit!r} is not known; use 'shorter' or 'longer'.")
        sizes = [self.resize] if isinstance(self.resize, int) else [*(self.resize or ())]
        if any(side < 1 for side in [*sizes, *(self.crop or ())]):
            raise UsageError(f"resize={self.resize} and crop={self.crop} must be 1 or more on every axis.")
        if self.std is not None and 0 in self.std:
            raise UsageError(f"std={self.std} holds a zero; every channel's std must differ from 0.")
        if self.mean is not None and self.std is not None and len(self.mean) != len(self.std):
            raise UsageError(f"mean={self.mean} and std={self.std} differ in length; give one of each per channel.")

    def __call__(self, input: Input) -> Prepared:
        """Prepare one input.

        A one-channel input is repeated to as many channels as `mean` and `std` have.

        Raises:
            InputError: the input's channels or axes do not fit these settings.
        """
        x = self._channels(input)
        size = input.size
        resized = self.resized(size)
        limits = (0.0, 1.0) if input.picture else None  # 8-bit pictures cannot overshoot, so neither may these
        x = resize(x, resized, self.interpolation, antialias=self.antialias, limits=limits)
        offset = [0] * len(size)
        if self.crop is not None:
            offset = [_crop_offset(have, want) for have, want in zip(resized, self.crop, strict=True)]
            border = self.mean if self.fit == "longer" else None
            x = _crop(x, offset, self.crop, None if border is None else [m / self.scale for m in border])
        x = self._normalize(x)
        scale = tuple(new / old for new, old in zip(resized, size, strict=True))
        geometry = Geometry(size, tuple(x.shape[1:]), scale, tuple(float(o) for o in offset))
        return Prepared(x, geometry, input)

    def resized(self, size: tuple[int, ...]) -> tuple[int, ...]:
        """Return the spatial size after resizing and before cropping.

        Raises:
            InputError: `size` has another number of axes than these settings.
        """
        for setting, sides in (("resize", self.resize), ("crop", self.crop)):
            if isinstance(sides, tuple) and len(sides) != len(size):
                raise InputError(
                    f"The model's preprocessing has {setting}={sides}, that is {len(sides)} axes, but the input's size "
                    f"{size} has {len(size)}; pass an input with {len(sides)} spatial axes."
                )
        if self.resize is None:
            return size
        if isinstance(self.resize, tuple):
            return self.resize
        if self.fit == "shorter":  # torchvision: the other sides are rounded down
            return tuple(int(self.resize * side / min(size)) for side in size)
        return tuple(max(1, round(self.resize * side / max(size))) for side in size)  # timm: to the nearest

    def _channels(self, input: Input) -> Tensor:
        x = input.data
        wanted = self.mean if self.mean is not None else self.std
        if wanted is None or len(wanted) == len(x):
            return x
        if len(x) == 1:
            return x.expand(len(wanted), *x.shape[1:])
        raise InputError(
            f"{input.name} has {len(x)} channels ({', '.join(input.channels)}), but the model's preprocessing "
            f"normalizes {len(wanted)}; pass an input with {len(wanted)} channels, or with one, which is repeated."
        )

    def _normalize(self, x: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (x.ndim - 1)
        x = x * self.scale  # also the copy that keeps the caller's data apart from the model's
        if self.mean is not None:
            x = x - x.new_tensor(self.mean).reshape(shape)
        if self.std is not None:
            x = x / x.new_tensor(self.std).reshape(shape)
        return x


def adopt(preprocess: Callable[[Any], Any], *, channels: int | None = None) -> Callable[[Input], Prepared]:
    """Make any preprocessing function usable, finding where its output lies in the original by trying it out.

    The function is given a PIL image when the input is a picture and the tensor (c, *spatial) otherwise, and the other
    one where it refuses that. Its geometry is measured once per size, on ramps along each axis. Where it cannot be
    (random crops, rotations, values that are not mapped linearly), a resize of the whole field is assumed,
    `Geometry.exact` is False and a HeatproofWarning says so.

    Args:
        preprocess: torchvision or timm transform, Hugging Face image processor, or any function that returns
            (c, *spatial), (1, c, *spatial) or a mapping with "pixel_values".
        channels: what the model needs; 3 turns grey pictures into RGB first.

    Raises:
        InputError: when called, if the function raises on both or returns something else.
    """
    return Adopted(preprocess, channels)


def restore(maps: Float[Tensor, "..."], geometry: Geometry) -> Float[Tensor, "..."]:
    """Lay maps on any grid that spans the model's input over the original, in one linear interpolation.

    Args:
        maps: (*batch, *grid), as many grid axes as the geometry has.
        geometry: where the model's input lies in the original.

    Returns:
        (*batch, *original_size), in the maps' units; `align_corners=False`. NaN where the model saw nothing, because
        it was cropped away; within half a grid spacing of the border, the value of the border's position.
    """
    first = maps.ndim - len(geometry.scale)
    for axis, (old, seen, scale, offset) in enumerate(
        zip(geometry.original_size, geometry.model_size, geometry.scale, geometry.offset, strict=True), start=first
    ):
        grid = maps.shape[axis]
        # distances from the model's first edge, in float64: 24-bit mantissas misplace points of long signals
        edge = (torch.arange(old, dtype=torch.float64) + 0.5) * scale - offset
        position = (edge * (grid / seen) - 0.5).clamp(0, grid - 1)
        below = position.floor().long()
        above = (below + 1).clamp(max=grid - 1)
        shape = (-1,) + (1,) * (maps.ndim - axis - 1)
        weight = (position - below).to(maps).reshape(shape)
        lower, upper = (maps.index_select(axis, i.to(maps.device)) for i in (below, above))
        maps = torch.lerp(lower, upper, weight.expand_as(lower))
        unseen = ((edge < 0) | (edge > seen)).nonzero().flatten()
        maps = maps.index_fill(axis, unseen.to(maps.device), float("nan"))
    return maps


def _crop_offset(have: int, want: int) -> int:
    """Return where a center crop starts, as torchvision rounds it; negative when it pads."""
    return round((have - want) / 2.0) if have >= want else -((want - have) // 2)


def _crop(x: Tensor, offset: list[int], size: tuple[int, ...], border: list[float] | None) -> Tensor:
    """Cut `size` from `offset` on; what lies outside is `border` (one value a channel) or zero."""
    channels = (slice(None),)
    kept = x[channels + tuple(slice(max(o, 0), o + side) for o, side in zip(offset, size, strict=True))]
    if kept.shape[1:] == size:
        return kept
    out = x.new_zeros(len(x), *size)
    if border is not None:
        out += x.new_tensor(border).reshape((-1,) + (1,) * len(size))
    out[channels + tuple(slice(max(-o, 0), max(-o, 0) + n) for o, n in zip(offset, kept.shape[1:], strict=True))] = kept
    return out
