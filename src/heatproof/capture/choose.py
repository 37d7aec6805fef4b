"""The automatic target layer: of the layers with a grid, the last one through which the score really flows."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from heatproof.capture.batch import Batch
from heatproof.capture.forward import differentiate, gradients
from heatproof.errors import ExplainError, LayerError
from heatproof.models.layers import TargetLayer, before_attention, candidates, scales
from heatproof.models.outputs import Key, put, tensors
from heatproof.models.trace import Trace
from heatproof.models.view import make_view

STEP = 12
"""Candidates looked at in one pass; a vision transformer's last useful layer is about the tenth from its end."""


def choose_layers(
    view: nn.Module, batch: Batch, trace: Trace, score: Callable[[Any], Tensor]
) -> tuple[TargetLayer, ...] | None:
    """Return the target layer, or all scales of a backbone, for what `score` makes of the output.

    Taken is the last output, on the way to the score, that lies on a grid aligned with the input, whose gradient is not
    zero, and that is neither the score map itself (where the score depends on one channel only) nor a gate that says
    where to look. None when the score has no gradient anywhere for these inputs (a final ReLU is shut, no box was
    found).
    """
    read = _read_parts(view, batch, trace, score)
    pyramid = tuple(scales(trace))
    found = candidates(trace, read)
    chosen = _choose(view, batch, trace, pyramid, found, score, read)
    if chosen is None and (awake := awakened(view)) is not None:
        chosen = _choose(awake, batch, trace, pyramid, found, score, read)
    return chosen


def connected_layers(
    view: nn.Module, batch: Batch, trace: Trace, score: Callable[[Any], Tensor]
) -> tuple[TargetLayer, ...]:
    """Return the last layer that the score is computed from, whatever its gradient: its blank map will be flagged.

    Raises:
        LayerError: no layer of this network has a grid that the score depends on.
    """
    pyramid = tuple(scales(trace))
    if pyramid and _look(view, batch, pyramid, score):
        return pyramid
    found = candidates(trace, _read_parts(view, batch, trace, score))
    for begin in range(0, len(found), STEP):
        for layer, gradient in _look(view, batch, found[begin : begin + STEP], score):
            if _by_channel(layer, gradient).shape[2] > 1:
                return (layer,)
    if pyramid:  # the score depends on nothing at all: no box was found
        return pyramid
    seen = ", ".join(layer.title for layer in found[:5]) or "none"
    raise LayerError(
        f"No layer was found whose output lies on a grid of at least 2 positions a side over the input "
        f"{trace.input_size} and carries a gradient of the score (looked at: {seen}). Pass layer=, a larger input, or "
        "another target."
    )


def _choose(
    view: nn.Module,
    batch: Batch,
    trace: Trace,
    pyramid: tuple[TargetLayer, ...],
    found: list[TargetLayer],
    score: Callable[[Any], Tensor],
    read: frozenset[Key],
) -> tuple[TargetLayer, ...] | None:
    if pyramid:
        looked = _look(view, batch, pyramid, score)
        if any(bool(layer.layout.to_grid(gradient, lead=2).any()) for layer, gradient in looked):
            return pyramid
        if looked and not any(bool(gradient.any()) for _, gradient in looked):
            # Zero at every scale: the score is constant (no box was found, say), and no other layer can tell more.
            return None
        # Only tokens beside the grid (a class token, detection tokens) are read, or nothing of what the backbone hands
        # on is, because it has pooled it itself: what is read is further up.
    single: TargetLayer | None = None
    for begin in range(0, len(found), STEP):
        if begin == STEP and not any(bool(gradient.any()) for _, gradient in _look(view, batch, found[-1:], score)):
            break  # nothing flows back even to the first layer, so nothing does to those between
        for layer, gradient in _look(view, batch, found[begin : begin + STEP], score):
            by_channel = _by_channel(layer, gradient)
            alive = int((by_channel != 0).sum(2).max())  # NaN counts: its map will be flagged
            if alive == 1 and by_channel.shape[2] == 1:
                single = single or layer  # the map of a lone class, or a gate, unless there is nothing else
            elif (
                alive > 1
                and not _is_gate(layer, gradient, by_channel)
                and not _is_score_map(view, batch, layer, by_channel.shape[2], read)
            ):
                return (before_attention(trace, layer, found),)
    return (before_attention(trace, single, found),) if single is not None else None


