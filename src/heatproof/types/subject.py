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

    Attributes:
        inputs: (n, c, *spatial) what the model was given.
        scores: (n, t) y.
        rescore: `(inputs (m, c, *spatial), rows (m,)) -> scores (m, t)`.
        gradients: `(inputs, rows, rectifier="plain") -> dy/dx (m, t, c, *spatial)`.
        bias_gradients: `() -> [b dy/db at every place (n, t, c, *grid)]`, for every layer on a grid that adds
            a bias b (that of a normalization with fixed statistics included).
        capture: `() -> Capture` at the target layer, for methods that are built on a CAM.
    """

    inputs: Float[Tensor, "n c *spatial"]
    scores: Float[Tensor, "n t"]
    rescore: Callable[[Float[Tensor, "m c *spatial"], Int[Tensor, " m"]], Float[Tensor, "m t"]]
    gradients: Gradients
    capture: Callable[[], Capture]
    bias_gradients: Callable[[], list[Float[Tensor, "n t c *grid"]]]
