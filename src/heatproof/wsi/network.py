"""How a network is to be run over a slide so that its tiles fit together: found out by trying it on the slide."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from heatproof.cam import cam as textbook
from heatproof.capture import Batch, Engine
from heatproof.capture.engine import LayerSpec, Resolver
from heatproof.capture.forward import run_tail_recorded
from heatproof.errors import LayerError, MethodError, ModelError, TargetError
from heatproof.inputs import Preprocess, from_array
from heatproof.models import Model
from heatproof.models.layers import TargetLayer
from heatproof.models.outputs import class_scores
from heatproof.models.targets import resolve
from heatproof.types import Capture

Mode = Literal["seamless", "blended"]
Read = Callable[[int, int, int, int], UInt8[np.ndarray, "h w 3"]]
"""(x, y, width, height) -> a region of the slide at the model's microns per pixel."""

SEAMLESS = ("gradcam", "cam", "hirescam")
"""Methods that are one and the same where the head is linear in the mean of each channel."""

_PROBES = (512, 1024, 2048)
_INNER = 4  # grid positions whose values with little and with much around them are compared
_AGREE = 1e-3


@dataclass(frozen=True, eq=False)
class Way:
    """How the network is run.

    Attributes:
        mode: "seamless" where a position's evidence does not depend on the tile it was computed in; else "blended".
        why: the reason, for reports.
        layer: the target layer.
        spacing: pixels per grid position.
        halo: pixels around a tile that its grid positions can depend on; 0 when blended.
        weights: of the channels, the same for the whole slide; None when blended.
        bias: what a place of the slide scores without any evidence; None when blended.
        target: what captions call the target.
    """

    mode: Mode
    why: str
    layer: TargetLayer | None
    spacing: float
    halo: int
    weights: Float[Tensor, " k"] | None
    bias: float | None
    target: str


@dataclass(frozen=True, eq=False)
class Network:
    """A model whose preprocessing leaves sizes alone, with its engine and the one target.

    Attributes:
        model: the model.
        engine: its captures.
        target: as the user gave it.
        layer: likewise.
    """

    model: Model
    engine: Engine
    target: Any
    layer: LayerSpec

    @classmethod
    def of(cls, model: Model, target: Any, layer: LayerSpec = None) -> "Network":
        """Return the network for tiles: resizing and cropping are the slide reader's work, by microns per pixel.

        Raises:
            ModelError: the preprocessing is a function of which nobody knows what it does to sizes.
        """
        prepare = model.preprocess
        if isinstance(prepare, Preprocess):
            model = Model(model.net, replace(prepare, resize=None, crop=None), model.labels, model.name, model.source)
        elif prepare is not None:
            raise ModelError(
                f"The preprocessing of {model.name} is a function ({type(prepare).__name__}); what it does to sizes is "
                "not known, and on slides the microns per pixel decide. Give its mean and std: --preprocess FILE.json, "
                "or in Python Model(net, Preprocess(mean=..., std=...))."
            )
        return cls(model, Engine(model.net), target, layer)

    def batch(self, pictures: list[UInt8[np.ndarray, "h w 3"]]) -> Batch:
        """Return tiles as the network takes them."""
        tensors = [self.model.prepare(from_array(p, layout="hwc", name="tile")).tensor for p in pictures]
        return Batch.of(torch.stack(tensors), self.model.net)

    def resolver(self) -> Resolver:
        """Return what finds the target in an output.

        Raises:
            TargetError: when called: no target was given, and the network has several classes.
        """

        def find(output: Any, n: int) -> Any:
            wanted = self.target
            if wanted is None:
                classes = class_scores(output, n).shape[1]
                if classes != 1:
                    some = ", ".join(repr(self.model.label(i)) for i in range(min(classes, 4)))
                    raise TargetError(
                        f"The network has {classes} classes; name the one to explain over the whole slide with "
                        f"--target ({some}{', ...' if classes > 4 else ''})."
                    )
                wanted = 0
            count = None if self.model.labels is None else len(self.model.labels)
            return resolve([[wanted]] * n, output, n, self.model.label, self.model.index, count)

        return find

    def activations(self, layer: TargetLayer, batch: Batch) -> Float[Tensor, "n k h w"]:
        """Return what the layer makes of tiles, in float32."""
        with self.engine.pool.borrow(quiet=True) as view:
            _, raws = run_tail_recorded(view, batch, [layer])
        return layer.layout.to_grid(raws[0].detach()).float()


