"""From inputs to an Explanation: gather, capture, map, combine, one line a stage."""

import copy
import platform
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

import heatproof
from heatproof.capture import Batch, Engine
from heatproof.capture.engine import LayerSpec, Resolver
from heatproof.capture.runs import out_of_memory
from heatproof.errors import ExplainError, MethodError, UsageError
from heatproof.explain.asked import kind_of, slice_targets
from heatproof.explain.average import Shots, averaged
from heatproof.explain.combine import STATED, Combine, checked
from heatproof.explain.flags import flags_of
from heatproof.explain.gather import Gathered, gather
from heatproof.explain.methods import Method, MethodSpec, find_method, find_methods
from heatproof.explain.several import Explanations
from heatproof.explain.shot import Shot
from heatproof.explain.spellings import layer_of, split, target_of
from heatproof.explain.variants import stated, variants
from heatproof.models import Model, as_model
from heatproof.models.layers import TargetLayer
from heatproof.models.targets import resolve
from heatproof.types import Explanation, Resolution, Target

_CHUNK = 32


@dataclass(frozen=True, eq=False)
class Part:
    """One batch, explained by one method: maps (n, t, *grid) and scores (n, t)."""

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
        method: a method's name in any spelling, or a function from a `Capture` to maps (n, t, *grid).
        batch_size: most inputs in one forward, masked ones included; None takes a batched tensor whole and files 32 at
            a time. Halved when memory runs out.
        combine: how the maps of several layers become one, on the finest grid: "mean", "product" (geometric mean of the
            positive evidence) or "max".
        augment: average over symmetric copies of the input, too: any of "flip_x", "flip_y", "flip_z", "rot90",
            "rot180", "rot270", "*0.9" (brightness), joined by "+". Each map is brought back exactly. A target that
            names a place (a box, a mask) does not move along.
        noise: average over noisy copies of the input: standard deviation as a fraction of each input's range.
        samples: how many draws of noise.
        seed: of the noise, and of the method where it draws.
        differentiable: let maps and scores be part of a training loss: the graph of the network's parameters is kept.
        **settings: of the method (`heatproof methods NAME` lists them); also the peers' names for `layer`:
            target_layer, target_layers.

    Raises:
        MethodError: there is no such method.
        ModelError: the model cannot be used.
        UsageError: there is no such setting.
    """

    def __init__(
        self,
        model: nn.Module | Model,
        layer: LayerSpec = None,
        method: MethodSpec = "gradcam",
        *,
        batch_size: int | None = None,
        combine: str = "mean",
        augment: Sequence[str] = (),
        noise: float = 0.0,
        samples: int = 16,
        seed: int | None = None,
        differentiable: bool = False,
        **settings: Any,
    ) -> None:
        self.model = as_model(model)
        spelled, settings = split(settings)
        self.layer = layer_of(layer, spelled)
        if batch_size is not None and batch_size < 1:
            raise UsageError(f"batch_size is {batch_size}; it must be at least 1, or None.")
        self.batch_size = batch_size
        self.combine: Combine = checked(combine)
        self.augment, self.noise, self.samples, self.seed = augment, noise, samples, seed
        self.differentiable = differentiable
        variants(augment, noise, samples, 0, 3)  # raises now what would be raised at the first input
        self._method = find_method(method, settings, self._defaults())
        self.engine = Engine(self.model.net)

    @property
    def method(self) -> str:
        """The method's name."""
        return self._method.name

    @property
    def plan(self) -> Method:
        """The method with its settings."""
        return self._method

    def _defaults(self) -> dict[str, Any]:
        """Return the explainer's arguments that are settings of some methods, too."""
        return {"batch_size": self.batch_size, "seed": self.seed}

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
        return self._explain(x, target_of(target, spellings), [self._method])[0]

    def compare(
        self, x: Any, target: Any = None, methods: str | Sequence[MethodSpec] = "all", **settings: Any
    ) -> Explanations:
        """Explain inputs with several methods, which share one capture.

        Args:
            x: as for a call.
            target: as for a call.
            methods: a list of methods, or "all" for every CAM method that can work here; those that cannot are listed
                in `Explanations.skipped`.
            **settings: each for those of the methods that take it; also the peers' names for `target`.

        Raises:
            MethodError: a method of the list does not exist or cannot work here.
            InputError, TargetError, LayerError, ExplainError: as their names say.
        """
        spelled, own = split(settings)
        chosen = find_methods(methods, own, self._defaults())
        skipped: dict[str, str] | None = {} if methods == "all" else None
        found = self._explain(x, target_of(target, spelled), chosen, skipped)
        return Explanations({ex.method: ex for ex in found}, skipped or {})

    def _explain(
        self, x: Any, target: Any, methods: Sequence[Method], skipped: dict[str, str] | None = None
    ) -> list[Explanation]:
        limit = self.batch_size or (_CHUNK if isinstance(x, list) else 1 << 30)
        # Whatever mode the caller is in: no gradient passes inference tensors.
        with torch.inference_mode(False), self.engine.pool.steady():
            while True:
                tried = done = 0
                parts: dict[str, list[Part]] = {method.name: [] for method in methods}
                layers: tuple[TargetLayer, ...] | None = None
                try:
                    for gathered in gather(x, self.model, limit):
                        tried = max(tried, gathered.batch.n)
                        shots = self._shots(
                            gathered.batch,
                            self._resolver(slice_targets(target, done, gathered)),
                            kind_of(target),
                            layers,
                        )
                        for method in methods:
                            if (part := self._part(gathered, shots, method, skipped)) is not None:
                                parts[method.name].append(part)
                                layers = part.layers or layers
                        done += gathered.batch.n
                    kept = [m for m in methods if m.name not in (skipped or {})]
                    return [self._join(parts[m.name], m) for m in kept]
                except (MemoryError, RuntimeError) as error:
                    limit = tried // 2
                    if limit == 0 or not out_of_memory(error):
                        raise

    def _resolver(self, target: Any) -> Resolver:
        def resolver(output: Any, n: int) -> tuple[tuple[Target, ...], ...]:
            wanted = target[:n] if isinstance(target, list | tuple) else target
            count = None if self.model.labels is None else len(self.model.labels)
            return resolve(wanted, output, n, self.model.label, self.model.index, count)

        return resolver

    def _shots(self, batch: Batch, resolver: Resolver, kind: Hashable, layers: tuple[TargetLayer, ...] | None) -> Shots:
        def open_shot(batch: Batch, resolver: Resolver, layers: tuple[TargetLayer, ...] | None) -> Shot:
            def find() -> tuple[TargetLayer, ...]:
                return layers or self.engine.layers(batch, self.layer, resolver, kind=kind)

            return Shot(self.engine, batch, find, resolver, combine=self.combine, graph=self.differentiable)

        return Shots(open_shot(batch, resolver, layers), open_shot)

    def _part(self, gathered: Gathered, shots: Shots, method: Method, skipped: dict[str, str] | None) -> Part | None:
        """Return the batch explained by one method; None, with the reason noted in `skipped`, where it cannot be."""
        if skipped is not None and method.name in skipped:
            return None
        try:
            changes = variants(self.augment, self.noise, self.samples, self.seed or 0, len(gathered.batch.size))
            maps = averaged(shots, method, changes)
        except (MethodError, ExplainError) as error:
            if skipped is None:
                raise
            skipped[method.name] = str(error)
            return None
        plain = shots.plain
        return Part(gathered, plain.layers_of(method), maps, plain.scores(method), plain.targets(method))

    def capture_and_map(
        self,
        gathered: Gathered,
        resolver: Resolver,
        kind: Hashable = None,
        layers: tuple[TargetLayer, ...] | None = None,
    ) -> Part:
        """Explain one gathered batch for the targets that `resolver` makes of the output, at these layers if given."""
        with torch.inference_mode(False), torch.enable_grad():  # whatever mode the caller is in
            part = self._part(gathered, self._shots(gathered.batch, resolver, kind, layers), self._method, None)
        assert part is not None
        return part

    def explain_batch(self, gathered: Gathered, resolver: Resolver) -> Explanation:
        """Explain one gathered batch for the targets that `resolver` makes of the output."""
        return self._join([self.capture_and_map(gathered, resolver)], self._method)

    def with_model(self, model: Model, layer: LayerSpec) -> "Explainer":
        """Return an explainer of another model that does all else as this one does."""
        twin = copy.copy(self)
        twin.model, twin.layer, twin.engine = model, layer, Engine(model.net)
        return twin

    def _join(self, parts: Sequence[Part], method: Method) -> Explanation:
        first = parts[0]
        size = first.gathered.batch.size
        maps = torch.cat([p.maps for p in parts])
        inputs = tuple(i for p in parts for i in p.gathered.inputs)
        return Explanation(
            maps=maps,
            scores=torch.cat([p.scores for p in parts]),
            targets=tuple(row for p in parts for row in p.targets),
            method=method.name,
            layer=" + ".join(layer.title for layer in first.layers) or "input",
            resolution=_resolution(first.layers, tuple(maps.shape[2:]), size),
            inputs=inputs,
            geometries=tuple(g for p in parts for g in p.gathered.geometries),
            input_size=size,
            flags=flags_of(maps.detach()),
            units=method.units,
            model=self.model.name,
            provenance=self._provenance(method),
            origin=(self if method == self._method else self._with_method(method), tuple(p.gathered for p in parts)),
        )

    def _with_method(self, method: Method) -> "Explainer":
        twin = copy.copy(self)
        twin._method = method
        return twin

    def _provenance(self, method: Method) -> dict[str, Any]:
        averaged = stated(self.augment, self.noise, self.samples, self.seed or 0)
        return {
            "heatproof": heatproof.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "model": self.model.name,
            "source": self.model.source,
            "method": method.name,
            "settings": {name: _plain(value) for name, value in method.settings.items()},
            "several_layers": STATED[self.combine],
            **({"averaged": averaged} if averaged else {}),
        }


def _resolution(layers: Sequence[TargetLayer], grid: tuple[int, ...], size: tuple[int, ...]) -> Resolution:
    reaches = [layer.reach for layer in layers]
    reach = None
    if layers and all(r is not None for r in reaches):
        reach = tuple(max(r[a] for r in reaches if r is not None) for a in range(len(size)))
    return Resolution(grid, tuple(s / g for s, g in zip(size, grid, strict=True)), reach)


def _plain(value: Any) -> Any:
    """Return a setting as a manifest can hold it."""
    return value if isinstance(value, str | int | float | bool | type(None)) else repr(value)
