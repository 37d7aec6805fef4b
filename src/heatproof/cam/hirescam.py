"""HiResCAM: gradient times activation, summed over channels.

Formula (Draelos and Carin, 2020, arXiv:2011.08891): L = sum_k dy/dA^k * A^k, position by position, without a ReLU.

Assumes nothing about pooling: for a head that is linear in A (one layer, whatever its weights at each position) the map
sums to y minus the bias, so it shows exactly what the model used. Equal to Grad-CAM times the number of positions where
the gradient is the same at every position.
"""

from jaxtyping import Float
from torch import Tensor

from heatproof.cam._parts import parts
from heatproof.types import Capture

NAME = "HiResCAM"
ALIASES = ("HiRes-CAM", "high-resolution class activation mapping")
TIER = "core"
DIFFERENTIABLE = True
BIBTEX = """
@article{draelos2020hirescam,
  title   = {Use HiResCAM instead of Grad-CAM for faithful explanations of convolutional neural networks},
  author  = {Draelos, Rachel Lea and Carin, Lawrence},
  journal = {arXiv preprint arXiv:2011.08891},
  year    = {2020}
}
"""


def cam(capture: Capture) -> Float[Tensor, "n t *grid"]:
    """Return sum_k dy/dA^k * A^k, signed, in the units of y."""
    activations, gradients = parts(capture)
    return (gradients * activations.unsqueeze(1)).sum(2)
