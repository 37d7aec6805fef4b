"""LayerCAM: activations weighted, position by position, by their positive gradients.

Formula (Jiang et al., 2021, doi:10.1109/TIP.2021.3089943, before the ReLU): L = sum_k relu(dy/dA^k) * A^k.

Assumes activations that are not negative: a negative gradient then speaks against the target and is dropped, so the map
of a rectified layer shows evidence for the target only and is never negative. Fit for early layers, where one weight
per channel is too coarse.
"""

from jaxtyping import Float
from torch import Tensor

from heatproof.cam._parts import parts
from heatproof.types import Capture

NAME = "LayerCAM"
ALIASES = ("Layer-CAM",)
TIER = "core"
DIFFERENTIABLE = True
BIBTEX = """
@article{jiang2021layercam,
  title   = {LayerCAM: Exploring Hierarchical Class Activation Maps for Localization},
  author  = {Jiang, Peng-Tao and Zhang, Chang-Bin and Hou, Qibin and Cheng, Ming-Ming and Wei, Yunchao},
  journal = {IEEE Transactions on Image Processing},
  volume  = {30},
  pages   = {5875--5888},
  year    = {2021},
  doi     = {10.1109/TIP.2021.3089943}
}
"""


def cam(capture: Capture) -> Float[Tensor, "n t *grid"]:
    """Return sum_k relu(dy/dA^k) * A^k, in the units of y."""
    activations, gradients = parts(capture)
    return (gradients.clamp(min=0) * activations.unsqueeze(1)).sum(2)
