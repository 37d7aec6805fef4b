"""From inputs to an Explanation: gather, capture, map, combine, one line a stage."""

import platform
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import heatproof
from heatproof.cam import method as find_method
from heatproof.capture import Engine
from heatproof.capture.engine import LayerSpec, Resolver
from heatproof.errors import MethodError, TargetError, UsageError
from heatproof.explain.flags import flags_of
from heatproof.explain.gather import Gathered, gather
from heatproof.explain.spellings import layer_of, target_of
from heatproof.models import Model, as_model
from heatproof.models.layers import TargetLayer
from heatproof.models.targets import resolve
from heatproof.types import Capture, Explanation, Resolution, Target
from heatproof.types.explanation import LINEAR

Method = str | Callable[[Capture], Tensor]

_CHUNK = 32


@dataclass(frozen=True, eq=False)
class Part:
    """One batch, explained: maps (n, t, *grid) and scores (n, t)."""

    gathered: Gathered
    layers: tuple[TargetLayer, ...]
    maps: Tensor
    scores: Tensor
    targets: tuple[tuple[Target, ...], ...]


class Explainer:
    """Explains one model again and again; thread-safe, and also a context manager.

    Args:
        model: a `Model` or any `torch.nn.Module`; it is never changed.
        layer: None for the automatic choice, a dotted name, a module of the network, or a list of these.
        method: a CAM method's name in any spelling, or a function from a `Capture` to maps (n, t, *grid).
        batch_size: most inputs in one forward; None takes a batched tensor whole and files 32 at a time. Halved when
            memory runs out.
        **spellings: the peers' names for `layer`: target_layer, target_layers.

    Raises:
        MethodError: there is no such method.
        ModelError: the model cannot be used.
    """

    def __init__(
        self,
        model: nn.Module | Model,
        layer: LayerSpec = None,
        method: Method = "gradcam",
        *,
        batch_size: int | None = None,
        **spellings: Any,
    ) -> None:
        self.model = as_model(model)
        self.layer = layer_of(layer, spellings)
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"batch_size is {batch_size}; it must be at least 1, or None.")
        self.batch_size = batch_size
        self.cam = method
        if callable(method):
            self.method, self._cam = getattr(method, "__name__", "custom"), method
            self.units = "unknown"
        elif not isinstance(method, str):  # pyright: ignore[reportUnnecessaryIsInstance]  not every user runs a type checker
            raise MethodError(
                f"method is {method!r}; pass the name of a CAM method or a function from a Capture to maps."
            )
        else:
            plugin = find_method(method)
            self.method, self._cam = plugin.name, plugin.function
            self.units = getattr(import_module(plugin.module), "UNITS", "score")
        self.engine = Engine(self.model.net)

    def __enter__(self) -> "Explainer":
        return self

    def __exit__(self, *_: object) -> None:
        self.engine = Engine(self.model.net)  # lets go of views and traces

    def __call__(self, x: Any, target: Any = None, **spellings: Any) -> Explanation:
        """Explain inputs.

        Args:
            x: a batched tensor (n, c, *spatial), a tuple or dict of the network's arguments; or originals (path,
                picture, array, unbatched tensor, `Input`, or a list of these), prepared by the model's preprocessing.
            target: None (predicted class), an int, a label, a callable `output_of_one_input -> scalar`, a list of
                these (one per input), or a list of lists (several per input).
            **spellings: the peers' names for `target`: class_idx, targets.

        Raises:
            InputError, TargetError, LayerError, MethodError, ExplainError: as their names say.
        """
        target = target_of(target, spellings)
        limit = self.batch_size or (_CHUNK if isinstance(x, list) else 1 << 30)
        # Whatever mode the caller is in: no gradient passes inference tensors.
        with torch.inference_mode(False), self.engine.pool.steady():
            while True:
                tried = 0
                parts: list[Part] = []
                done = 0
                try:
                    for gathered in gather(x, self.model, limit):
                        tried = max(tried, gathered.batch.n)
                        layers = parts[0].layers if parts else None
                        parts.append(self._part(gathered, _slice(target, done, gathered), layers))
                        done += gathered.batch.n
                    return self._join(parts)
                except (torch.OutOfMemoryError, MemoryError):
                    limit = tried // 2
                    if limit == 0:
                        raise

    def _part(self, gathered: Gathered, target: Any, layers: tuple[TargetLayer, ...] | None) -> Part:
        def resolver(output: Any, n: int) -> tuple[tuple[Target, ...], ...]:
            wanted = target[:n] if isinstance(target, list | tuple) else target
            return resolve(wanted, output, n, self.model.label, self.model.index)

        return self.capture_and_map(gathered, resolver, kind=_kind(target), layers=layers)

    def capture_and_map(
        self,
        gathered: Gathered,
        resolver: Resolver,
        kind: Hashable = None,
        layers: tuple[TargetLayer, ...] | None = None,
    ) -> Part:
        """Explain one gathered batch for the targets that `resolver` makes of the output, at these layers if given."""
        batch = gathered.batch
        layers = layers or self.engine.layers(batch, self.layer, resolver, kind=kind)
        captures, targets, _ = self.engine.capture(batch, layers, resolver)
        maps = _combine([self._map(capture) for capture in captures])
        return Part(gathered, layers, maps, captures[0].scores, targets)

    def _map(self, capture: Capture) -> Tensor:
        # A caller's autocast would compute the map in half precision.
        with torch.autocast(capture.activations.device.type, enabled=False):
            maps: Any = self._cam(capture)
        n, t = capture.scores.shape
        expected = (n, t, *capture.activations.shape[2:])
        found = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        if found != expected:
            raise MethodError(f"The method {self.method!r} returned {found} instead of a tensor of shape {expected}.")
        return maps.detach()

    def _join(self, parts: Sequence["Part"]) -> Explanation:
        first = parts[0]
        size = first.gathered.batch.size
        maps = torch.cat([p.maps for p in parts])
        inputs = tuple(i for p in parts for i in p.gathered.inputs)
        return Explanation(
            maps=maps,
            scores=torch.cat([p.scores for p in parts]),
            targets=tuple(row for p in parts for row in p.targets),
            method=self.method,
            layer=" + ".join(layer.title for layer in first.layers),
            resolution=_resolution(first.layers, tuple(maps.shape[2:]), size),
            inputs=inputs,
            geometries=tuple(g for p in parts for g in p.gathered.geometries),
            input_size=size,
            flags=flags_of(maps),
            units=self.units,
            model=self.model.name,
            provenance=self._provenance(),
            origin=(self, tuple(p.gathered for p in parts)),
        )

    def _provenance(self) -> dict[str, Any]:
        return {
            "heatproof": heatproof.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "model": self.model.name,
            "source": self.model.source,
            "method": self.method,
            "several_layers": "mean over layers, each resampled linearly to the finest grid",
        }


