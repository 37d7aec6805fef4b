"""One forward pass seen from the target layer: activations, gradients, scores, and how to run on from there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

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
    """

    activations: Float[Tensor, "n k *grid"]
    gradients: Float[Tensor, "n t k *grid"]
    scores: Float[Tensor, "n t"]
    layer: str
    replay: Callable[[Float[Tensor, "m k *grid"], Int[Tensor, " m"]], Float[Tensor, "m t"]]
    rescore: Callable[[Float[Tensor, "m c *spatial"], Int[Tensor, " m"]], Float[Tensor, "m t"]]
    inputs: Float[Tensor, "n c *spatial"] | None = None
