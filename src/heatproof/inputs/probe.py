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
_PHASES = 8  # ramps per axis
_BORDER = 3  # output samples next to the border, where resampling kernels are cut off
_SNAP = 0.05  # model samples: a whole-numbered resize and crop this close to the measured one is taken for it
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
                return form, self._run(input.data, form)
            except Exception as error:  # noqa: BLE001  a user's function may raise anything; it is reported below
                refusals.append(f"{_FORMS[form]}: {type(error).__name__}: {error}")
        raise InputError(
            f"The preprocessing function {_name(self.function)} could not be used on {input.name} of shape "
            f"{tuple(input.data.shape)} ({'; '.join(refusals)}). Give one that takes a PIL image or a tensor "
            "(c, *spatial) and returns a tensor (c, *spatial)."
        )

    def _run(self, data: Tensor, form: str) -> Tensor:
        if form == "tensor":
            output = self.function(data.clone())  # a copy: the function may work in place
        else:
            image = to_picture(data)
            output = self.function(image.convert("RGB") if form == "rgb" else image)
        if isinstance(output, Mapping):
            output = cast(Mapping[str, Any], output)["pixel_values"]
        if isinstance(output, list | tuple):
            output = cast(list[Any], output)[0]
        tensor = torch.as_tensor(output)
        if tensor.ndim == data.ndim + 1 and len(tensor) == 1:
            tensor = tensor[0]
        if tensor.ndim != data.ndim:
            raise InputError(f"it returned shape {tuple(tensor.shape)} for an input of shape {tuple(data.shape)}")
        return tensor if tensor.is_floating_point() else tensor.float()

    def _measure(self, input: Input, form: str, model_size: tuple[int, ...]) -> Geometry:
        """Return the measured geometry, or warn and assume a resize of the whole field."""
        size = input.size

        def view(picture: Tensor) -> Tensor:
            return self._run(picture.to(input.data).expand(input.data.shape), form)

        before = _generator_states()
        problem = None
        try:
            scale, offset = _fit(view, size, model_size, dither=form != "tensor")
        except _UnmeasurableError as error:
            scale, offset, problem = (), (), str(error)
        if _generator_states() != before:
            _set_generator_states(before)
            problem = "it draws random numbers"
        if problem is None:
            return Geometry(size, model_size, scale, offset)
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
        # 8-bit functions round what they return: ramps a fraction of a level apart average that out
        levels = [(i + 0.5) / _PHASES - 0.5 for i in range(_PHASES)] if dither else [None]
        ramps = [_ramp(size, axis, level) for level in levels]
        seen = [see(ramp) for ramp in ramps]
        if not torch.equal(seen[0], see(ramps[0])):
            raise _UnmeasurableError("it answers the same input differently")
        slope, intercept = _line(fraction(torch.stack(seen).mean(dim=0)), axis, old)
        # the ramp is (original + 0.5) / old, and original + 0.5 = (model + 0.5 + offset) / scale
        scale = 1 / (slope * old)
        offset = intercept * old * scale
        scale, offset = _snapped(scale, offset, old, new)
        scales.append(scale)
        offsets.append(offset)
    return tuple(scales), tuple(offsets)


def _ramp(size: tuple[int, ...], axis: int, level: float | None) -> Tensor:
    """Return (1, *size) rising from 0 to 1 along `axis`; dithered to 8 bits and raised by `level` of them, if given."""
    shape = [1] * len(size)
    shape[axis] = size[axis]
    ramp = ((torch.arange(size[axis], dtype=torch.float64) + 0.5) / size[axis]).reshape(shape).expand(size)
    if level is not None:
        across = torch.zeros(size, dtype=torch.float64)
        for other in range(len(size)):
            if other != axis:
                shape = [1] * len(size)
                shape[other] = size[other]
                across = across + torch.arange(size[other], dtype=torch.float64).reshape(shape)
        ramp = (ramp * 255 + level + (across + 1) * _GOLDEN % 1).floor().clamp(0, 255) / 255
    return ramp[None].float()


def _line(values: Tensor, axis: int, old: int) -> tuple[float, float]:
    """Fit `values = intercept + slope * (position + 0.5)` along `axis`, away from borders, padding and clipping."""
    inside = values.isfinite()
    margin = max(2 / old, 2 * _LEVEL)
    trusted = inside & (values > margin) & (values < 1 - margin)
    for other in range(values.ndim):
        rows = inside.transpose(0, other).flatten(1).any(dim=1).nonzero().flatten()
        cut = min(_BORDER, (len(rows) - 1) // 3)
        keep = torch.zeros(values.shape[other], dtype=torch.bool)
        keep[rows[cut : len(rows) - cut]] = True
        trusted &= keep.reshape([-1 if a == other else 1 for a in range(values.ndim)])
    where = trusted.nonzero().double() + 0.5
    if len(where) == 0 or len(where[:, axis].unique()) < 2:
        raise _UnmeasurableError(f"too few samples along axis {axis} come through ({values.shape[axis]} of {old})")
    seen = values[trusted]
    center = where.mean(dim=0)
    spread = torch.cat([torch.ones(len(where), 1, dtype=torch.float64), where - center], dim=1)
    spread = spread[:, [0, *(1 + a for a in range(values.ndim) if values.shape[a] > 1)]]
    solution = torch.linalg.lstsq(spread, seen[:, None], driver="gelsd").solution
    residual = (spread @ solution)[:, 0] - seen
    slopes = dict(zip([a for a in range(values.ndim) if values.shape[a] > 1], solution[1:, 0].tolist(), strict=True))
    leaning = max((abs(s) * values.shape[a] for a, s in slopes.items() if a != axis), default=0.0)
    slope = slopes.get(axis, 0.0)
    if (
        abs(slope) * values.shape[axis] < 2 * _LEVEL
        or leaning > 2 * _LEVEL
        or residual.square().mean().sqrt() > 2 * _LEVEL
    ):
        raise _UnmeasurableError("it is more than a resize, a crop and a flip")
    return slope, float(solution[0, 0] - slope * center[axis])


def _snapped(scale: float, offset: float, old: int, new: int) -> tuple[float, float]:
    """Take the whole-numbered resize and crop instead, if it differs by less than can be measured."""
    whole = round(scale * old)
    near = (whole / old, float(round(offset)))
    first, last = (abs((near[0] - scale) * edge - (near[1] - offset)) for edge in (0, old))
    return near if whole != 0 and max(first, last) < max(_SNAP, 0.001 * new) else (scale, offset)


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
