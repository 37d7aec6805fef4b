"""Using an opaque preprocessing function, and finding out where its output lies in the original."""

import random
import warnings
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from heatproof.errors import HeatproofWarning, InputError
from heatproof.types import Geometry, Input, Prepared

_LEVEL = 1 / 255  # one step of an 8-bit picture: what rounding alone can do to a probe
_GOLDEN = 0.6180339887498949  # its multiples, modulo 1, fill an interval evenly: a dither without randomness
_REPEATS = 32  # of a function that draws random numbers, to see whether they matter
_PHASES = (-0.25, 0.25)  # 8-bit levels by which the ramps are raised, one after the other
_BORDER = 3  # output samples next to the border, where resampling kernels are cut off
_JITTER = 0.5  # original samples: how far off nearest-neighbor resizing picks
_WIDER = 0.1  # share of the seen part of the original by which the second ramp exceeds it on both sides
_SNAP = 0.1  # model samples: a whole-numbered resize and crop this close to the measured one is taken for it;
_SNAP_SHARE = 0.0002  # or this share of all model samples, in large inputs
_FORMS = {"picture": "as a picture", "rgb": "as an RGB picture", "tensor": "as a tensor"}


class Adopted:
    """A user's preprocessing function with its geometry, measured once per input size."""

    def __init__(self, function: Callable[[Any], Any], channels: int | None = None) -> None:
        self.function = function
        self.channels = channels
        self._geometries: dict[tuple[Any, ...], Geometry] = {}

    def __call__(self, input: Input) -> Prepared:
        """Run the function on one input; see `heatproof.inputs.prepare.adopt`."""
        form, tensor = self._first_that_works(input)
        key = (form, *input.data.shape, *tensor.shape)
        if key not in self._geometries:
            self._geometries[key] = self._measure(input, form, tuple(tensor.shape[1:]))
        return Prepared(tensor, self._geometries[key], input)

    def _first_that_works(self, input: Input) -> tuple[str, Tensor]:
        """Run the function on each form of the input until one is taken; return which it was, and the output."""
        refusals: list[str] = []
        forms = list(_FORMS) if input.picture and input.data.ndim == 3 else ["tensor"]
        if self.channels == 3 and "picture" in forms:
            forms.remove("picture")
        for form in forms:
            try:
                return form, self._run(input.data, form, self.function)
            except Exception as error:  # noqa: BLE001  a user's function may raise anything; it is reported below
                refusals.append(f"{_FORMS[form]}: {type(error).__name__}: {error}")
        raise InputError(
            f"The preprocessing function {_name(self.function)} could not be used on {input.name} of shape "
            f"{tuple(input.data.shape)} ({'; '.join(refusals)}). Give one that takes a PIL image or a tensor "
            "(c, *spatial) and returns a tensor (c, *spatial)."
        )

    def _run(self, data: Tensor, form: str, function: Callable[[Any], Any]) -> Tensor:
        if form == "tensor":
            output = function(data.clone())  # a copy: the function may work in place
        else:
            image = to_picture(data)
            output = function(image.convert("RGB") if form == "rgb" else image)
        if isinstance(output, Mapping):
            output = cast(Mapping[str, Any], output)["pixel_values"]
        if isinstance(output, list | tuple):
            output = cast(list[Any], output)[0]
        tensor = torch.as_tensor(output)
        if tensor.ndim == data.ndim + 1 and len(tensor) == 1:
            tensor = tensor[0]
        if tensor.ndim != data.ndim or tensor.numel() == 0:
            raise InputError(f"it returned shape {tuple(tensor.shape)} for an input of shape {tuple(data.shape)}")
        return tensor.detach() if tensor.is_floating_point() else tensor.float()

    def _measure(self, input: Input, form: str, model_size: tuple[int, ...]) -> Geometry:
        """Return the measured geometry, or warn and assume a resize of the whole field."""
        size = input.size
        function = _Watched(self.function)

        def view(picture: Tensor) -> Tensor:
            # a gray picture of as many channels: for a PIL image, converted, which is many times faster
            as_rgb = form == "rgb" or (form == "picture" and len(input.data) == 3)
            data = picture.to(input.data) if as_rgb else picture.to(input.data).expand(input.data.shape)
            try:
                return self._run(data, "rgb" if as_rgb else form, function)
            except Exception as error:
                raise _UnmeasurableError(f"it raises {type(error).__name__} on a test picture ({error})") from error

        try:
            scale, offset = _fit(view, size, model_size, dither=form != "tensor")
            if function.draws and _varies(view, size):
                raise _UnmeasurableError
            return Geometry(size, model_size, scale, offset)
        except _UnmeasurableError as error:
            problem = "it draws random numbers" if function.draws else str(error)
        finally:
            function.put_back()
        warnings.warn(
            f"Where the output of the preprocessing function {_name(self.function)} lies in its input could not be "
            f"measured: {problem}. Maps are laid over the input as if it had only been resized; give "
            "heatproof.inputs.Preprocess(...) instead for an exact place.",
            HeatproofWarning,
            stacklevel=4,
        )
        scale = tuple(new / old for new, old in zip(model_size, size, strict=True))
        return Geometry(size, model_size, scale, (0.0,) * len(size), exact=False)


