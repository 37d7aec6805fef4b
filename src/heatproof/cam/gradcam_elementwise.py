"""Element-wise Grad-CAM: gradient times activation, of which only what is positive counts.

Formula (the package grad-cam, which published it without a paper): L = sum_k ReLU(dy/dA^k * A^k), position by position.

Assumes that what speaks against the target is of no interest: each channel's negative products are dropped before the
sum, so the map is never negative, shows no evidence against the target and does not sum to y. After a ReLU it equals
LayerCAM; elsewhere a negative gradient on a negative activation counts here and not there.
"""

from jaxtyping import Float
from torch import Tensor

from heatproof.cam._parts import parts
from heatproof.types import Capture

NAME = "Element-wise Grad-CAM"
ALIASES = ("GradCAMElementWise",)
TIER = "experimental"
DIFFERENTIABLE = True
BIBTEX = """
@misc{gildenblat2021gradcamelementwise,
  title  = {PyTorch library for CAM methods},
  author = {Gildenblat, Jacob and contributors},
  year   = {2021},
  url    = {https://github.com/jacobgil/pytorch-grad-cam}
}
"""


def cam(capture: Capture) -> Float[Tensor, "n t *grid"]:
    """Return sum_k ReLU(dy/dA^k * A^k), in the units of y."""
    activations, gradients = parts(capture)
    return (gradients * activations.unsqueeze(1)).clamp(min=0).sum(2)
