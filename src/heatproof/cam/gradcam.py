"""Grad-CAM: each channel weighted by the mean of its gradient.

Formula (Selvaraju et al., 2017, arXiv:1610.02391, eqs. 1 and 2, before the ReLU): L = sum_k alpha_k A^k, with
alpha_k = (1/Z) sum_ij dy/dA^k_ij over the Z positions of the grid.

Assumes that a channel matters equally wherever it is active: averaging the gradient forgets where it came from. Exact
for heads that pool globally and are linear after it; for others compare HiResCAM.
"""

from jaxtyping import Float
from torch import Tensor

from heatproof.cam._parts import parts, weighted
from heatproof.types import Capture

NAME = "Grad-CAM"
ALIASES = ("GradCAM", "LayerGradCam", "gradient-weighted class activation mapping")
TIER = "core"
DIFFERENTIABLE = True
BIBTEX = """
@inproceedings{selvaraju2017gradcam,
  title     = {Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization},
  author    = {Selvaraju, Ramprasaath R. and Cogswell, Michael and Das, Abhishek and Vedantam, Ramakrishna and
               Parikh, Devi and Batra, Dhruv},
  booktitle = {IEEE International Conference on Computer Vision (ICCV)},
  pages     = {618--626},
  year      = {2017},
  doi       = {10.1109/ICCV.2017.74}
}
"""


def cam(capture: Capture) -> Float[Tensor, "n t *grid"]:
    """Return sum_k mean(dy/dA^k) A^k, signed, in the units of y."""
    activations, gradients = parts(capture)
    return weighted(gradients.flatten(3).mean(-1), activations)