def explain(
    model: nn.Module | Model,
    x: Any,
    target: Any = None,
    method: Method = "gradcam",
    layer: LayerSpec = None,
    *,
    batch_size: int | None = None,
    **spellings: Any,
) -> Explanation:
    """Explain what `model` looked at in `x`: one call of an `Explainer`, see there for arguments and errors.

    Source: Selvaraju et al. 2017, "Grad-CAM", eqs. 1 and 2, for the default method.
    """
    layer = layer_of(layer, {k: spellings.pop(k) for k in list(spellings) if k.startswith("target_layer")})
    target = target_of(target, spellings)
    return Explainer(model, layer, method, batch_size=batch_size)(x, target)


def _combine(maps: Sequence[Tensor]) -> Tensor:
    """Return the mean of the layers' maps, on the finest of their grids."""
    if len(maps) == 1:
        return maps[0]
    finest = max((tuple(m.shape[2:]) for m in maps), key=lambda g: torch.Size(g).numel())
    mode = LINEAR[len(finest)]
    same = [
        m if tuple(m.shape[2:]) == finest else F.interpolate(m, size=finest, mode=mode, align_corners=False)
        for m in maps
    ]
    return torch.stack(same).mean(0)


def _resolution(layers: Sequence[TargetLayer], grid: tuple[int, ...], size: tuple[int, ...]) -> Resolution:
    reaches = [layer.reach for layer in layers]
    reach = None
    if all(r is not None for r in reaches):
        reach = tuple(max(r[a] for r in reaches if r is not None) for a in range(len(size)))
    return Resolution(grid, tuple(s / g for s, g in zip(size, grid, strict=True)), reach)


def _slice(target: Any, begin: int, gathered: Gathered) -> Any:
    """Return the targets of one chunk; a list whose length is not the number of inputs is refused at once."""
    if hasattr(target, "tolist") and not callable(target):
        target = target.tolist()
    if not isinstance(target, list | tuple):
        return target
    total = gathered.total
    if len(target) != total:
        one = f"; for several targets of one input write [{list(target)!r}]" if total == 1 and target else ""
        raise TargetError(f"{len(target)} targets for {total} inputs: give one entry per input{one}.")
    return list(target[begin : begin + gathered.batch.n])


def _kind(target: Any) -> Hashable:
    """Return what tells targets apart that may flow through other layers: the first input's callables, by identity."""
    first = target[0] if isinstance(target, list | tuple) and target else target
    return tuple(_Same(v) for v in (first if isinstance(first, list | tuple) else [first]) if callable(v))


class _Same:
    """A dictionary key for any object, hashable or not, that stands for this very object (or bound method)."""

    def __init__(self, value: Any) -> None:
        self._parts = (getattr(value, "__func__", value), getattr(value, "__self__", None))

    def __hash__(self) -> int:
        return hash(tuple(map(id, self._parts)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and all(a is b for a, b in zip(self._parts, other._parts, strict=True))
