"""From a network, a batch, layers and targets to captures: traces once, chooses once, then one forward per call."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from heatproof.capture.batch import Batch
from heatproof.capture.choose import choose_layers
from heatproof.capture.forward import differentiable_run, gradients
from heatproof.capture.replay import Replay
from heatproof.errors import LayerError
from heatproof.models.layers import TargetLayer, candidates, named
from heatproof.models.targets import evaluate
from heatproof.models.trace import Trace, trace
from heatproof.models.view import ViewPool
from heatproof.types import Capture, Target

Resolver = Callable[[Any, int], tuple[tuple[Target, ...], ...]]
"""(output, n) -> t targets for each of the n inputs."""

LayerSpec = str | nn.Module | Sequence[str | nn.Module] | None


class Engine:
    """Captures of one network. Thread-safe; what was found out about the network is kept between calls."""

    def __init__(self, net: nn.Module) -> None:
        self.pool = ViewPool(net)
        self._lock = threading.Lock()
        self._traces: dict[Any, Trace] = {}
        self._choices: dict[Any, tuple[TargetLayer, ...]] = {}

    def trace(self, batch: Batch) -> Trace:
        """Return what happens when the first input of the batch runs through the network."""
        key = self._key(batch)
        if key not in self._traces:
            one = batch.rows(torch.tensor([0]))
            with self.pool.borrow() as view:
                found = trace(view, one.run, one.size, 1)
            if len(found.calls) < 2 and len(list(self.pool.net.modules())) > 1 and self.pool.viewable:
                self._fall_back()
                return self.trace(batch)
            # The output is needed only to tell what kind of network this is; drop everything it holds on to.
            self._remember(self._traces, key, found)
        return self._traces[key]

    def layers(self, batch: Batch, spec: LayerSpec, resolve: Resolver, kind: object = None) -> tuple[TargetLayer, ...]:
        """Return the target layers for `spec` (None chooses); `kind` tells targets apart that may need other layers."""
        if spec is not None:
            return self._named(batch, spec)
        key = (*self._key(batch), kind)
        if key not in self._choices:
            one, record = batch.rows(torch.tensor([0])), self.trace(batch)

            def score(output: Any) -> Tensor:
                return evaluate(resolve(output, 1), output)

            with self.pool.borrow() as view:
                self._remember(self._choices, key, choose_layers(view, one, record, score))
        return self._choices[key]

    def alternatives(self, batch: Batch) -> list[TargetLayer]:
        """Return every layer with a grid, the last one first."""
        return candidates(self.trace(batch))

    def capture(
        self, batch: Batch, layers: Sequence[TargetLayer], resolve: Resolver
    ) -> tuple[list[Capture], tuple[tuple[Target, ...], ...], Any]:
        """Run once; return a capture per layer, the targets, and the output."""
        targets: tuple[tuple[Target, ...], ...] = ()

        def score(output: Any) -> Tensor:
            nonlocal targets
            targets = resolve(output, batch.n)
            return evaluate(targets, output)

        with self.pool.borrow() as view:
            output, scores, raws = differentiable_run(view, batch, layers, score)
            grads = gradients(scores, raws)
        return (
            [
                self._capture(batch, layer, targets, scores.detach(), raw.detach(), grad)
                for layer, raw, grad in zip(layers, raws, grads, strict=True)
            ],
            targets,
            output,
        )

    def scores(self, batch: Batch, targets: Sequence[Sequence[Target]]) -> Tensor:
        """Return y (n, t) for the batch, without gradients."""
        with self.pool.borrow() as view, torch.inference_mode(False), torch.no_grad():
            return _full(evaluate(targets, batch.run(view)))

    def _capture(
        self,
        batch: Batch,
        layer: TargetLayer,
        targets: tuple[tuple[Target, ...], ...],
        scores: Tensor,
        raw: Tensor,
        grad: Tensor,
    ) -> Capture:
        def score_rows(output: Any, rows: Sequence[int]) -> Tensor:
            return _full(evaluate([targets[r] for r in rows], output))

        def rescore(inputs: Tensor, rows: Tensor) -> Tensor:
            return self.scores(batch.with_tensor(inputs), [targets[int(r)] for r in rows])

        lazy: list[Replay] = []

        def replay(activations: Tensor, rows: Tensor) -> Tensor:
            if not lazy:
                lazy.append(Replay(self.pool, batch, self.trace(batch), layer, score_rows))
            return lazy[0](activations, rows)

        return Capture(
            activations=_full(layer.layout.to_grid(raw)),
            gradients=_full(layer.layout.to_grid(grad, lead=2).transpose(0, 1)),
            scores=_full(scores),
            layer=layer.title,
            replay=replay,
            rescore=rescore,
            inputs=batch.tensor,
        )

    def _named(self, batch: Batch, spec: LayerSpec) -> tuple[TargetLayer, ...]:
        specs = list(spec) if isinstance(spec, list | tuple) else [spec]
        if not specs:
            raise LayerError("The list of layers is empty; name at least one, or pass None for the automatic choice.")
        record = self.trace(batch)
        try:
            return tuple(named(record, self.pool.net, s) for s in specs)  # pyright: ignore[reportArgumentType]
        except LayerError:
            if not self.pool.viewable:
                raise
        # The layer may run only on the original: a forward that closes over it. Look there before giving up.
        one = batch.rows(torch.tensor([0]))
        watched = ViewPool(self.pool.net)
        watched.viewable = False
        with watched.borrow() as net:
            record = trace(net, one.run, one.size, 1)
        found = tuple(named(record, self.pool.net, s) for s in specs)  # pyright: ignore[reportArgumentType]
        self._fall_back()
        return found

    def _fall_back(self) -> None:
        """Use the network itself, under its lock, from now on: its forward reaches past any view."""
        with self._lock:
            self.pool.viewable = False
            self._traces.clear()
            self._choices.clear()

    def _remember(self, store: dict[Any, Any], key: Any, value: Any) -> None:
        with self._lock:
            if len(store) >= 64:  # inputs of ever-changing sizes must not fill the memory
                store.clear()
            store[key] = value

    def _key(self, batch: Batch) -> Any:
        return (batch.size, self.pool.structure())


def _full(tensor: Tensor) -> Tensor:
    """Return half-precision values as float32: statistics on maps are not computed in 8 bits of mantissa."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
