"""XGrad-CAM: each channel weighted by the mean of its gradient, weighted by its activations.

Formula (Fu et al., 2020, arXiv:2008.02312, before the ReLU): L = sum_k w_k A^k, with
w_k = sum_ij (A^k_ij / sum_ab A^k_ab) dy/dA^k_ij.

Chosen so that the map sums to sum_k <dy/dA^k, A^k>, which is y minus the bias for a piecewise linear network without
inner biases (conservation).

Assumes that a channel's activations do not cancel. A channel whose sum is zero within rounding, a dead one for example,
has no defined weight and gets zero; that is exact for a dead channel, which contributes nothing at any weight.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.cam._parts import parts, weighted
from heatproof.types import Capture

NAME = "XGrad-CAM"
ALIASES = ("XGradCAM", "axiom-based Grad-CAM")
TIER = "experimental"
DIFFERENTIABLE = True
BIBTEX = """
@inproceedings{fu2020axiom,
  title     = {Axiom-based Grad-CAM: Towards Accurate Visualization and Explanation of CNNs},
  author    = {Fu, Ruigang and Hu, Qingyong and Dong, Xiaohu and Guo, Yulan and Gao, Yinghui and Li, Biao},
  booktitle = {British Machine Vision Conference (BMVC)},
  year      = {2020}
}
"""


def cam(capture: Capture) -> Float[Tensor, "n t *grid"]:
    """Return sum_k (<dy/dA^k, A^k> / sum A^k) A^k, signed, in the units of y."""
    activations, gradients = parts(capture)
    flat = activations.flatten(2)
    total = flat.sum(-1)
    # the rounding error of a pairwise sum: a total below it is noise, and dividing by noise gives a map of noise
    depth = math.log2(flat.shape[-1]) + 1
    noise = torch.finfo(flat.dtype).eps * depth * flat.abs().sum(-1)
    defined = (total.abs() > noise).unsqueeze(1)
    products = (gradients.flatten(3) * flat.unsqueeze(1)).sum(-1)
    weights = (products / total.unsqueeze(1).where(defined, 1)).where(defined, 0)  # never 0/0, whose gradient is NaN
    return weighted(weights, activations)