def study(network: Network, read: Read, center: tuple[int, int], method: str, window: int) -> Way:
    """Find out how to run a network over a slide.

    Seamless takes a head that is linear in each channel's mean, a layer whose positions see a bounded part of the
    input, and proof on this slide: positions must come out the same with little and with much around them.

    Args:
        network: the network.
        read: of the slide.
        center: a place with tissue, in pixels at the model's microns per pixel.
        method: name of the CAM method.
        window: side of a tile when blended, in pixels.

    Raises:
        TargetError, LayerError, ModelError: the target or the layer does not exist, or the network does not run.
    """

    def blended(why: str) -> Way:
        capture, layer, name = _capture(network, _around(read, center, window))
        grid = capture.activations.shape[2:]
        return Way("blended", why, layer, window / max(grid), 0, None, None, name)

    if method not in SEAMLESS:
        return blended(f"{method} weighs channels by the tile")
    try:
        found = _reach(network, read, center)
    except (TargetError, LayerError):
        raise
    except Exception as error:  # noqa: BLE001  a network of one fixed size refuses larger tiles as it likes
        return blended(f"the network does not run on tiles of {_PROBES[0]} pixels ({_short(error)})")
    if isinstance(found, str):
        return blended(found)
    capture, layer, name, spacing = found
    try:
        weights = _weights(capture)
    except MethodError as error:
        return blended(_short(error))
    assert layer.reach is not None
    halo = (ceil(max(layer.reach) / 2 / spacing) + 1) * spacing
    if (why := _disagreement(network, layer, read, center, spacing, halo)) is not None:
        return blended(why)
    bias = float(capture.scores[0, 0] - (weights @ capture.activations[0].flatten(1)).mean())
    why = "the head is linear in the mean of each channel: one set of weights holds for the whole slide"
    return Way("seamless", why, layer, float(spacing), halo, weights, bias, name)


def _capture(network: Network, picture: UInt8[np.ndarray, "h w 3"]) -> tuple[Capture, TargetLayer, str]:
    batch, resolver = network.batch([picture]), network.resolver()
    layers = network.engine.layers(batch, network.layer, resolver)
    if len(layers) != 1:
        names = ", ".join(layer.title for layer in layers)
        raise LayerError(
            f"A slide's map is made at one layer, but there are {len(layers)} ({names}); name one of them."
        )
    captures, targets, _ = network.engine.capture(batch, layers, resolver)
    return captures[0], layers[0], targets[0][0].name


def _reach(network: Network, read: Read, center: tuple[int, int]) -> tuple[Capture, TargetLayer, str, int] | str:
    """Return a capture large enough to see how far a position sees; or why there is none."""
    for side in _PROBES:
        capture, layer, name = _capture(network, _around(read, center, side))
        if layer.reach is None:
            return f"every position of {layer.title} can depend on the whole tile"
        spacing, rest = divmod(side, capture.activations.shape[2])
        if rest or capture.activations.shape[2] != capture.activations.shape[3]:
            return f"the grid of {layer.title} does not divide a tile of {side} pixels evenly"
        if max(layer.reach) < side:
            return capture, layer, name, spacing
    return f"a position of {layer.title} sees more than {_PROBES[-1]} pixels"  # pyright: ignore[reportPossiblyUnboundVariable]  there are probes


def _weights(capture: Capture) -> Float[Tensor, " k"]:
    """Return dy/d(mean of channel), which the head must have; the textbook's own check decides."""
    textbook.cam(capture)
    return capture.gradients[0, 0].flatten(1).sum(-1).float()


def _disagreement(
    network: Network, layer: TargetLayer, read: Read, center: tuple[int, int], spacing: int, halo: int
) -> str | None:
    """Return why positions differ with what lies around their tile; None where they do not."""
    inner = _INNER * spacing
    place = [c // spacing * spacing for c in center]
    small, large = (
        network.activations(layer, network.batch([read(place[0] - m, place[1] - m, inner + 2 * m, inner + 2 * m)]))[0]
        for m in (halo, 2 * halo)
    )
    h = halo // spacing
    one, other = small[:, h : h + _INNER, h : h + _INNER], large[:, 2 * h : 2 * h + _INNER, 2 * h : 2 * h + _INNER]
    apart = float((one - other).abs().max())
    if apart <= _AGREE * float(other.abs().max()) + 1e-6:
        return None
    return (
        f"positions of {layer.title} change by up to {apart:.2g} with what lies beyond their receptive field "
        f"({halo} pixels): some layer looks at the whole tile"
    )


def _around(read: Read, center: tuple[int, int], side: int) -> UInt8[np.ndarray, "h w 3"]:
    return read(center[0] - side // 2, center[1] - side // 2, side, side)


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 160 else text[:157] + "..."
