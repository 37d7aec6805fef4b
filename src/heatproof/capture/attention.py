"""What every attention layer of a network did, and how the scores depend on it."""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from heatproof.capture.batch import Batch
from heatproof.capture.forward import gradients
from heatproof.capture.softmax import Softmax, Weights
from heatproof.errors import ExplainError, MethodError
from heatproof.models.targets import evaluate
from heatproof.types import Attention, Target

if TYPE_CHECKING:
    from heatproof.capture.engine import Engine

Found = list[tuple[Weights, Tensor | None]]


def attention_layers(engine: "Engine", batch: Batch, targets: tuple[tuple[Target, ...], ...]) -> tuple[Attention, ...]:
    """Return the weights of every attention layer that the scores depend on, and their gradients, first to last.

    Seen is attention by `F.scaled_dot_product_attention`, by `nn.MultiheadAttention` and all that is built on it, and
    by any softmax over the last axis whose result is multiplied by a matrix. Kernels of other packages that do all of
    it in one step (flash_attn, xformers, flex_attention) are not.

    Costs one forward and one backward through all that follows the first attention layer, for each target, and the
    memory of both, since every layer's weights, (n, heads, queries, keys), are kept with their gradients.

    Raises:
        MethodError: the network computes no attention, attends within windows of the grid, or among other tokens than
            the grid's (a decoder's queries, parallel branches).
        ExplainError: the network runs without gradients where attention is computed, or the score depends on none.
    """

    def run(view: nn.Module) -> Found:
        return _differentiate(view, batch, targets, one_by_one=engine.pool.hooked)

    found = engine.backward(run, quiet=True)
    return tuple(_attention(weights, grad, batch.n) for weights, grad in found if grad is not None)


def _differentiate(
    view: nn.Module, batch: Batch, targets: tuple[tuple[Target, ...], ...], *, one_by_one: bool
) -> Found:
    for record_all in (False, True):
        output, mode = _run(view, batch, record_all=record_all)
        if not mode.found:
            raise MethodError(
                f"{type(view).__name__} computes no attention weights that can be seen; use a method of the Grad-CAM "
                "family, such as gradcam or layercam."
            )
        _refuse_windows(mode.found, batch.n)
        if not all(weights.recorded for weights in mode.found):
            continue
        with torch.inference_mode(False), torch.enable_grad():
            scores = evaluate(targets, output)
        if scores.requires_grad:
            found = gradients(scores, [w.tensor for w in mode.found], one_by_one=one_by_one)
            if any(grad is not None for grad in found):
                _refuse_branches([w for w, grad in zip(mode.found, found, strict=True) if grad is not None])
                return [*zip(mode.found, found, strict=True)]
    names = ", ".join(repr(w.layer) for w in mode.found[-3:])
    raise ExplainError(
        f"No gradient flows from the score back to the attention of {names}: the score does not depend on it, or the "
        "network detaches, rounds or runs without gradients there; use a method that needs no gradient."
    )


def _run(view: nn.Module, batch: Batch, *, record_all: bool) -> tuple[Any, Softmax]:
    with _current_module(view) as name:
        mode = Softmax(name, recording=record_all)
        with torch.inference_mode(False), torch.set_grad_enabled(record_all), mode:
            output = batch.run(view)
    return output, mode


@contextmanager
def _current_module(view: nn.Module) -> Generator[Callable[[], str]]:
    """Give a function that returns the name of the innermost module that is running; of the network, its class."""
    stack: list[str] = []
    handles: list[Any] = []

    def watch(name: str, module: nn.Module) -> None:
        def enter(_module: nn.Module, _args: Any) -> None:
            stack.append(name)

        def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
            stack.pop()

        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave, always_call=True))

    try:
        for name, module in view.named_modules():
            watch(name, module)
        yield lambda: stack[-1] if stack and stack[-1] else type(view).__name__
    finally:
        for handle in handles:
            handle.remove()


def _refuse_windows(found: list[Weights], n: int) -> None:
    for weights in found:
        shape = tuple(weights.tensor.shape)
        if len(shape) not in (3, 4) or (len(shape) == 4 and shape[0] != n) or shape[0] % n:
            raise MethodError(
                f"The layer {weights.layer!r} attends within windows or groups: its weights have the shape {shape} for "
                f"{n} inputs. What was never attended to across the grid cannot be rolled out over it; use gradcam, "
                "layercam or hirescam."
            )


def _refuse_branches(found: list[Weights]) -> None:
    """Refuse attention of which a layer is not computed from the one before: that of a decoder's queries, or a branch.

    Its tokens are others than the grid's, however many there are.
    """
    for before, weights in pairwise(found):
        if not _computed_from(weights.tensor, before.tensor):
            raise MethodError(
                f"The layer {weights.layer!r} attends among other tokens than those that {before.layer!r} made, as the "
                "queries of a decoder do, so attention cannot be followed back through it; use gradcam, layercam or "
                "hirescam."
            )


def _computed_from(late: Tensor, early: Tensor) -> bool:
    """Say whether a tensor lies in the graph of another."""
    stack: list[Any] = [late.grad_fn]
    seen: set[Any] = set()
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if node is early.grad_fn or getattr(node, "variable", None) is early:
            return True
        stack.extend(following for following, _ in node.next_functions)
    return False


def _attention(weights: Weights, grad: Tensor, n: int) -> Attention:
    tensor, by_input = weights.tensor.detach(), grad.transpose(0, 1)
    if tensor.ndim == 3:  # the heads share the batch axis
        by_input = grad.unflatten(1, (n, -1)).transpose(0, 1)
        tensor = tensor.unflatten(0, (n, -1))
    precision = torch.promote_types(tensor.dtype, torch.float32)
    return Attention(tensor.to(precision), by_input.to(precision), weights.layer)
