"""Eigen-Grad-CAM: the first principal component of gradient times activation.

Formula (the package grad-cam, which published it without a paper): as Eigen-CAM, with dy/dA * A in place of A. Write it
as a matrix P with one row per position and one column per channel, P = U S V^T; the map is P v_1.

The sign of v_1, which is arbitrary, is the one for which the map correlates with HiResCAM, the sum of the same products
over the channels: positive is evidence for the target. (Correlation with the energy, as in Eigen-CAM, would turn strong
evidence against the target into evidence for it.)

Assumes that one direction in channel space carries the evidence; the rest is dropped, so the map does not sum to y.
"""

from jaxtyping import Float
from torch import Tensor

from heatproof.cam._eigen import aligned, first_component
from heatproof.cam._parts import parts
from heatproof.types import Capture

NAME = "Eigen-Grad-CAM"
ALIASES = ("EigenGradCAM",)
TIER = "experimental"
BIBTEX = """
@misc{gildenblat2021eigengradcam,
  title  = {PyTorch library for CAM methods},
  author = {Gildenblat, Jacob and contributors},
  year   = {2021},
  url    = {https://github.com/jacobgil/pytorch-grad-cam}
}
"""


def cam(capture: Capture) -> Float[Tensor, "n t *grid"]:
    """Return dy/dA * A projected on its first principal component, signed, in the units of y."""
    activations, gradients = parts(capture)
    products = (gradients * activations.unsqueeze(1)).flatten(3).flatten(0, 1).mT
    component = aligned(first_component(products), products.sum(-1))
    return component.view(*gradients.shape[:2], *activations.shape[2:])
