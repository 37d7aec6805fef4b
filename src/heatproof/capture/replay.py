"""Run only what comes after a layer: earlier module calls return what they returned before.

A call that lies wholly before the layer in the recorded order cannot depend on it. The first replay is checked against
the full pass; where it differs (control flow, batch-dependent code), the full pass with the layer's output replaced
takes over.
"""

import threading
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from heatproof.capture.batch import Batch
from heatproof.errors import HeatproofWarning
from heatproof.models.layers import TargetLayer
from heatproof.models.outputs import agree, map_tensors, pick, put, take, tensors
from heatproof.models.pool import ViewPool
from heatproof.models.trace import Call, Trace
from heatproof.models.view import substitute_forward

Score = Callable[[Any, Sequence[int]], Tensor]
"""(output of the network, whose input each row is) -> scores (m, t)."""


def skippable(trace: Trace, layer: TargetLayer) -> list[Call]:
    """Return the calls that lie wholly before the layer's own and inside no other such call."""
    before = [c for c in trace.calls if c.end < layer.start]
    return [c for c in before if not any(o.start < c.start and c.end < o.end for o in before)]


class Replay:
    """Scores as a function of one layer's activations, for inputs that already ran once."""

    def __init__(self, pool: ViewPool, batch: Batch, trace: Trace, layer: TargetLayer, score: Score) -> None:
        self._pool, self._batch, self._trace, self._layer, self._score = pool, batch, trace, layer, score
        self._kept: dict[tuple[str, int], Any] | None = None
        self._written: set[tuple[str, int]] = set()
        self._raw: Any = None
        self._expected = torch.empty(0)
        self._trusted: bool | None = None
        self._lock = threading.Lock()

    def __call__(self, activations: Tensor, rows: Tensor) -> Tensor:
        """Return the scores (m, t) when the layer puts out `activations` (m, k, *grid) for the inputs `rows` (m,)."""
        with torch.inference_mode(False), torch.no_grad(), self._lock:
            if self._trusted is None:
                self._remember()
                self._trusted = self._agrees()
                if not self._trusted:
                    warnings.warn(
                        f"What follows {self._layer.title!r} depends on more than recorded module calls (control flow "
                        "or batch-dependent code); every replay runs the whole network instead. Results are the same.",
                        HeatproofWarning,
                        stacklevel=3,
                    )
        with torch.inference_mode(False), torch.no_grad():
            return self._run(activations, rows, skip=self._trusted)

    def _remember(self) -> None:
        """Keep what every skippable call returns; again with copies where later code wrote into it."""
        wanted = {(c.name, c.count) for c in skippable(self._trace, self._layer)}
        self._kept = self._record(wanted, frozenset())
        if self._written:
            self._kept = self._record(wanted, frozenset(self._written))

    def _record(self, wanted: set[tuple[str, int]], copied: frozenset[tuple[str, int]]) -> dict[tuple[str, int], Any]:
        kept: dict[tuple[str, int], Any] = {}
        versions: dict[tuple[str, int], list[int]] = {}
        handles: list[Any] = []
        with self._pool.borrow(quiet=True) as view:

            def watch(name: str) -> None:
                calls = 0

                def hook(_module: nn.Module, _args: Any, output: Any) -> None:
                    nonlocal calls
                    at, calls = (name, calls), calls + 1
                    if at in wanted:
                        kept[at] = _clone(output) if at in copied else output
                        versions[at] = [t._version for _, t in tensors(kept[at])]
                    if at == (self._layer.name, self._layer.count):
                        self._raw = _clone(output)

                handles.append(view.get_submodule(name).register_forward_hook(hook))

            try:
                for name in {*(n for n, _ in wanted), self._layer.name}:
                    watch(name)
                output = self._batch.run(view)
                self._expected = self._score(output, range(self._batch.n))
            finally:
                for handle in handles:
                    handle.remove()
        self._written |= {at for at, v in versions.items() if v != [t._version for _, t in tensors(kept[at])]}
        return kept

    def _agrees(self) -> bool:
        # Other rows than the batch's own, in another order, one of them twice: as methods will ask for them.
        n = self._batch.n
        rows = torch.tensor([*reversed(range(n)), 0])
        raw = take(pick(self._raw, self._layer.key), rows, n)
        try:
            replayed = self._run(self._layer.layout.to_grid(raw), rows, skip=True)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # noqa: BLE001  code between the modules refused what was put in its way: the full pass decides
            return False
        return agree(replayed, self._expected[rows], raw.dtype)

    def _run(self, activations: Tensor, rows: Tensor, *, skip: bool) -> Tensor:
        assert self._kept is not None
        batch = self._batch.rows(rows)
        layer, n = self._layer, self._batch.n
        raw = take(self._raw, rows, n)
        tensor = pick(raw, layer.key)
        new = put(
            raw, layer.key, layer.layout.from_grid(activations.to(tensor.device, tensor.dtype, copy=True), tensor)
        )
        with self._pool.borrow(quiet=True) as view:
            originals: list[tuple[nn.Module, Any]] = []

            def stub(name: str) -> None:
                module = view.get_submodule(name)
                saved = {k: v for k, v in vars(module).items() if k == "forward" or k.endswith("_hooks")}
                originals.append((module, saved))
                inner = module.forward
                calls = 0

                def forward(*args: Any, **kwargs: Any) -> Any:
                    nonlocal calls
                    at, calls = (name, calls), calls + 1
                    if at == (layer.name, layer.count):
                        return new
                    if at in self._kept and skip:  # pyright: ignore[reportOperatorIssue]
                        value = take(self._kept[at], rows, n)  # pyright: ignore[reportOptionalSubscript]
                        return _clone(value) if at in self._written else value
                    return inner(*args, **kwargs)

                substitute_forward(module, forward)

            names = {layer.name} | ({name for name, _ in self._kept} if skip else set[str]())
            try:
                for name in sorted(names):
                    stub(name)
                return self._score(batch.run(view), rows.tolist())
            finally:
                for module, saved in originals:
                    vars(module).pop("forward", None)
                    vars(module).update(saved)


def _clone(value: Any) -> Any:
    return map_tensors(value, lambda t: t.detach().clone())
