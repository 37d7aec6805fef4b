"""What the trained network computed before anything is randomized, handed to its twins instead of running it again."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from heatproof import cam
from heatproof.checks._calibration import calibration
from heatproof.checks._study import Study
from heatproof.models.layers import TargetLayer
from heatproof.models.norms import keeps_statistics
from heatproof.models.outputs import map_tensors, tensors
from heatproof.models.randomize import changed_modules
from heatproof.models.stages import Cut
from heatproof.models.trace import Call, Identity, Trace
from heatproof.models.view import all_modules, make_view, substitute_forward

_MOST = 2**30
"""Bytes that may be kept."""


class Reuse:
    """The trained network with its beginning replaced by what that beginning returned, for every cut.

    What ends before the first call of anything that changes, and not after the first target layer, returns what it
    returned. Tensors that, as far as modules tell, only such calls read are not kept: NaN that takes no memory stands
    in for them, so that whoever reads them after all is found out by `holds`; then all are kept.

    Args:
        study: the inputs.
        layers: the target layers.
        cuts: all that will be asked for.
        holds: whether a network with a replaced beginning explains the first input as the trained one does; what fails
            is run whole.
        count: is told how many inputs each run takes.
        recalibrate: whether statistics of normalization layers are taken anew, so that those runs are needed, too.

    Attributes:
        at: number of the batch that is run, see `calibration`.
    """

    def __init__(
        self,
        study: Study,
        layers: Sequence[TargetLayer],
        cuts: Sequence[Cut],
        holds: Callable[[nn.Module], bool],
        count: Callable[[int], object] = lambda _: None,
        recalibrate: bool = True,
    ) -> None:
        self.at = 0
        self._study, self._holds, self._count = study, holds, count
        engine = study.explainer.engine
        self._net = engine.pool.net
        self._trace = engine.trace(study.batches[0].batch)
        self._plans: dict[Cut, list[Call]] = {}
        self._trusted: dict[Cut, bool] = {}
        self._kept: list[dict[str, tuple[int, Any]]] = []
        needed: set[str] = set()
        self._view = make_view(self._net)
        self._batches = [gathered.batch for gathered in study.batches]
        if recalibrate and any(keeps_statistics(module) for module in all_modules(self._view)):
            self._batches += [batch for i, batch in calibration(study) if i >= len(study.batches)]
        for cut in dict.fromkeys(cuts):
            if cut[0] is None:  # nothing comes before everything
                continue
            calls = _before(self._trace, layers, changed_modules(self._view, *cut))
            more = needed | _read(self._trace, calls)
            if calls and self._bytes(more) <= _MOST:
                self._plans[cut], needed = calls, more
        self._current: Cut | None = None
        self._names = {call.name for calls in self._plans.values() for call in calls}
        self._all = False
        self._record(needed)

    def net(self, cut: Cut) -> nn.Module:
        """Return the network to randomize for this cut, until the next call; it computes what the trained one does."""
        if cut in self._plans and cut not in self._trusted:
            self._trusted[cut] = self._tried(cut)
            if not (self._trusted[cut] or self._all) and self._bytes(self._names) <= _MOST:
                self._all = True
                self._record(self._names)
                self._trusted[cut] = self._tried(cut)
        if not self._trusted.get(cut, False):
            return self._net
        if self._current != cut:
            self._put(cut)
        return self._view

    def _tried(self, cut: Cut) -> bool:
        self._put(cut)
        self.at = 0
        return self._holds(self._view)

    def _put(self, cut: Cut) -> None:
        """Let the beginning of the view, and nothing else, return what was recorded."""
        self._current = cut
        for module in self._view.modules():
            if isinstance(vars(module).get("forward"), _Stub):
                _restore(module)
        read = self._names if self._all else _read(self._trace, self._plans[cut])
        for call in self._plans[cut]:
            module = self._view.get_submodule(call.name)
            stub = _Stub(self, call.name, dict(vars(module)), keep=call.name in read)
            substitute_forward(module, stub)
            vars(module)["_modules"] = {}  # copies of the view need not hold what is not run

    def recorded(self, name: str) -> tuple[int, Any]:
        """Return what a call was given (the length of its first tensor) and what it returned, in the batch `at`."""
        return self._kept[self.at][name]

    def _bytes(self, names: Collection[str]) -> int:
        size = max((p.element_size() for p in self._net.parameters()), default=4)
        outputs = [o for c in self._trace.calls if c.name in names for o in c.outputs]
        return sum(size * torch.Size(o.shape).numel() for o in outputs) * sum(batch.n for batch in self._batches)

    def _record(self, needed: set[str]) -> None:
        kept: dict[str, tuple[int, Any]] = {}
        self._kept = []

        def watch(name: str) -> Callable[..., None]:
            def leave(_module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
                given = next((len(t) for _, t in tensors((args, kwargs)) if t.ndim), 0)
                # copied: later code may write into it
                kept[name] = (given, map_tensors(output, Tensor.clone if name in needed else _nothing))

            return leave

        engine = self._study.explainer.engine
        for batch in self._batches if self._names else ():
            self._count(batch.n)
            kept = {}
            handles: list[Any] = []
            with engine.pool.borrow(quiet=True) as view, torch.inference_mode(False), torch.no_grad():
                try:
                    for name in self._names:
                        hook = view.get_submodule(name).register_forward_hook(watch(name), with_kwargs=True)
                        handles.append(hook)
                    batch.run(view)
                finally:
                    for handle in handles:
                        handle.remove()
            self._kept.append(kept)


class _Stub:
    """A module's forward that returns what was recorded; shared by copies of the module."""

    def __init__(self, source: Reuse, name: str, before: dict[str, Any], *, keep: bool) -> None:
        self.before = before
        self._source, self._name, self._keep = source, name, keep

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Stub":
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        recorded, output = self._source.recorded(self._name)
        given = next((len(t) for _, t in tensors((args, kwargs)) if t.ndim), 0)

        def first(tensor: Tensor) -> Tensor:
            """Return the rows of the first inputs, where fewer are given than were recorded."""
            some = tensor if given == recorded or not tensor.ndim else tensor[: len(tensor) * given // recorded]
            return some.clone() if self._keep else _nothing(some)

        return map_tensors(output, first)


def _restore(module: nn.Module) -> None:
    before = vars(module)["forward"].before
    vars(module).pop("forward")
    vars(module).update(before)


def reusable(study: Study) -> bool:
    """Return whether maps come from one run of the inputs as they are, which no hook of the user looks at."""
    explainer = study.explainer
    method, pool = explainer.plan, explainer.engine.pool
    known = cam.methods().get(method.name)
    shared = known is not None and known.function is method.function and method.differentiable
    return shared and not (explainer.augment or explainer.noise or pool.hooked) and pool.viewable


def _nothing(tensor: Tensor) -> Tensor:
    """Return a tensor of the same form, full of NaN and without memory of its own."""
    return torch.full((), torch.nan, dtype=tensor.dtype, device=tensor.device).expand(tensor.shape)


def _before(trace: Trace, layers: Sequence[TargetLayer], changed: Collection[str]) -> list[Call]:
    """Return the outermost calls, of modules called once, that see no change and end with the first layer or before."""
    counts = Counter(call.name for call in trace.calls)
    targets = {(layer.name, layer.count) for layer in layers}
    last = min(call.end for call in trace.calls if (call.name, call.count) in targets)
    first = min((_begin(trace, name) for name in changed), default=last + 1)
    whole = [c for c in trace.calls if c.name and counts[c.name] == 1 and c.end <= last and c.end < first]
    return [c for c in whole if not any(o.start < c.start and c.end < o.end for o in whole)]


def _begin(trace: Trace, name: str) -> int:
    """Return when a module is called first; one that is not called itself is read by what it is in."""
    while True:
        starts = [call.start for call in trace.calls if call.name == name]
        if starts or not name:
            return min(starts, default=0)
        name = name.rpartition(".")[0]


def _read(trace: Trace, calls: Sequence[Call]) -> set[str]:
    """Return the names of those calls whose outputs are, as far as modules tell, read by others than these."""
    spans = [(call.start, call.end) for call in calls]
    inside: set[Identity] = {identity for call in calls for identity in call.inputs}
    outside: set[Identity] = {
        identity
        for call in trace.calls
        if not any(start <= call.start and call.end <= end for start, end in spans)
        for identity in call.inputs
    }
    return {call.name for call in calls if any(o.identity not in inside or o.identity in outside for o in call.outputs)}