class _UnmeasurableError(Exception):
    """The function is no resize, crop and flip with linear normalization; the message says what it seems to be."""


class _Watched:
    """A function under watch for draws from the global random generators, which can be put back."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        self.function = function
        self.draws = False
        self._before = _generator_states()

    def __call__(self, argument: Any) -> Any:
        """Run the function."""
        before = _generator_states()
        output = self.function(argument)
        self.draws |= _generator_states() != before
        return output

    def put_back(self) -> None:
        """Set the generators to where they were at the beginning, if the function drew from them."""
        if self.draws:
            _set_generator_states(self._before)


def _varies(view: Callable[[Tensor], Tensor], size: tuple[int, ...]) -> bool:
    """Tell whether the function answers one picture differently; a flip with p = 0.5 is missed once in 4e9 times."""
    ramp = torch.stack([_ramp(size, axis, (0.0, float(size[axis])), None) for axis in range(len(size))]).mean(dim=0)
    first = view(ramp)
    return any(not torch.equal(view(ramp), first) for _ in range(_REPEATS))


def _fit(
    view: Callable[[Tensor], Tensor], size: tuple[int, ...], model_size: tuple[int, ...], *, dither: bool
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return scale and offset per axis, by least squares on what becomes of a ramp along each axis.

    Raises:
        _UnmeasurableError: the outputs are not those of a fixed resize, crop and flip with linear normalization.
    """

    def see(picture: Tensor) -> Tensor:
        seen = view(picture)
        if tuple(seen.shape[1:]) != model_size:
            raise _UnmeasurableError("the size of its output depends on more than the size of its input")
        return seen.double()

    black, white = see(torch.zeros(1, *size)), see(torch.ones(1, *size))
    gain = white - black
    strongest = gain.abs().max()
    if not bool(torch.isfinite(gain).all()) or strongest == 0:
        raise _UnmeasurableError("black and white come out alike or not finite")
    valid = gain.abs() > strongest / 2  # per channel, as gains differ only by std: excludes padding

    def fraction(seen: Tensor) -> Tensor:
        """Undo the normalization, whatever it was: 0 where it looks black, 1 where white; NaN in padding."""
        values = torch.where(valid, (seen - black) / torch.where(valid, gain, 1), torch.nan)
        return values.nanmean(dim=0)

    grey = fraction(see(torch.full((1, *size), 102 / 255)))
    if not bool(((grey - 102 / 255).abs() < 1.5 * _LEVEL)[grey.isfinite()].all()):
        raise _UnmeasurableError("it does not change brightness linearly")

    scales: list[float] = []
    offsets: list[float] = []
    for axis, (old, new) in enumerate(zip(size, model_size, strict=True)):
        ramp = _ramp(size, axis, (0.0, float(old)), 0.0 if dither else None)
        seen = see(ramp)
        if not torch.equal(seen, see(ramp)):
            raise _UnmeasurableError("it answers the same input differently")
        _, _, ends = _line(fraction(seen), axis, old, (0.0, float(old)))
        # again, as steep as what is seen of the field allows; an 8-bit function rounds what it returns, which ramps a
        # fraction of a level apart average out
        margin = _WIDER * (ends[1] - ends[0])
        window = (ends[0] - margin, ends[1] + margin)
        ramps = [_ramp(size, axis, window, level) for level in (_PHASES if dither else (None,))]
        seen = torch.stack([see(ramp) for ramp in ramps]).mean(dim=0)
        slope, start, _ = _line(fraction(seen), axis, old, window)
        scale, offset = _snapped(slope, start, old, new)
        scales.append(scale)
        offsets.append(offset)
    return tuple(scales), tuple(offsets)


def _ramp(size: tuple[int, ...], axis: int, window: tuple[float, float], level: float | None) -> Tensor:
    """Return (1, *size) rising from 0 to 1 across `window`; dithered to 8 bits and raised by `level` of them, if given.

    Distances along the axis are from the field's edge: the first sample's center is at 0.5.
    """

    def along(which: int) -> Tensor:
        counted = torch.arange(size[which], dtype=torch.float64)
        return counted.reshape([-1 if a == which else 1 for a in range(len(size))])

    ramp = ((along(axis) + 0.5 - window[0]) / (window[1] - window[0])).clamp(0, 1)
    if level is None:
        return ramp.float().expand(1, *size)
    across = sum((along(a) for a in range(len(size)) if a != axis), start=torch.ones((), dtype=torch.float64))
    dither = (across * _GOLDEN % 1).float()
    return ((ramp * 255 + level).float() + dither).floor_().clamp_(0, 255).div_(255).expand(1, *size)


