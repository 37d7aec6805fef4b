"""Run only what comes after a layer: earlier module calls return what they returned before.

A call that lies wholly before the layer in the recorded order cannot depend on it. Before the first replay one with
changed values is checked against the full pass; where it differs (control flow, batch-dependent code), the full pass
with the layer's output replaced takes over.
"""

import threading
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from heatproof.capture.batch import Batch
from heatproof.capture.runs import out_of_memory
from heatproof.errors import HeatproofError, HeatproofWarning
from heatproof.models.layers import TargetLayer
from heatproof.models.outputs import agree, lend, map_tensors, pick, put, take, tensors
from heatproof.models.pool import ViewPool
from heatproof.models.trace import Call, Trace
from heatproof.models.view import HOOK_TABLES, substitute_forward

At = tuple[str, int]
"""A call: dotted name of the module, and which of its calls."""

Score = Callable[[Any, Sequence[int]], Tensor]
"""(output of the network, whose input each row is) -> scores (m, t)."""


def skippable(trace: Trace, layer: TargetLayer) -> list[Call]:
    """Return the calls that lie wholly before the layer's own and inside no other such call."""
    before = [c for c in trace.calls if c.end < layer.start]
    return [c for c in before if not any(o.start < c.start and c.end < o.end for o in before)]


