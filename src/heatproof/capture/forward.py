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
    view: nn.Module, batch: Batch, layers: Sequence[TargetLayer], *, record_all: bool = False
) -> tuple[Any, list[Tensor]]:
    """Run the network once; return its output, and the layers' raw outputs, to which the output is differentiable.

    Nothing is recorded before the first of the layers. The layers hand on a copy, so that what later code writes in
    place does not change what was captured.

    Args:
        view: the network, whose hooks are ours to set.
        batch: what to call it with.
        layers: where to capture.
        record_all: record from the start; needed where the network's own forward switches recording off and back.

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
            if not (raw.requires_grad and raws):
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
    scores: Tensor, raws: Sequence[Tensor], *, create_graph: bool = False, one_by_one: bool = False
) -> list[Tensor]:
    """Return d scores[:, j] / d raw for every raw output, as (t, n, ...): one backward for all t targets.

    A raw output that the scores do not depend on gets zeros.

    Args:
        scores: (n, t).
        raws: what the scores depend on.
        create_graph: so that the gradients can be differentiated in turn.
        one_by_one: one backward per target; for backward hooks of the user, who expects plain tensors.
    """
    with torch.inference_mode(False), torch.enable_grad():  # whatever mode the caller is in
        totals = scores.sum(0)
    t = totals.shape[0]
    if t == 1:
        single: list[Tensor | None] = list(
            torch.autograd.grad(totals[0], raws, allow_unused=True, create_graph=create_graph)
        )
        return [torch.zeros_like(r)[None] if g is None else g[None] for g, r in zip(single, raws, strict=True)]
    select = torch.eye(t, device=totals.device, dtype=totals.dtype)
    found: Sequence[Tensor | None] | None = None
    if not one_by_one:
        try:
            found = torch.autograd.grad(
                totals,
                raws,
                select,
                is_grads_batched=True,
                allow_unused=True,
                retain_graph=True,
                create_graph=create_graph,
            )
        except RuntimeError:
            found = None  # some operation of the tail (a custom autograd function) cannot be batched
    if found is None:
        each: list[Sequence[Tensor | None]] = [
            torch.autograd.grad(totals[j], raws, allow_unused=True, retain_graph=True, create_graph=create_graph)
            for j in range(t)
        ]
        found = [_stack([row[i] for row in each]) for i in range(len(raws))]
    return [torch.zeros_like(r).expand(t, *r.shape) if g is None else g for g, r in zip(found, raws, strict=True)]


def _stack(rows: Sequence[Tensor | None]) -> Tensor | None:
    given = [row for row in rows if row is not None]
    if not given:
        return None
    return torch.stack([torch.zeros_like(given[0]) if row is None else row for row in rows])


def differentiable_run(
    view: nn.Module, batch: Batch, layers: Sequence[TargetLayer], score: Callable[[Any], Tensor]
) -> tuple[Any, Tensor, list[Tensor]]:
    """Return output, scores (n, t) that depend on the layers' raw outputs, and those raw outputs.

    Raises:
        ExplainError: no gradient reaches the scores from the layers.
    """
    for record_all in (False, True):
        output, raws = run_tail_recorded(view, batch, layers, record_all=record_all)
        with torch.inference_mode(False), torch.enable_grad():
            scores = score(output)
        if scores.requires_grad:
            return output, scores, raws
    names = ", ".join(layer.title for layer in layers)
    raise ExplainError(
        f"No gradient flows from the score back to {names}: the network detaches, rounds or runs without "
        "gradients after this layer; choose a later layer or a method that needs no gradient."
    )
