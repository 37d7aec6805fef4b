"""Captures of small explicit models, so that gradients, replay and rescore are real and can be transformed at will."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from heatproof.errors import MethodError
from heatproof.types import Attention, Capture

GRIDS = {1: (7,), 2: (4, 5), 3: (3, 4, 2)}
HEADS = ("pooled", "dense")
CHANNELS, CLASSES = 6, 5


@dataclass(frozen=True)
class Toy:
    """A model cut at its target layer: `trunk(inputs) -> activations`, `head(activations) -> scores (m, classes)`."""

    trunk: Callable[[Tensor], Tensor]
    head: Callable[[Tensor], Tensor]
    inputs: Tensor
    targets: Tensor

    def capture(self) -> Capture:
        """Run the model once and differentiate its head, as a real capture would."""
        with torch.no_grad():
            activations = self.trunk(self.inputs)
        leaf = activations.clone().requires_grad_()
        everyone = torch.arange(len(leaf))
        with torch.enable_grad():
            scores = self.pick(self.head(leaf), everyone)
            gradients = [
                torch.autograd.grad(column.sum(), leaf, retain_graph=True)[0] for column in scores.unbind(dim=1)
            ]
        return Capture(
            activations=activations,
            gradients=torch.stack(gradients, dim=1),
            scores=scores.detach(),
            layer="trunk",
            replay=self._without_grad(self.head),
            rescore=self._without_grad(lambda x: self.head(self.trunk(x))),
            inputs=self.inputs,
            source=ToySource(self),
        )

    def pick(self, scores: Tensor, rows: Tensor) -> Tensor:
        """Return the scores (m, t) of the targets, of those of all classes (m, classes)."""
        return scores.gather(1, self.targets[rows])

    def early(self) -> Capture:
        """Capture the same scores at an earlier layer, on a grid twice as fine: the input, above 0 and below."""
        whole = replace(
            self,
            trunk=lambda x: torch.cat([x.relu(), (-x).relu()], dim=1),
            head=lambda a: self.head(self.trunk(a[:, : a.shape[1] // 2] - a[:, a.shape[1] // 2 :])),
        )
        return replace(whole.capture(), layer="early")

    def _without_grad(self, run: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        def scores(x: Tensor, rows: Tensor) -> Tensor:
            with torch.no_grad():
                return self.pick(run(x), rows)

        return scores

    def only(self, i: int) -> "Toy":
        """Keep input i alone."""
        return replace(self, inputs=self.inputs[i : i + 1], targets=self.targets[i : i + 1])

    def only_target(self, j: int) -> "Toy":
        """Keep target j of every input alone."""
        return replace(self, targets=self.targets[:, j : j + 1])

    def reversed_batch(self) -> "Toy":
        """Give the inputs in the opposite order."""
        return replace(self, inputs=self.inputs.flip(0), targets=self.targets.flip(0))

    def flipped(self, axis: int) -> "Toy":
        """Mirror the whole model and its inputs along one grid axis (2 is the first)."""
        return replace(
            self,
            inputs=self.inputs.flip(axis),
            trunk=lambda x: self.trunk(x.flip(axis)).flip(axis),
            head=lambda a: self.head(a.flip(axis)),
        )

    def shuffled_channels(self, seed: int) -> "Toy":
        """Number the target layer's channels differently."""
        order = torch.randperm(CHANNELS, generator=torch.Generator().manual_seed(seed))
        return replace(self, trunk=lambda x: self.trunk(x)[:, order], head=lambda a: self.head(a[:, order.argsort()]))

    def with_dead_channel(self) -> "Toy":
        """Add a channel that is always zero and that the head ignores."""
        return replace(
            self,
            trunk=lambda x: _with_zero_channel(self.trunk(x)),
            head=lambda a: self.head(a[:, :-1]),
        )

    def with_score_times(self, factor: float) -> "Toy":
        """Measure the score in another unit."""
        return replace(self, head=lambda a: factor * self.head(a))

    def with_activations_times(self, factor: float) -> "Toy":
        """Measure the activations in another unit; the score stays what it was."""
        return replace(self, trunk=lambda x: factor * self.trunk(x), head=lambda a: self.head(a / factor))


@dataclass(frozen=True)
class ToySource:
    """Further runs of a toy, each from the toy itself."""

    toy: Toy

    def recapture(self, inputs: Tensor, rows: Tensor) -> Capture:
        return replace(self.toy, inputs=inputs, targets=self.toy.targets[rows]).capture()

    def replay_with_graph(self, activations: Tensor, rows: Tensor) -> Tensor:
        with torch.enable_grad():
            return self.toy.pick(self.toy.head(activations), rows)

    def classes(self) -> Tensor:
        with torch.no_grad():
            return self.toy.head(self.toy.trunk(self.toy.inputs))

    def of_classes(self, classes: Tensor) -> tuple[Tensor, Tensor]:
        capture = replace(self.toy, targets=classes).capture()
        return capture.scores, capture.gradients

    def stages(self) -> tuple[Capture, ...]:
        return (self.toy.early(), self.toy.capture())

    def attention(self) -> tuple[Attention, ...]:
        raise MethodError("A toy has no attention.")

    def prefix(self) -> int:
        return 0


