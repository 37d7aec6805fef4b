"""Further runs of a captured network: other inputs, other classes, other layers, attention."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import Tensor

from heatproof.capture.attention import attention_layers
from heatproof.capture.batch import Batch
from heatproof.models.layers import TargetLayer, candidates
from heatproof.models.outputs import class_scores
from heatproof.types import Attention, Capture, Target

if TYPE_CHECKING:
    from heatproof.capture.engine import Engine


class NetworkSource:
    """Runs one network again for one batch, one target layer and the same targets, under the capture's autocast."""

    def __init__(
        self,
        engine: "Engine",
        batch: Batch,
        layer: TargetLayer,
        targets: tuple[tuple[Target, ...], ...],
        cast: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self._engine, self._batch, self._layer, self._targets, self._cast = engine, batch, layer, targets, cast

    def recapture(self, inputs: Tensor, rows: Tensor) -> Capture:
        """Return the capture of changed inputs at the same layer, each for the targets of the input `rows` names."""
        batch = self._batch.rows(rows.cpu()).with_tensor(inputs)
        targets = tuple(self._targets[int(r)] for r in rows)
        with self._cast():
            return self._engine.capture(batch, (self._layer,), lambda _output, _n: targets)[0][0]

    def replay_with_graph(self, activations: Tensor, rows: Tensor) -> Tensor:
        """Return the scores (m, t) when the layer puts out `activations`, connected to their graph."""
        with self._cast():
            return self._engine.replay(self._batch, self._layer, self._targets).with_graph(activations, rows)

    def classes(self) -> Tensor:
        """Return the score of every class, (n, classes)."""
        with self._cast():
            return self._engine.output(self._batch, lambda output: class_scores(output, self._batch.n))

    def of_classes(self, classes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores (n, q) of other classes and their gradients (n, q, k, *grid) at the same layer."""
        rows = tuple(tuple(Target(str(c), index=int(c)) for c in row) for row in classes.tolist())
        with self._cast():
            capture = self._engine.capture(self._batch, (self._layer,), lambda _output, _n: rows)[0][0]
        return capture.scores, capture.gradients

    def stages(self) -> tuple[Capture, ...]:
        """Return captures of the last layer on each grid up to the target layer's, finest first."""
        record = self._engine.trace(self._batch)
        seen: dict[tuple[int, ...], TargetLayer] = {self._layer.layout.grid: self._layer}
        for layer in candidates(record):  # the last one first
            if layer.start < self._layer.start:
                seen.setdefault(layer.layout.grid, layer)
        layers = sorted(seen.values(), key=lambda layer: layer.start)
        with self._cast():
            return tuple(self._engine.capture(self._batch, layers, lambda _output, _n: self._targets)[0])

    def attention(self) -> tuple[Attention, ...]:
        """Return what every attention layer did, first to last; run once, however many methods ask."""
        return self._attention

    @cached_property
    def _attention(self) -> tuple[Attention, ...]:
        with self._cast():
            return attention_layers(self._engine, self._batch, self._targets)

    def prefix(self) -> int:
        """Return how many tokens stand before the grid's in the target layer's sequence."""
        return self._layer.layout.prefix
