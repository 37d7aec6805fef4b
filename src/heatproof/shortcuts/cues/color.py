"""Color cast: how far the median of each channel lies from gray, as after another scanner or stain."""

from jaxtyping import Float
from torch import Tensor

from heatproof.shortcuts.cues._moments import middle

NAME = "Color cast"
ALIASES = ()
TIER = "experimental"
BIBTEX = ""


def measure(
    inputs: Float[Tensor, "n c *spatial"], weights: Float[Tensor, "n 1 *spatial"]
) -> Float[Tensor, "n c"] | None:
    """Return each channel's median less that of all; None for one channel."""
    if inputs.shape[1] < 2:
        return None
    levels = middle(inputs, weights)
    return levels - levels.mean(1, keepdim=True)


def shift(inputs: Float[Tensor, "n c *spatial"], delta: Float[Tensor, " c"]) -> Float[Tensor, "n c *spatial"]:
    """Return inputs with another cast."""
    return inputs + delta.reshape(1, -1, *[1] * (inputs.ndim - 2))
