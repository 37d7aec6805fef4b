"""A model as a function of its inputs: what every attribution method starts from."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor

from heatproof.types.capture import Capture

Rectifier = Literal["plain", "guided", "deconvnet"]
"""How a gradient passes a ReLU: where the input was positive; where it is itself positive, too; only the latter."""


@runtime_checkable
class Gradients(Protocol):
    """dy/dx for any inputs."""

    def __call__(
        self,
        inputs: Float[Tensor, "m c *spatial"],
        rows: Int[Tensor, " m"],
        rectifier: Rectifier = "plain",
    ) -> Float[Tensor, "m t c *spatial"]:
        """Return the gradient of every target of the input that `rows` names, at `inputs`."""
        ...


@dataclass(frozen=True, eq=False)
class Subject:
    """Inputs, their scores, and the model as a function of them.

    All that the functions return is in at least float32 and without a graph.

    Attributes:
        inputs: (n, c, *spatial) what the model was given.
        scores: (n, t) y.
        rescore: `(inputs (m, c, *spatial), rows (m,)) -> scores (m, t)`, with `rows` saying whose targets (0..n-1).
        gradients: `(inputs, rows, rectifier="plain") -> dy/dx (m, t, c, *spatial)`.
        captures: `() -> one Capture per target layer`, for methods that are built on a CAM.
        bias_gradients: `(rows (m,)) -> [b dy/db at every place (m, t, c, *grid)]` at the inputs that `rows` names, for
            every convolution, linear layer and normalization, b being what it puts out for zero. Where its places are
            not known to lie over the input (tokens, a classifier), they are summed up: (m, t, c).
    """

    inputs: Float[Tensor, "n c *spatial"]
    scores: Float[Tensor, "n t"]
    rescore: Callable[[Float[Tensor, "m c *spatial"], Int[Tensor, " m"]], Float[Tensor, "m t"]]
    gradients: Gradients
    captures: Callable[[], tuple[Capture, ...]]
    bias_gradients: Callable[[Int[Tensor, " m"]], list[Float[Tensor, "m t c *grid"]]]
