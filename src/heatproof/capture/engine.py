"""From a network, a batch, layers and targets to captures: traces once, chooses once, then one forward per call."""

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from heatproof.capture.batch import Batch
from heatproof.capture.casts import remembered
from heatproof.capture.choose import choose_layers, connected_layers
from heatproof.capture.forward import differentiate
from heatproof.capture.impulse import listen
from heatproof.capture.replay import Replay
from heatproof.capture.source import NetworkSource
from heatproof.errors import ExplainError, LayerError
from heatproof.models.layers import TargetLayer, candidates, named
from heatproof.models.outputs import agree, map_tensors, take, tensors
from heatproof.models.pool import ViewPool
from heatproof.models.targets import evaluate
from heatproof.models.trace import Trace, trace
from heatproof.types import Capture, Target

Resolver = Callable[[Any, int], tuple[tuple[Target, ...], ...]]
"""(output, n) -> t targets for each of the n inputs."""

LayerSpec = str | nn.Module | Sequence[str | nn.Module] | None

_WRITTEN = "modified by an inplace operation"
"""What autograd says when a tensor that a gradient needs was written over."""
_T = TypeVar("_T")
_TRIED = 8
"""Inputs looked at, where the first has no gradient anywhere, before the layer is chosen without one."""


class Engine:
    """Captures of one network. Thread-safe; what was found out about the network is kept between calls."""

    def __init__(self, net: nn.Module) -> None:
        self.pool = ViewPool(net)
        self._lock = threading.Lock()
        self._traces: dict[Any, Trace] = {}
        self._choices: dict[Any, tuple[TargetLayer, ...]] = {}

    def trace(self, batch: Batch) -> Trace:
        """Return what happens when the first input of the batch runs through the network.

        The user's hooks are left out, unless they turned out to change what the network computes. Of the output only
        shapes and types are kept, unless there are hooks to be judged by it.
        """
        key = self._key(batch)
        if key not in self._traces:
            one = _first(batch, 1)
            try:
                with self.pool.borrow(quiet=True) as view:
                    found = trace(view, one.run, one.size, 1)
                    listen(view, one, found)
            except Exception:  # any error of the network
                if self.pool.hooks_matter or not self.pool.hooked:
                    raise
                self.pool.hooks_matter = True  # it may not run at all without the user's hooks
                return self.trace(batch)
            if len(found.calls) < 2 and len(list(self.pool.net.modules())) > 1 and self.pool.viewable:
                self.pool.viewable = False  # its forward reaches past any view
                self._forget()
                return self.trace(batch)
            if not self.pool.hooked:
                found.output = map_tensors(found.output, lambda t: t.to("meta"))
            self._remember(self._traces, key, found)
        return self._traces[key]

    def layers(
        self, batch: Batch, spec: LayerSpec, resolve: Resolver, kind: Hashable = None
    ) -> tuple[TargetLayer, ...]:
        """Return the target layers for `spec` (None chooses); `kind` tells targets apart that may need other layers."""
        record = self.trace(batch)
        specs = tuple(spec) if isinstance(spec, list | tuple) else (spec,)
        if not specs:
            raise LayerError("The list of layers is empty; name at least one, or pass None for the automatic choice.")
        if spec is not None:
            return tuple(self._named(batch, record, s) for s in specs)
        key = (*self._key(batch), kind)
        if key in self._choices:
            return self._choices[key]

        def score(output: Any) -> Tensor:
            return evaluate(resolve(output, several.n), output)

        for n in sorted({1, min(batch.n, _TRIED)}):
            several = _first(batch, n)
            layers = self.backward(lambda view, one=several: choose_layers(view, one, record, score), quiet=True)
            if layers is not None:
                self._remember(self._choices, key, layers)
                return layers
        several = _first(batch, 1)
        # Not remembered: the next input may tell more.
        return self.backward(lambda view: connected_layers(view, several, record, score), quiet=True)

    def alternatives(self, batch: Batch) -> list[TargetLayer]:
        """Return every layer with a grid, the last one first."""
        return candidates(self.trace(batch))

    def capture(
        self, batch: Batch, layers: Sequence[TargetLayer], resolve: Resolver, *, graph: bool = False
    ) -> tuple[list[Capture], tuple[tuple[Target, ...], ...], Any]:
        """Run once; return a capture per layer, the targets, and the output.

        With `graph`, activations, gradients and scores can be differentiated with respect to the network's parameters.
        """
        targets: tuple[tuple[Target, ...], ...] = ()

        def score(output: Any) -> Tensor:
            nonlocal targets
            targets = resolve(output, batch.n)
            return evaluate(targets, output)

        output, scores, raws, found = self.backward(
            lambda view: differentiate(view, batch, layers, score, one_by_one=self.pool.hooked, graph=graph),
            for_good=graph,
        )
        if not graph:
            scores, raws = scores.detach(), [raw.detach() for raw in raws]
        t = scores.shape[1]
        grads = [torch.zeros_like(r).expand(t, *r.shape) if g is None else g for g, r in zip(found, raws, strict=True)]
        if self.pool.hooked and not self.pool.hooks_matter:
            self._judge_hooks(batch, output)
        return (
            [
                self._capture(batch, layer, targets, scores, raw, grad)
                for layer, raw, grad in zip(layers, raws, grads, strict=True)
            ],
            targets,
            output,
        )

    def backward(self, run: Callable[[nn.Module], _T], *, quiet: bool = False, for_good: bool = False) -> _T:
        """Return what `run`, which differentiates, makes of a view.

        Another thread's optimizer may step between our forward and our backward, over parameters that both share;
        then it runs again with parameters of its own.
        """
        try:
            with self.pool.borrow(quiet=quiet, for_good=for_good) as view:
                return run(view)
        except RuntimeError as error:
            if _WRITTEN not in str(error):
                raise
        try:
            with self.pool.borrow(quiet=quiet, own_parameters=True) as view:
                return run(view)
        except RuntimeError as error:
            if _WRITTEN not in str(error):
                raise
            raise ExplainError(
                "No gradient can be computed: the network writes in place over what the gradient needs; choose a later "
                "layer, or let its forward make new tensors there."
            ) from error

    def scores(self, batch: Batch, targets: Sequence[Sequence[Target]]) -> Tensor:
        """Return y (n, t) for the batch, without gradients."""
        return self.output(batch, lambda output: evaluate(targets, output))

    def output(self, batch: Batch, read: Callable[[Any], Tensor]) -> Tensor:
        """Return what `read` takes from the network's output for the batch, without gradients."""
        with self.pool.borrow(quiet=True) as view, torch.inference_mode(False), torch.no_grad():
            return _full(read(batch.run(view)))

    def replay(self, batch: Batch, layer: TargetLayer, targets: Sequence[Sequence[Target]]) -> Replay:
        """Return the scores as a function of the layer's activations."""

        def score_rows(output: Any, rows: Sequence[int]) -> Tensor:
            return _full(evaluate([targets[r] for r in rows], output))

        return Replay(self.pool, batch, self.trace(batch), layer, score_rows)

    def _capture(
        self,
        batch: Batch,
        layer: TargetLayer,
        targets: tuple[tuple[Target, ...], ...],
        scores: Tensor,
        raw: Tensor,
        grad: Tensor,
    ) -> Capture:
        cast = remembered(raw.device)

        def rescore(inputs: Tensor, rows: Tensor) -> Tensor:
            with cast():
                return self.scores(batch.with_tensor(inputs), [targets[int(r)] for r in rows])

        def replay(activations: Tensor, rows: Tensor) -> Tensor:
            with cast():
                if not lazy:
                    lazy.append(self.replay(batch, layer, targets))
                return lazy[0](activations, rows)

        lazy: list[Replay] = []
        return Capture(
            activations=_full(layer.layout.to_grid(raw)),
            gradients=_full(layer.layout.to_grid(grad, lead=2).transpose(0, 1)),
            scores=_full(scores),
            layer=layer.title,
            replay=replay,
            rescore=rescore,
            inputs=batch.tensor,
            source=NetworkSource(self, batch, layer, targets, cast),
        )

    def _named(self, batch: Batch, record: Trace, spec: object) -> TargetLayer:
        if not isinstance(spec, str | nn.Module):
            raise LayerError(
                f"{spec!r} is not a layer; pass None, a dotted name, a module of the network, or a list of these."
            )
        key = (*self._key(batch), "named", spec)
        if key not in self._choices:
            self._remember(self._choices, key, (named(record, self.pool.net, spec),))
        return self._choices[key][0]

    def _judge_hooks(self, batch: Batch, output: Any) -> None:
        """Find out whether the output, got with the user's hooks, differs from the trace's, got without."""
        plain = [t for _, t in tensors(self.trace(batch).output) if t.is_floating_point()]
        first = [t for _, t in tensors(take(output, torch.tensor([0]), batch.n)) if t.is_floating_point()]
        if len(plain) != len(first) or not all(agree(a, b, b.dtype) for a, b in zip(first, plain, strict=True)):
            self.pool.hooks_matter = True
            self._forget()

    def _forget(self) -> None:
        with self._lock:
            self._traces.clear()
            self._choices.clear()

    def _remember(self, store: dict[Any, Any], key: Any, value: Any) -> None:
        with self._lock:
            if len(store) >= 64:  # inputs of ever-changing sizes must not fill the memory
                store.clear()
            store[key] = value

    def _key(self, batch: Batch) -> Any:
        return (batch.size, batch.shape, self.pool.structure())


def _first(batch: Batch, n: int) -> Batch:
    with torch.inference_mode(False):
        return batch.rows(torch.arange(n))


def _full(tensor: Tensor) -> Tensor:
    """Return half-precision values as float32: statistics on maps are not computed in 8 bits of mantissa."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
