"""The way of a volume: brought to the model's spacing, explained window by window, blended, laid over the original."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from heatproof.capture.engine import LayerSpec
from heatproof.errors import InputError, UsageError
from heatproof.explain import Explainer
from heatproof.explain.flags import flags_of
from heatproof.inputs import restore
from heatproof.inputs.prepare import Preprocess
from heatproof.inputs.resample import resize
from heatproof.inputs.world import cropped, resampled
from heatproof.models import Model, as_model
from heatproof.targets import Segmentation
from heatproof.types import Axis, Explanation, Geometry, Input
from heatproof.types.explanation import Resolution
from heatproof.volumes.windows import blend, places

_SAME = 0.01  # a spacing that differs by less than this share is left as it is


@dataclass(frozen=True, eq=False)
class VolumeMap:
    """The evidence for one target at every voxel of the original volume.

    Attributes:
        explanation: one map (1, 1, z, y, x) of the original's size; saves, draws and reports as any other.
        windows: how many were run.
        scores: (windows,) of the target.
    """

    explanation: Explanation
    windows: int
    scores: Float[Tensor, " windows"]

    @property
    def map(self) -> Float[Tensor, "z y x"]:
        """The evidence, signed."""
        return self.explanation.maps[0, 0]

    @property
    def input(self) -> Input:
        """The original volume."""
        return self.explanation.inputs[0]


def explain_volume(
    model: Model | nn.Module,
    volume: Input,
    target: Any = None,
    *,
    window: Sequence[int] | None = None,
    overlap: float = 0.5,
    spacing: Sequence[float] | None = None,
    region: Bool[Tensor, "z y x"] | None = None,
    method: str = "gradcam",
    layer: LayerSpec = None,
    batch_size: int = 1,
    advance: Callable[[int], None] = lambda _: None,
    **settings: Any,
) -> VolumeMap:
    """Explain a volume by a sliding window.

    Windows' values are the method's own times their number of grid positions where it measures the score: their mean,
    not their sum, is what a window's evidence amounts to, so that the scale does not depend on the window.

    Args:
        model: a network with three spatial axes.
        volume: (c, z, y, x).
        target: a class, a label or a callable; None only for a network with one output.
        window: voxels per axis of what the model is given, at `spacing`; None takes the model's crop, else the whole.
        overlap: share of a window that the next one covers, too.
        spacing: mm per axis that the model was trained at; the volume is brought to it, and the map back.
        region: (z, y, x) of the original: explain the mean logit of the target class inside it, for segmentations;
            windows without it are left out.
        method: name of the CAM method.
        layer: target layer; None chooses.
        batch_size: windows in one forward.
        advance: called with the number of windows just finished.
        **settings: of the method.

    Raises:
        InputError: the volume has not three axes, or no spacing where one is asked for.
        UsageError: window, overlap or region do not fit.
    """
    model = as_model(model)
    if len(volume.size) != 3:
        raise InputError(
            f"{volume.name} has {len(volume.size)} spatial axes; a volume has 3 (for a slide: heatproof wsi)."
        )
    if not 0 <= overlap < 1:
        raise UsageError(
            f"overlap={overlap} must be at least 0 and below 1: the share of a window that the next covers."
        )
    if region is not None and (tuple(region.shape) != volume.size or not region.any()):
        raise UsageError(
            f"The region has shape {tuple(region.shape)} and {int(region.sum())} voxels, the volume {volume.size}; "
            "give a mask of the volume's shape that marks something."
        )
    seen = volume if spacing is None else _at_spacing(volume, spacing)
    inside = None if region is None else _resized(region, seen.size)
    side = _window(model, window, seen.size)
    bare = _without_sizes(model)
    begins = places(seen.size, side, overlap)
    if inside is not None:
        begins = [b for b in begins if inside[_slices(b, side)].any()]
    explainer = Explainer(bare, layer, method, batch_size=batch_size, **settings)
    kept: list[Explanation] = []

    def maps() -> Iterator[tuple[tuple[int, ...], Tensor]]:
        for first in range(0, len(begins), batch_size):
            here = begins[first : first + batch_size]
            parts = [_cut(seen, begin, side) for begin in here]
            goals = [_goal(target, inside, begin, side) for begin in here]
            found = explainer(parts, None if target is None and inside is None else goals)
            kept.append(replace(found, origin=None))
            factor = found.maps[0, 0].numel() if found.units == "score" else 1
            full = F.interpolate(found.maps * factor, size=side, mode="trilinear", align_corners=False)
            yield from zip(here, full[:, 0], strict=True)
            advance(len(here))

    blended = blend(seen.size, side, maps())
    whole = blended if seen.size == volume.size else restore(blended[None], _geometry(volume.size, seen.size))[0]
    scores = torch.cat([one.scores[:, 0] for one in kept])
    return VolumeMap(_explanation(volume, whole, kept[0], scores, seen, side), len(begins), scores)


def _explanation(
    volume: Input, whole: Tensor, first: Explanation, scores: Tensor, seen: Input, side: tuple[int, ...]
) -> Explanation:
    factors = [old / new for old, new in zip(volume.size, seen.size, strict=True)]
    field = first.resolution.receptive_field
    resolution = Resolution(
        volume.size,
        tuple(s * f for s, f in zip(first.resolution.spacing, factors, strict=True)),
        None if field is None else tuple(s * f for s, f in zip(field, factors, strict=True)),
    )
    maps = whole.nan_to_num(nan=0.0)[None, None]  # where no window was: no evidence was looked for
    return replace(
        first,
        maps=maps,
        scores=scores.max().reshape(1, 1),
        targets=first.targets[:1],
        inputs=(volume,),
        geometries=(Geometry.identity(volume.size),),
        input_size=volume.size,
        resolution=resolution,
        flags=flags_of(maps),
        provenance=first.provenance | {"window": list(side), "score": "the highest of all windows"},
        origin=None,
        quick_checks=None,
    )


def _at_spacing(volume: Input, spacing: Sequence[float]) -> Input:
    have = [axis.spacing() if axis.unit == "mm" else None for axis in volume.axes]
    if len(spacing) != 3 or any(not side > 0 for side in spacing):
        raise UsageError(
            f"spacing={tuple(spacing)} must be three numbers above 0, in mm, in the order of the volume's axes."
        )
    if None in have:
        raise InputError(
            f"{volume.name} does not say its voxels' size in mm, so it cannot be brought to {tuple(spacing)} mm."
        )
    size = tuple(
        n if abs(h / s - 1) < _SAME else max(1, round(n * h / s))
        for n, h, s in zip(volume.size, (h for h in have if h is not None), spacing, strict=True)
    )
    if size == volume.size:
        return volume
    data = resize(volume.data, size)
    axes = tuple(
        Axis(a.name, "mm", (torch.arange(n).double().numpy()) * a.spacing() * old / n)
        for a, n, old in zip(volume.axes, size, volume.size, strict=True)
    )
    affine = None if volume.affine is None else resampled(volume.affine, volume.size, size)
    return replace(volume, data=data, axes=axes, affine=affine)


def _geometry(original: tuple[int, ...], model: tuple[int, ...]) -> Geometry:
    scale = tuple(new / old for new, old in zip(model, original, strict=True))
    return Geometry(original, model, scale, (0.0,) * len(original))


def _resized(region: Bool[Tensor, "z y x"], size: tuple[int, ...]) -> Bool[Tensor, "Z Y X"]:
    if tuple(region.shape) == size:
        return region
    return F.adaptive_max_pool3d(region[None, None].float(), size)[0, 0] > 0


def _window(model: Model, window: Sequence[int] | None, size: tuple[int, ...]) -> tuple[int, ...]:
    if window is None:
        crop = model.preprocess.crop if isinstance(model.preprocess, Preprocess) else None
        window = crop if crop is not None and len(crop) == 3 else size
    if len(window) != 3 or any(side < 1 for side in window):
        raise UsageError(f"window={tuple(window)} must be three numbers of voxels of at least 1.")
    return tuple(min(w, s) for w, s in zip(window, size, strict=True))


def _without_sizes(model: Model) -> Model:
    prepare = model.preprocess
    if not isinstance(prepare, Preprocess):
        return model
    return Model(model.net, replace(prepare, resize=None, crop=None), model.labels, model.name, model.source)


def _slices(begin: Sequence[int], side: Sequence[int]) -> tuple[slice, ...]:
    return tuple(slice(b, b + s) for b, s in zip(begin, side, strict=True))


def _cut(volume: Input, begin: tuple[int, ...], side: tuple[int, ...]) -> Input:
    here = _slices(begin, side)
    axes = tuple(
        replace(a, coordinates=None if a.coordinates is None else a.coordinates[s])
        for a, s in zip(volume.axes, here, strict=True)
    )
    affine = None if volume.affine is None else cropped(volume.affine, begin)
    data = volume.data[(slice(None), *here)]
    return replace(volume, data=data, axes=axes, affine=affine, name=f"{volume.name} {begin}", picture=False)


def _goal(target: Any, inside: Tensor | None, begin: tuple[int, ...], side: tuple[int, ...]) -> Any:
    if inside is None:
        return target
    return Segmentation(0 if target is None else target, inside[_slices(begin, side)].float())
