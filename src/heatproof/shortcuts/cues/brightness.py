"""Brightness: the median level, averaged over the channels."""

from jaxtyping import Float
from torch import Tensor

from heatproof.shortcuts.cues._moments import middle

NAME = "Brightness"
ALIASES = ()
TIER = "experimental"
BIBTEX = ""


def measure(inputs: Float[Tensor, "n c *spatial"], weights: Float[Tensor, "n 1 *spatial"]) -> Float[Tensor, "n 1"]:
    """Return the mean of the channels' medians."""
    return middle(inputs, weights).mean(1, keepdim=True)


def shift(inputs: Float[Tensor, "n c *spatial"], delta: Float[Tensor, " 1"]) -> Float[Tensor, "n c *spatial"]:
    """Return inputs that are brighter by `delta`."""
    return inputs + delta