def _line(values: Tensor, axis: int, old: int, window: tuple[float, float]) -> tuple[float, float, tuple[float, float]]:
    """Fit `distance in the original = start + slope * distance in the output` along `axis`.

    Returns:
        slope, start, and the first and last distance in the original that is seen.
    """
    width = window[1] - window[0]
    inside = values.isfinite()
    distance = values * width + window[0]
    trusted = inside & (distance > 2) & (distance < old - 2) & (values > 2 * _LEVEL) & (values < 1 - 2 * _LEVEL)
    for other in range(values.ndim):
        rows = inside.transpose(0, other).reshape(values.shape[other], -1).any(dim=1).nonzero().flatten()
        cut = min(_BORDER, (len(rows) - 1) // 3)
        keep = torch.zeros(values.shape[other], dtype=torch.bool)
        keep[rows[cut : len(rows) - cut]] = True
        trusted &= keep.reshape([-1 if a == other else 1 for a in range(values.ndim)])
    if not bool(trusted.any(dim=axis).any()) or len(trusted.nonzero()[:, axis].unique()) < 2:
        trusted = inside  # a short axis is all border
    where = trusted.nonzero().double() + 0.5
    if len(where[:, axis].unique()) < 2:
        raise _UnmeasurableError(f"too few samples along axis {axis} come through ({values.shape[axis]} of {old})")
    seen = distance[trusted]
    center = where.mean(dim=0)
    wide = [a for a in range(values.ndim) if values.shape[a] > 1]
    terms = torch.cat([torch.ones(len(where), 1, dtype=torch.float64), (where - center)[:, wide]], dim=1)
    solution = torch.linalg.lstsq(terms, seen[:, None], driver="gelsd").solution[:, 0]
    residual = (terms @ solution - seen).square().mean().sqrt()
    slopes = dict(zip(wide, solution[1:].tolist(), strict=True))
    extent = where.amax(dim=0) - where.amin(dim=0) + 1
    tolerance = 2 * _LEVEL * width
    leaning = max((abs(s) * float(extent[a]) for a, s in slopes.items() if a != axis), default=0.0)
    slope = slopes[axis]
    if abs(slope) * extent[axis] < tolerance or leaning > tolerance + _JITTER / 2 or residual > tolerance + _JITTER:
        raise _UnmeasurableError("it is more than a resize, a crop and a flip")
    start = float(solution[0] - slope * center[axis])
    rows = inside.transpose(0, axis).reshape(values.shape[axis], -1).any(dim=1).nonzero().flatten()
    first, last = sorted((start + slope * int(rows[0]), start + slope * (int(rows[-1]) + 1)))
    return slope, start, (first, last)


def _snapped(slope: float, start: float, old: int, new: int) -> tuple[float, float]:
    """Return scale and offset of the line; whole-numbered ones, if they differ by less than can be measured."""
    scale, offset = 1 / slope, start / slope
    whole = (round(scale * old) / old, float(round(offset)))
    if whole[0] == 0:
        return scale, offset
    away = [abs((edge + whole[1]) / whole[0] * scale - (edge + offset)) for edge in (0, new)]
    return whole if max(away) < max(_SNAP, _SNAP_SHARE * new) else (scale, offset)


def to_picture(data: Tensor) -> Image.Image:
    """Return the 8-bit PIL image of a picture (1 or 3, h, w) in 0..1."""
    array = (data.detach().clamp(0, 1) * 255).round().to(torch.uint8).cpu().movedim(0, -1).numpy()
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def _name(function: Callable[..., Any]) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _generator_states() -> tuple[Any, ...]:
    """Return the states of the global random generators, comparable with `==`."""
    legacy: Any = np.random.get_state()  # noqa: NPY002  only watched, never drawn from
    return torch.get_rng_state().numpy().tobytes(), random.getstate(), (legacy[0], legacy[1].tobytes(), *legacy[2:])


def _set_generator_states(states: tuple[Any, ...]) -> None:
    of_torch, of_random, of_numpy = states
    torch.set_rng_state(torch.frombuffer(bytearray(of_torch), dtype=torch.uint8))
    random.setstate(of_random)
    np.random.set_state((of_numpy[0], np.frombuffer(of_numpy[1], np.uint32), *of_numpy[2:]))  # noqa: NPY002  put back
