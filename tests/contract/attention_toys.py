"""Captures of small explicit transformers, for the methods that declare NEEDS = "attention"."""

from dataclasses import dataclass, field, replace

import torch
from tests.contract.captures import CHANNELS, CLASSES, GRIDS, Toy, ToySource, toy
from torch import Tensor

from heatproof.types import Attention, Capture

ATTENTION_HEADS, LAYERS = 2, 2


@dataclass(frozen=True)
class AttentionSource(ToySource):
    """Further runs of a toy, and its attention."""

    layers: tuple[Attention, ...] = ()
    extra: int = 0

    def attention(self) -> tuple[Attention, ...]:
        return self.layers

    def prefix(self) -> int:
        return self.extra


@dataclass(frozen=True)
class AttentionToy(Toy):
    """A toy whose head is a transformer.

    Attributes:
        prefix: tokens before the grid's.
        order: for each token of a mirrored toy, its number in the original.
        seen: where the head leaves the attention weights (m, heads, tokens, tokens) of its layers.
    """

    prefix: int = 0
    order: Tensor | None = None
    seen: list[Tensor] = field(default_factory=list)

    def capture(self) -> Capture:
        """Run the model once and differentiate its head, as a real capture would, by its attention weights too."""
        capture = super().capture()
        self.seen.clear()
        with torch.enable_grad():
            found = self.head(capture.activations.clone().requires_grad_())
            columns = self.pick(found, torch.arange(len(found))).unbind(1)
            grads = [torch.autograd.grad(y.sum(), self.seen, retain_graph=True) for y in columns]
        layers = tuple(
            Attention(self._placed(w.detach()), self._placed(torch.stack([row[i] for row in grads], 1)), f"layer{i}")
            for i, w in enumerate(self.seen)
        )
        return replace(capture, source=AttentionSource(self, layers, self.prefix))

    def _placed(self, values: Tensor) -> Tensor:
        return values if self.order is None else values[..., self.order, :][..., self.order]

    def flipped(self, axis: int) -> "AttentionToy":
        """Mirror the whole model and its inputs along one grid axis (2 is the first)."""
        grid = GRIDS[self.inputs.ndim - 2]
        places = torch.arange(torch.Size(grid).numel()).reshape(grid).flip(axis - 2).flatten()
        return replace(super().flipped(axis), order=torch.cat([torch.arange(self.prefix), self.prefix + places]))


def attention_toy(
    axes: int = 2,
    head: str = "pooled",
    *,
    seed: int = 0,
    n: int = 3,
    t: int = 2,
    rectified: bool = True,
    dtype: torch.dtype = torch.float32,
) -> AttentionToy:
    """Make a toy with random weights: the trunk of `toy`, then two attention layers with residuals.

    Args:
        axes: spatial axes, 1 to 3.
        head: "pooled" (linear in the mean of all tokens) or "dense" (in a class token that stands before the grid's).
        seed: of the weights, inputs and targets.
        n: inputs.
        t: targets per input.
        rectified: whether a ReLU ends the trunk.
        dtype: of everything.
    """
    base = toy(axes, head, seed=seed, n=n, t=t, rectified=rectified, dtype=dtype)
    draws = torch.Generator().manual_seed(seed + 100)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draws, dtype=torch.float64).to(dtype)

    size = CHANNELS // ATTENTION_HEADS
    projections = draw(LAYERS, 3, CHANNELS, CHANNELS) * 0.7
    class_token, positions = draw(1, 1, CHANNELS), draw(torch.Size(GRIDS[axes]).numel(), CHANNELS)
    weight = draw(CLASSES, CHANNELS)
    prefix = 1 if head == "dense" else 0
    seen: list[Tensor] = []

    def transformer(a: Tensor) -> Tensor:
        tokens = a.flatten(2).mT + positions
        if prefix:
            tokens = torch.cat([class_token.expand(len(a), -1, -1), tokens], 1)
        for matrices in projections:
            q, k, v = ((tokens @ m).unflatten(2, (ATTENTION_HEADS, size)).transpose(1, 2) for m in matrices)
            weights = (q @ k.mT / size**0.5).softmax(-1)
            seen.append(weights)
            tokens = tokens + (weights @ v).transpose(1, 2).flatten(2)
        return (tokens[:, 0] if prefix else tokens.mean(1)) @ weight.T

    return AttentionToy(base.trunk, transformer, base.inputs, base.targets, prefix=prefix, seen=seen)


def without_attention_gradient(capture: Capture) -> Capture:
    """Return the capture of a score that does not depend on any attention weight."""
    assert isinstance(capture.source, AttentionSource)
    silent = tuple(replace(la, gradients=torch.zeros_like(la.gradients)) for la in capture.source.layers)
    return replace(capture, source=replace(capture.source, layers=silent))
