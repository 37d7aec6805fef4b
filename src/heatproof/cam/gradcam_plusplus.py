"""Grad-CAM++: each channel weighted by its positive gradients, each of those by how much it accounts for.

Formula (Chattopadhyay et al., 2018, arXiv:1710.11063, eqs. 7 and 19, before the ReLU), with g = dS/dA^k of the raw
score S:

    L = sum_k w_k A^k,   w_k = sum_ij alpha_ij relu(g_ij),   alpha_ij = g_ij^2 / (2 g_ij^2 + (sum_ab A_ab) g_ij^3)

With g^2 cancelled, w_k = sum_ij relu(g_ij) / (2 + g_ij sum_ab A_ab): nothing is left to divide zero by zero, so no
epsilon is needed, which would swamp small gradients.

The paper differentiates Y = exp(S), so that the higher derivatives are powers of the first. That multiplies w_k by
exp(S), one positive factor for the whole map. It is left out: it does not change where the evidence is, exp(S)
overflows for a large score, and without it the map is in the units of S.

Assumes activations that are not negative. Elsewhere the denominator can vanish and the weights mean nothing; a warning
says so. A position whose denominator is exactly zero gets no weight.
"""

import warnings

from jaxtyping import Float
from torch import Tensor

from heatproof.cam._parts import parts, weighted
from heatproof.errors import HeatproofWarning
from heatproof.types import Capture

NAME = "Grad-CAM++"
ALIASES = ("GradCAMPlusPlus", "GradCAMpp", "GradCAM++")
TIER = "core"
DIFFERENTIABLE = True
SCALES_WITH_SCORE = False  # g stands beside g^2 in the denominator: doubling the score does not double the map
BIBTEX = """
@inproceedings{chattopadhyay2018gradcampp,
  title     = {Grad-CAM++: Generalized Gradient-Based Visual Explanations for Deep Convolutional Networks},
  author    = {Chattopadhay, Aditya and Sarkar, Anirban and Howlader, Prantik and Balasubramanian, Vineeth N.},
  booktitle = {IEEE Winter Conference on Applications of Computer Vision (WACV)},
  pages     = {839--847},
  year      = {2018},
  doi       = {10.1109/WACV.2018.00097}
}
"""


def cam(capture: Capture) -> Float[Tensor, "n t *grid"]:
    """Return sum_k w_k A^k with the weights of eqs. 7 and 19, in the units of y.

    Warns:
        HeatproofWarning: the activations are negative enough for a denominator to reach zero or less.
    """
    activations, gradients = parts(capture)
    positive = gradients.flatten(3).clamp(min=0)
    total = activations.flatten(2).sum(-1)[:, None, :, None]
    denominator = 2 + positive * total  # where g <= 0 the numerator is zero, whatever stands here
    if bool((denominator <= 0).any()):
        warnings.warn(
            f"Grad-CAM++ assumes activations that are not negative; layer {capture.layer!r} has channels whose sum is "
            "so negative that their weights change sign. Explain a layer after a ReLU, or use gradcam or hirescam.",
            HeatproofWarning,
            stacklevel=2,
        )
    usable = denominator != 0
    weights = (positive / denominator.where(usable, 1)).where(usable, 0).sum(-1)
    return weighted(weights, activations)