class Replay:
    """Scores as a function of one layer's activations, for inputs that already ran once."""

    def __init__(self, pool: ViewPool, batch: Batch, trace: Trace, layer: TargetLayer, score: Score) -> None:
        self._pool, self._batch, self._layer, self._score = pool, batch, layer, score
        self._at: At = (layer.name, layer.count)
        skipped = {(c.name, c.count): c for c in skippable(trace, layer)}
        replaced = {(c.name, c.count): c for c in trace.calls if (c.name, c.count) == self._at}
        self._skipped = frozenset(skipped)
        # How often each module is called within a call that does not happen now: counted on, so that numbers hold.
        self._inside = {
            at: Counter(c.name for c in trace.calls if call.start < c.start and c.end < call.end)
            for at, call in {**skipped, **replaced}.items()
        }
        self._kept: dict[At, Any] = {}
        self._written: set[At] = set()
        self._raw: Any = None
        self._recorded = torch.empty(0)
        self._writes_input = self._writes_layer = True
        self._lends = False
        self._trusted: bool | None = None
        self._lock = threading.Lock()

    def __call__(self, activations: Tensor, rows: Tensor) -> Tensor:
        """Return the scores (m, t) when the layer puts out `activations` (m, k, *grid) for the inputs `rows` (m,)."""
        self._settle()
        with torch.inference_mode(False), torch.no_grad():
            return self._run(activations, rows, skip=bool(self._trusted))

    def with_graph(self, activations: Tensor, rows: Tensor) -> Tensor:
        """Return the scores (m, t) as calling does, connected to the graph of `activations`."""
        self._settle()
        with torch.inference_mode(False), torch.enable_grad():
            return self._run(activations, rows, skip=bool(self._trusted))

    def _settle(self) -> None:
        """Record what can be skipped, once, and find out whether it may be."""
        with torch.inference_mode(False), torch.no_grad(), self._lock:
            if self._trusted is None:
                # copied at once where something is known to write in place; again, where it turns out to
                if self._record(self._skipped if self._writes_in_place() else frozenset()):
                    self._record(frozenset(self._written))
                self._trusted = self._agrees()
                if not self._trusted:
                    warnings.warn(
                        f"What follows {self._layer.title!r} depends on more than recorded module calls (control flow "
                        "or batch-dependent code); every replay runs the whole network instead. Results are the same.",
                        HeatproofWarning,
                        stacklevel=4,
                    )

    def _writes_in_place(self) -> bool:
        with self._pool.borrow(quiet=True) as view:
            return any(getattr(module, "inplace", False) for module in view.modules())

    def _record(self, copied: frozenset[At]) -> bool:
        """Keep what every skippable call returns, and say whether later code writes into what is not `copied`."""
        live: dict[At, Any] = {}
        versions: dict[At, list[int]] = {}
        before: dict[At, dict[At, list[int]]] = {}
        counts: Counter[str] = Counter()
        handles: list[Any] = []
        self._kept = {}

        def keep(at: At) -> None:
            self._kept[at] = _clone(live[at]) if at in copied else live[at]
            versions[at] = _versions(live[at])

        def watch(name: str, module: nn.Module) -> None:
            def enter(_module: nn.Module, _args: Any) -> None:
                before[name, counts[name]] = {at: _versions(value) for at, value in live.items()}
                counts[name] += 1

            def leave(_module: nn.Module, _args: Any, output: Any) -> None:
                at = (name, counts[name] - 1)
                if at == self._at:
                    self._raw = _clone(output)
                if at not in self._skipped:
                    return
                for other, then in before[at].items():
                    if then != _versions(live[other]):  # an in-place layer: when it is skipped, this must show already
                        self._written.add(other)
                        keep(other)
                live[at] = output
                keep(at)

            handles.append(module.register_forward_pre_hook(enter))
            handles.append(module.register_forward_hook(leave))

        with self._pool.borrow(quiet=True) as view:
            try:
                for name in {self._layer.name, *(name for name, _ in self._skipped)}:
                    watch(name, view.get_submodule(name))
                self._recorded = self._score(self._batch.run(view), range(self._batch.n))
            finally:
                for handle in handles:
                    handle.remove()
        self._written |= {at for at, then in versions.items() if then != _versions(live[at])}
        for at in copied - self._written:
            self._kept[at] = live[at]  # the copy was not needed
        return bool(self._written - copied)

    def _agrees(self) -> bool:
        """Compare replays of what was recorded with the recorded scores: other order, and one row twice."""
        n = self._batch.n

        def same(which: list[int]) -> bool:
            rows = torch.tensor(which)
            raw = take(pick(self._raw, self._layer.key), rows, n)
            try:
                replayed = self._run(self._layer.layout.to_grid(raw), rows, skip=True)
            except Exception as error:
                if isinstance(error, HeatproofError) or out_of_memory(error):
                    raise
                return False  # code between the modules refused what was put in its way: the full pass decides
            return agree(replayed, self._recorded[which], raw.dtype)

        try:
            if not same([*reversed(range(n)), 0]):
                return False
        except (MemoryError, RuntimeError) as error:  # memory holds the batch, but not one row more
            if isinstance(error, HeatproofError):
                raise
            return same([*reversed(range(n))])
        # One row again and again need not be copied, unless some code insists on tensors that lie densely in memory.
        self._lends = True
        self._lends = same([0, 0])
        return True

    def _run(self, activations: Tensor, rows: Tensor, *, skip: bool) -> Tensor:
        layer, n = self._layer, self._batch.n
        get = lend if self._lends else take
        batch = self._batch.rows(rows, get)
        if self._writes_input or not skip:
            batch = batch.copy()
        begun = _versions((batch.args, batch.kwargs))
        copies: dict[At, Any] = {}
        raw = (get if isinstance(self._raw, Tensor) else take)(self._raw, rows, n)
        tensor = pick(raw, layer.key)
        # what follows may write into it
        given = activations.to(tensor.device, tensor.dtype, copy=self._writes_layer or not skip)
        before = _versions(given)
        new = put(raw, layer.key, layer.layout.from_grid(given, tensor))
        counts: Counter[str] = Counter()
        originals: list[tuple[nn.Module, dict[str, Any]]] = []

        def stub(name: str, module: nn.Module) -> None:
            saved = {k: v for k, v in vars(module).items() if k == "forward" or k in HOOK_TABLES}

            def forward(*args: Any, **kwargs: Any) -> Any:
                at = (name, counts[name])
                counts[name] += 1
                if at == self._at:
                    counts.update(self._inside[at])
                    return new
                if skip and at in self._skipped:
                    counts.update(self._inside[at])
                    value = get(self._kept[at], rows, n)
                    if at in self._written:
                        value = _clone(value)
                        if self._trusted is None:
                            copies[at] = value
                    return value
                _restore(module, saved)  # this call is a real one
                try:
                    return module(*args, **kwargs)
                finally:
                    substitute_forward(module, forward)

            originals.append((module, saved))
            substitute_forward(module, forward)

        with self._pool.borrow(quiet=True) as view:
            try:
                for name in {layer.name, *(name for name, _ in self._skipped if skip)}:
                    stub(name, view.get_submodule(name))
                scores = self._score(view(*batch.args, **batch.kwargs), rows.tolist())
            finally:
                for module, saved in originals:
                    _restore(module, saved)
        if skip and self._trusted is None:  # a trial: what was not written to is not copied from here on
            self._writes_input = _versions((batch.args, batch.kwargs)) != begun
            self._writes_layer = _versions(given) != before
            self._written = {at for at, value in copies.items() if any(_versions(value))}
        return scores


def _restore(module: nn.Module, saved: dict[str, Any]) -> None:
    vars(module).pop("forward", None)
    vars(module).update(saved)


def _versions(value: Any) -> list[int]:
    """Return how often each tensor was written to; inference tensors, made by the network itself, do not count it."""
    return [0 if t.is_inference() else t._version for _, t in tensors(value)]


def _clone(value: Any) -> Any:
    return map_tensors(value, lambda t: t.detach().clone())
