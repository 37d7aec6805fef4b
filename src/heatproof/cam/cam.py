"""CAM: the original class activation map, read off a head that is linear in the pooled activations.

Formula (Zhou et al., 2016, arXiv:1512.04150, eq. 2): M_c = sum_k w_k^c A^k, where y_c = sum_k w_k^c mean(A^k) + b. The
weight is found without looking for it in the model: w_k^c = Z dy_c/dA^k_ij at any of the Z positions.

Assumes such a head, and verifies it: the gradient must be the same at every position, and y must be affine in A (tried
on 0, A and 2A). The mean of the map over the grid is y minus the bias.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.cam._parts import parts, weighted
from heatproof.errors import MethodError
from heatproof.types import Capture

NAME = "CAM"
ALIASES = ("class activation mapping",)
TIER = "experimental"
DIFFERENTIABLE = True
BIBTEX = """
@inproceedings{zhou2016cam,
  title     = {Learning Deep Features for Discriminative Localization},
  author    = {Zhou, Bolei and Khosla, Aditya and Lapedriza, Agata and Oliva, Aude and Torralba, Antonio},
  booktitle = {IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  pages     = {2921--2929},
  year      = {2016},
  doi       = {10.1109/CVPR.2016.319}
}
"""


def cam(capture: Capture) -> Float[Tensor, "n t *grid"]:
    """Return sum_k w_k A^k with the pooled linear head's own weights, signed, in the units of y.

    Raises:
        MethodError: the head is not linear in the mean of each channel, so that it has no such weights.
    """
    activations, gradients = parts(capture)
    flat = gradients.flatten(3)
    weights = flat.sum(-1)
    # what rounding may do to numbers that would be equal in exact arithmetic, in the precision the model ran in
    tolerance = torch.finfo(capture.activations.dtype).eps ** 0.5
    spread = (flat.amax(-1) - flat.amin(-1)).amax(-1)
    _refuse(spread > tolerance * flat.abs().amax((-2, -1)), capture, "weighs the positions of the grid differently")
    magnitude = (flat * activations.flatten(2).unsqueeze(1)).abs().sum((-2, -1))
    _refuse(
        _bend(capture) > tolerance * (magnitude + capture.scores.abs()), capture, "is not linear in the activations"
    )
    return weighted(weights, activations)


def _bend(capture: Capture) -> Float[Tensor, "n t"]:
    """Return |(y(2A) - y(A)) - (y(A) - y(0))|, zero for a head that is affine in A."""
    activations, n = capture.activations, len(capture.activations)
    rows = torch.arange(n, device=activations.device).repeat(3)
    scores = capture.replay(torch.cat([torch.zeros_like(activations), activations, 2 * activations]), rows)
    zero, one, two = scores.to(torch.promote_types(scores.dtype, torch.float32)).split(n)
    return (two - 2 * one + zero).abs()


def _refuse(bad: Bool[Tensor, "n t"], capture: Capture, what: str) -> None:
    if bool(bad.any()):
        raise MethodError(
            f"CAM needs a head that averages layer {capture.layer!r} over the grid and is linear after it, but this "
            f"head {what} (for {int(bad.sum())} of {bad.numel()} targets); use gradcam or hirescam."
        )