def _read_parts(view: nn.Module, batch: Batch, trace: Trace, score: Callable[[Any], Tensor]) -> frozenset[Key]:
    """Return where in the output the tensors lie that the score is computed from; networks return features, too."""
    whole = frozenset(output.key for output in trace.calls[-1].outputs)
    if len(whole) < 2:
        return whole
    leaves: dict[Key, Tensor] = {}

    def cut(output: Any) -> Any:
        for key, tensor in tensors(output):
            if tensor.is_floating_point():
                leaves[key] = tensor.detach().clone().requires_grad_()
                output = put(output, key, leaves[key].clone())  # a target may write into what it is given
        return output

    with torch.inference_mode(False):
        with torch.no_grad():
            output = batch.run(view)
        with torch.enable_grad():
            y = score(cut(output))
    if not (leaves and y.requires_grad):
        return whole
    slopes = gradients(y, [*leaves.values()])
    return frozenset(key for key, slope in zip(leaves, slopes, strict=True) if slope is not None)


def _by_channel(layer: TargetLayer, gradient: Tensor) -> Tensor:
    """Return how much gradient each channel carries on the grid, (t, n, k)."""
    return layer.layout.to_grid(gradient, lead=2).flatten(3).abs().sum(3)


def _is_gate(layer: TargetLayer, gradient: Tensor, by_channel: Tensor) -> bool:
    """Say whether what is added to a whole channel changes nothing: the softmax over its places only weighs them."""
    signed = layer.layout.to_grid(gradient, lead=2).flatten(3).sum(3)
    rounding = max(1e-3, 8 * torch.finfo(gradient.dtype).eps)
    return bool((signed.abs() <= rounding * by_channel).all())


def _is_score_map(view: nn.Module, batch: Batch, layer: TargetLayer, channels: int, read: frozenset[Key]) -> bool:
    """Say whether the layer's channels are the output's classes place by place: then they are scores, not evidence.

    A class score depends on its own channel alone, or, after a softmax, on all of them and not on what is added to all.
    """

    def first_two(output: Any) -> Tensor:
        parts = (o for key, o in tensors(output) if key in read)
        scores = next((o for o in parts if o.is_floating_point() and o.ndim > 1), None)
        if scores is None or scores.shape[:2] != (batch.n, channels) or channels < 2:
            raise ExplainError("The output has not one score per channel.")
        return scores[:, :2].flatten(2).sum(2) if scores.ndim > 2 else scores[:, :2]

    for found, gradient in _look(view, batch, [layer], first_two):
        signed = found.layout.to_grid(gradient, lead=2).flatten(3).sum(3)  # (2, n, k)
        own = bool(((_by_channel(found, gradient) != 0).sum(2) <= 1).all())
        level = bool((signed.sum(2).abs() <= 1e-3 * signed.abs().sum(2)).all())
        return own or level
    return False


def awakened(view: nn.Module) -> nn.Module | None:
    """Return a twin in which parameters that are zero throughout are drawn at random; None if there are none.

    A head or a residual scale that was initialized to zero and never trained lets no gradient through. The target
    layer is a matter of the wiring, so it is looked for with the switch closed.
    """
    generator = torch.Generator().manual_seed(0)
    fresh: dict[int, nn.Parameter] = {}
    with torch.inference_mode(False), torch.no_grad():
        for parameter in view.parameters():
            if parameter.is_floating_point() and not bool(parameter.any()):
                drawn = torch.randn(parameter.shape, generator=generator) * 0.02
                fresh[id(parameter)] = nn.Parameter(drawn.to(parameter.device, parameter.dtype))
    if all(parameter.ndim <= 1 for parameter in fresh.values()):
        return None
    twin = make_view(view)
    for module in twin.modules():
        own: dict[str, nn.Parameter | None] = vars(module)["_parameters"]
        own.update({name: fresh[id(p)] for name, p in own.items() if id(p) in fresh})
    return twin


def _look(
    view: nn.Module, batch: Batch, layers: Sequence[TargetLayer], score: Callable[[Any], Tensor]
) -> list[tuple[TargetLayer, Tensor]]:
    """Return each layer that the score is computed from with its raw gradient (t, n, ...), in the order given."""
    try:
        found = differentiate(view, batch, layers, score)[3]
    except ExplainError:
        return []  # nothing at all flows back from the score to these
    return [(layer, gradient) for layer, gradient in zip(layers, found, strict=True) if gradient is not None]