@dataclass(frozen=True)
class Through:
    """Another source, with what goes in and what comes out changed on the way."""

    source: Any
    into: Callable[[Tensor], Tensor]
    out: Callable[[Any], Any]

    def recapture(self, inputs: Tensor, rows: Tensor) -> Capture:
        return self.out(self.source.recapture(self.into(inputs), rows))

    def replay_with_graph(self, activations: Tensor, rows: Tensor) -> Tensor:
        return self.out(self.source.replay_with_graph(self.into(activations), rows))

    def classes(self) -> Tensor:
        return self.out(self.source.classes())

    def of_classes(self, classes: Tensor) -> tuple[Tensor, Tensor]:
        return self.out(self.source.of_classes(classes))

    def stages(self) -> tuple[Capture, ...]:
        return self.out(self.source.stages())

    def attention(self) -> tuple[Attention, ...]:
        return self.source.attention()

    def prefix(self) -> int:
        return self.source.prefix()


def _with_zero_channel(a: Tensor) -> Tensor:
    return torch.cat([a, torch.zeros_like(a[:, :1])], dim=1)


def toy(
    axes: int = 2,
    head: str = "pooled",
    *,
    seed: int = 0,
    n: int = 3,
    t: int = 2,
    rectified: bool = True,
    dtype: torch.dtype = torch.float32,
) -> Toy:
    """Make a toy with random weights: a strided convolution, then a pooled linear or a dense nonlinear head.

    Args:
        axes: spatial axes, 1 to 3.
        head: "pooled" (mean over the grid, linear) or "dense" (every position its own weights, not linear).
        seed: of the weights, inputs and targets.
        n: inputs.
        t: targets per input.
        rectified: whether a ReLU ends the trunk, so that activations are not negative.
        dtype: of everything.
    """
    draws = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draws, dtype=torch.float64).to(dtype)

    grid = GRIDS[axes]
    inputs = draw(n, 2, *(2 * side for side in grid))
    kernel = draw(CHANNELS, 2, *(3,) * axes) / 3
    convolve = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}[axes]
    places = torch.Size(grid).numel()
    weight, bias = draw(CLASSES, CHANNELS), draw(CLASSES)
    hidden, readout = draw(16, CHANNELS * places) / places**0.5, draw(CLASSES, 16)

    def trunk(x: Tensor) -> Tensor:
        a = convolve(x, kernel, stride=2, padding=1)
        return a.relu() if rectified else a

    def pooled(a: Tensor) -> Tensor:
        return a.flatten(2).mean(-1) @ weight.T + bias

    def dense(a: Tensor) -> Tensor:
        return torch.tanh(a.flatten(1) @ hidden.T) @ readout.T + bias

    order = torch.stack([torch.randperm(CLASSES, generator=draws) for _ in range(n)])
    return Toy(trunk, {"pooled": pooled, "dense": dense}[head], inputs, order[:, :t])


def halved(capture: Capture, dtype: torch.dtype) -> Capture:
    """Return the capture of a model that ran in half precision."""

    def up(tensor: Tensor) -> Tensor:
        return tensor.to(capture.scores.dtype)

    def down(value: Any) -> Any:
        if isinstance(value, Capture):
            return halved(value, dtype)
        return tuple(down(v) for v in value) if isinstance(value, tuple) else value.to(dtype)

    return replace(
        capture,
        activations=down(capture.activations),
        gradients=down(capture.gradients),
        scores=down(capture.scores),
        inputs=None if capture.inputs is None else down(capture.inputs),
        replay=lambda activations, rows: down(capture.replay(up(activations), rows)),
        rescore=lambda inputs, rows: down(capture.rescore(up(inputs), rows)),
        source=None if capture.source is None else Through(capture.source, up, down),
    )


def counted(capture: Capture, seen: Callable[[], None]) -> Capture:
    """Return the capture with every further run of the model reported."""

    def out(value: Any) -> Any:
        seen()
        return value

    return replace(
        capture,
        replay=lambda activations, rows: out(capture.replay(activations, rows)),
        rescore=lambda inputs, rows: out(capture.rescore(inputs, rows)),
        source=None if capture.source is None else Through(capture.source, lambda x: x, out),
    )


def as_float32(half: Capture, original: Capture) -> Capture:
    """Return a half precision capture's very numbers in float32, with the original's full precision runs."""
    return replace(
        original,
        activations=half.activations.float(),
        gradients=half.gradients.float(),
        scores=half.scores.float(),
        inputs=None if half.inputs is None else half.inputs.float(),
    )
