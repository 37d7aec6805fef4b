"""One forward pass seen from the target layer: activations, gradients, scores, and how to run on from there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Target:
    """The scalar y that is explained.

    Attributes:
        name: how captions call it: the class label, "output", the function's name.
        index: index into the last axis of a score output; None for a callable.
        function: maps the model's output for one input to a scalar; None for an index.
    """

    name: str
    index: int | None = None
    function: Callable[[Any], Any] | None = None


@dataclass(frozen=True, eq=False)
class Attention:
    """What one attention layer did, and how the scores depend on it.

    Attributes:
        weights: (n, heads, queries, keys) after the softmax; each row sums to 1.
        gradients: (n, t, heads, queries, keys) dy/dweights.
        layer: dotted name of the module that computed it.
    """

    weights: Float[Tensor, "n h q s"]
    gradients: Float[Tensor, "n t h q s"]
    layer: str


@runtime_checkable
class Source(Protocol):
    """Further runs of the captured network, for the methods that one capture is not enough for."""

    def recapture(self, inputs: Float[Tensor, "m c *spatial"], rows: Int[Tensor, " m"]) -> "Capture":
        """Return the capture of changed inputs at the same layer, each for the targets of the input `rows` names."""
        ...

    def replay_with_graph(
        self, activations: Float[Tensor, "m k *grid"], rows: Int[Tensor, " m"]
    ) -> Float[Tensor, "m t"]:
        """Return the scores as `Capture.replay` does, connected to the graph of `activations`."""
        ...

    def classes(self) -> Float[Tensor, "n classes"]:
        """Return the score of every class; raises TargetError where the output is not a score per class."""
        ...

    def of_classes(self, classes: Int[Tensor, "n q"]) -> tuple[Float[Tensor, "n q"], Float[Tensor, "n q k *grid"]]:
        """Return the scores of q classes per input and their gradients at the same layer."""
        ...

    def stages(self) -> "tuple[Capture, ...]":
        """Return captures of the last layer on each grid up to the target layer's, from one forward, finest first."""
        ...

    def attention(self) -> tuple[Attention, ...]:
        """Return what every attention layer did, first to last; raises MethodError where the network has none."""
        ...

    def prefix(self) -> int:
        """Return how many tokens stand before the grid's in the target layer's sequence; 0 where it is no sequence."""
        ...


@dataclass(frozen=True, eq=False)
class Capture:
    """What every CAM method starts from.

    Attributes:
        activations: (n, k, *grid) A, the target layer's output, channels first, as it left the layer.
        gradients: (n, t, k, *grid) dy/dA for t targets per input.
        scores: (n, t) y.
        layer: dotted name of the target layer.
        replay: `(activations (m, k, *grid), rows (m,)) -> scores (m, t)`: runs only what comes after the layer, with
            `rows` saying whose input (0..n-1) each row belongs to.
        rescore: `(inputs (m, c, *spatial), rows (m,)) -> scores (m, t)`: runs the whole model on changed inputs.
        inputs: (n, c, *spatial) what the model was given, or None if that was not one tensor.
        source: runs the network again in other ways; None where the capture was made by hand.
    """

    activations: Float[Tensor, "n k *grid"]
    gradients: Float[Tensor, "n t k *grid"]
    scores: Float[Tensor, "n t"]
    layer: str
    replay: Callable[[Float[Tensor, "m k *grid"], Int[Tensor, " m"]], Float[Tensor, "m t"]]
    rescore: Callable[[Float[Tensor, "m c *spatial"], Int[Tensor, " m"]], Float[Tensor, "m t"]]
    inputs: Float[Tensor, "n c *spatial"] | None = None
    source: Source | None = None
