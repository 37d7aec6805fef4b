"""One forward whose recording starts at the target layer, and one backward over that tail only."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from heatproof.capture.batch import Batch
from heatproof.errors import ExplainError, LayerError, ModelError
from heatproof.models.layers import TargetLayer
from heatproof.models.outputs import pick, put


def run_tail_recorded(
    view: nn.Module, batch: Batch, layers: Sequence[TargetLayer], *, record_all: bool = False, graph: bool = False
) -> tuple[Any, list[Tensor]]:
    """Run the network once; return its output, and the layers' raw outputs, to which the output is differentiable.

    Nothing is recorded before the first of the layers. The layers hand on a copy, so that what later code writes in
    place does not change what was captured.

    Args:
        view: the network, whose hooks are ours to set.
        batch: what to call it with.
        layers: where to capture.
        record_all: record from the start; needed where the network's own forward switches recording off and back.
        graph: let the raw outputs stay in the graph of the network's parameters.

    Raises:
        LayerError: a layer did not run.
    """
    raws: dict[int, Tensor] = {}
    handles: list[Any] = []

    def watch(position: int, layer: TargetLayer) -> None:
        calls = 0

        def hook(_module: nn.Module, _args: Any, output: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls != layer.count + 1:
                return None
            raw = pick(output, layer.key)
            if not (raw.requires_grad and (raws or graph)):
                raw = raw.detach().requires_grad_()
            raws[position] = raw
            torch.set_grad_enabled(True)  # ends with the no_grad block around the run, also when that raises
            return put(output, layer.key, raw.clone())

        handles.append(view.get_submodule(layer.name).register_forward_hook(hook))

    try:
        for position, layer in enumerate(layers):
            watch(position, layer)
        with torch.inference_mode(False), torch.set_grad_enabled(record_all):
            output = batch.run(view)
    except RuntimeError as error:
        if "Inference tensors cannot be saved" in str(error):
            raise ModelError(
                "The network's parameters were made under torch.inference_mode and can carry no gradient; build or "
                "load the network outside of it."
            ) from error
        raise
    finally:
        for handle in handles:
            handle.remove()
    missing = [layer.title for i, layer in enumerate(layers) if i not in raws]
    if missing:
        raise LayerError(f"The layer {missing[0]!r} did not run for this input; choose one that does.")
    return output, [raws[i] for i in range(len(layers))]


def gradients(
    scores: Tensor, raws: Sequence[Tensor], *, one_by_one: bool = False, graph: bool = False
) -> list[Tensor | None]:
    """Return d scores[:, j] / d raw for every raw output, as (t, n, ...), None where there is no way to it.

    Args:
        scores: (n, t).
        raws: what the scores may depend on.
        one_by_one: one backward per target instead of one for all; for backward hooks of the user, who expects plain
            tensors.
        graph: let the gradients be differentiated again.
    """
    with torch.inference_mode(False), torch.enable_grad():  # whatever mode the caller is in
        totals = scores.sum(0)
    t = totals.shape[0]
    if t > 1 and not one_by_one and not graph:
        select = torch.eye(t, device=totals.device, dtype=totals.dtype)
        try:
            batched: Sequence[Tensor | None] = torch.autograd.grad(
                totals, raws, select, is_grads_batched=True, allow_unused=True, retain_graph=True
            )
        except RuntimeError:
            pass  # some operation of the tail (a custom autograd function) cannot be batched
        else:
            return [*batched]
    each: list[Sequence[Tensor | None]] = [
        torch.autograd.grad(totals[j], raws, allow_unused=True, retain_graph=graph or j + 1 < t, create_graph=graph)
        for j in range(t)
    ]
    return [_stack([row[i] for row in each]) for i in range(len(raws))]


def _stack(rows: Sequence[Tensor | None]) -> Tensor | None:
    given = [row for row in rows if row is not None]
    if not given:
        return None
    if len(rows) == 1:
        return given[0][None]
    return torch.stack([torch.zeros_like(given[0]) if row is None else row for row in rows])


def differentiate(
    view: nn.Module,
    batch: Batch,
    layers: Sequence[TargetLayer],
    score: Callable[[Any], Tensor],
    *,
    one_by_one: bool = False,
    graph: bool = False,
) -> tuple[Any, Tensor, list[Tensor], list[Tensor | None]]:
    """Return output, scores (n, t), the layers' raw outputs, and the gradients (t, n, ...) with respect to these.

    The gradient is None at a layer that the scores do not depend on. With `graph`, all of it can be differentiated
    again, with respect to the network's parameters.

    Raises:
        ExplainError: no gradient reaches any of the layers.
    """
    for record_all in (True,) if graph else (False, True):
        output, raws = run_tail_recorded(view, batch, layers, record_all=record_all, graph=graph)
        with torch.inference_mode(False), torch.enable_grad():
            scores = score(output)
        if scores.requires_grad:
            found = gradients(scores, raws, one_by_one=one_by_one, graph=graph)
            if any(gradient is not None for gradient in found):
                return output, scores, raws, found
    names = ", ".join(layer.title for layer in layers)
    raise ExplainError(
        f"No gradient flows from the score back to {names}: the score does not depend on it, or the network detaches, "
        "rounds or runs without gradients after it; choose a later layer or a method that needs no gradient."
    )
