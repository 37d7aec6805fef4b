"""One batch explained: captured once, at the first CAM method that asks; the maps of any number of methods from it."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from heatproof.capture import Batch, Engine
from heatproof.capture.engine import Resolver
from heatproof.capture.subject import subject as open_subject
from heatproof.errors import MethodError
from heatproof.explain.combine import Combine, combined
from heatproof.explain.methods import Method
from heatproof.models.layers import TargetLayer
from heatproof.types import Capture, Subject, Target

Targets = tuple[tuple[Target, ...], ...]


class Shot:
    """Maps of one batch for one set of targets.

    Args:
        engine: of the network.
        batch: what to run.
        layers: finds the target layers when they are needed.
        resolve: finds the targets from the output.
        combine: how the maps of several layers become one.
        graph: keep the graph of the network's parameters, so that maps can be part of a training loss.
    """

    def __init__(
        self,
        engine: Engine,
        batch: Batch,
        layers: Callable[[], tuple[TargetLayer, ...]],
        resolve: Resolver,
        *,
        combine: Combine,
        graph: bool = False,
    ) -> None:
        self.batch = batch
        self._engine, self._find_layers, self._resolve = engine, layers, resolve
        self._combine: Combine = combine
        self._graph = graph
        self._on_a_cam: set[str] = set()

    @cached_property
    def layers(self) -> tuple[TargetLayer, ...]:
        """The target layers."""
        return self._find_layers()

    @cached_property
    def _captured(self) -> tuple[list[Capture], Targets]:
        return self._engine.capture(self.batch, self.layers, self._resolve, graph=self._graph)[:2]

    @cached_property
    def _subject(self) -> tuple[Subject, Targets]:
        return open_subject(self._engine, self.batch, lambda: self.layers, self._resolve)

    def layers_of(self, method: Method) -> tuple[TargetLayer, ...]:
        """Return the layers that the method's maps, made before, came from; none for an attribution without a CAM."""
        return self.layers if method.kind == "cam" or method.name in self._on_a_cam else ()

    def scores(self, method: Method) -> Tensor:
        """Return y (n, t) from the run that the method needs."""
        return self._captured[0][0].scores if method.kind == "cam" else self._subject[0].scores

    def targets(self, method: Method) -> Targets:
        """Return what is explained."""
        return self._captured[1] if method.kind == "cam" else self._subject[1]

    def maps(self, method: Method) -> Tensor:
        """Return the method's maps (n, t, *grid), those of several layers as one.

        Raises:
            MethodError: the method cannot work here, returns something else than such maps, or has no gradient for
                the training loss that was asked for.
        """
        if self._graph and not (method.differentiable and method.kind == "cam"):
            raise MethodError(
                f"The map of {method.name} has no gradient with respect to the network's parameters; with "
                "differentiable=True use gradcam, hirescam, layercam or gradcam_plusplus."
            )
        sources, grids = self._sources(method)
        # A caller's autocast would compute the map in half precision; an attribution runs the network under it, though.
        off = (
            nullcontext()
            if method.kind == "attribution"
            else torch.autocast(sources[0].scores.device.type, enabled=False)
        )
        with (
            off,
            torch.set_grad_enabled(self._graph or torch.is_grad_enabled()),
        ):
            found = [
                _checked(method.function(source, **method.settings), grid, source.scores, method)
                for source, grid in zip(sources, grids, strict=True)
            ]
            maps = combined(found, self._combine)
        return maps if self._graph else maps.detach()

    def _sources(self, method: Method) -> tuple[list[Capture] | list[Subject], list[tuple[int, ...]]]:
        if method.kind == "attribution":
            opened = self._subject[0]

            def noted() -> tuple[Capture, ...]:
                self._on_a_cam.add(method.name)
                return opened.captures()

            return [replace(opened, captures=noted)], [tuple(opened.inputs.shape[2:])]
        captures = self._captured[0]
        return captures, [tuple(c.activations.shape[2:]) for c in captures]


def _checked(maps: object, grid: tuple[int, ...], scores: Tensor, method: Method) -> Tensor:
    n, t = scores.shape
    expected = (n, t, *grid)
    found = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
    if method.finer and isinstance(maps, Tensor) and maps.ndim == len(expected):
        expected = (n, t, *map(max, grid, maps.shape[2:]))
    if not isinstance(maps, Tensor) or found != expected:
        raise MethodError(f"The method {method.name!r} returned {found} instead of a tensor of shape {expected}.")
    return maps
