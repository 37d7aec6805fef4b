"""Finer-CAM: Grad-CAM of what tells the target from the classes most like it.

Formula (Zhang et al., 2025, arXiv:2501.11309, before the ReLU): Grad-CAM of a difference of scores,

    L = sum_k w_k A^k,   w_k = mean_ij d( y_c - gamma mean_d y_d ) / dA^k_ij

with d running over the T classes whose scores are closest to that of the target c. Evidence that they share cancels,
all of it at gamma = 1; at gamma = 0 the map is that of Grad-CAM. gamma and T (0.6 and 3) are the defaults of the
package torchcam. The package grad-cam weighs the classes d by their probabilities instead, and differentiates those
weights as well, so that its map is not that of a difference of scores.

Assumes an output with one score per class. Cost: two forwards and T + 1 backward passes per target more than Grad-CAM.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from heatproof.cam._parts import parts, weighted
from heatproof.cam._runs import source_of
from heatproof.errors import MethodError
from heatproof.types import Capture

NAME = "Finer-CAM"
ALIASES = ("FinerCAM",)
TIER = "experimental"
SAME = 0.1
"""How far the gradient of a class may lie from the target's, relative to it, for the target to be that class."""
EQUAL = 1e-4
"""Or else its score, relative to the largest."""
BIBTEX = """
@inproceedings{zhang2025finercam,
  title     = {Finer-CAM: Spotting the Difference Reveals Finer Details for Visual Explanation},
  author    = {Zhang, Ziheng and Gu, Jianyang and Chowdhury, Arpita and Mai, Zheda and Carlyn, David and
               Berger-Wolf, Tanya and Su, Yu and Chao, Wei-Lun},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR)},
  year      = {2025}
}
"""


def cam(capture: Capture, *, gamma: float = 0.6, classes: int = 3) -> Float[Tensor, "n t *grid"]:
    """Return sum_k mean(d(y_c - gamma mean_d y_d)/dA^k) A^k, signed, in the units of y.

    Args:
        capture: of which activations, gradients, scores and the source's classes and of_classes are used.
        gamma: how much of the other classes is taken off; 0 or more.
        classes: T, how many classes to compare with; all others where there are fewer.

    Raises:
        MethodError: the capture was made by hand; there is no other class; the target is no class of the output;
            `gamma` is negative; or `classes` is less than 1.
        TargetError: the output is not a score per class.
    """
    if classes < 1 or not gamma >= 0:
        raise MethodError(f"classes is {classes} and gamma {gamma}; at least 1 class, and a gamma of 0 or more.")
    source = source_of(capture, NAME)
    activations, gradients = parts(capture)
    every = source.classes()
    if every.shape[1] < 2:
        raise MethodError(f"{NAME} compares classes, and this network has one output; use gradcam.")
    distance = (every.unsqueeze(1) - capture.scores.detach().unsqueeze(2)).abs()
    near = distance.argsort(dim=2, stable=True)[..., : classes + 1]  # the target's own among them
    equal = distance.gather(2, near) <= EQUAL * every.abs().amax(1)[:, None, None]
    _, found = source.of_classes(near.flatten(1))
    candidates = found.detach().to(gradients.dtype).unflatten(1, near.shape[1:])
    own = _own(candidates, gradients, equal, capture.layer)
    count = near.shape[2] - 1
    target = candidates.take_along_dim(own.view(*own.shape, *(1,) * (candidates.ndim - 3)), dim=2)
    others = (candidates.sum(2) - target.squeeze(2)) / count
    return weighted((gradients - gamma * others).flatten(3).mean(-1), activations)


def _own(
    candidates: Float[Tensor, "n t count k *grid"],
    gradients: Float[Tensor, "n t k *grid"],
    equal: Bool[Tensor, "n t count"],
    layer: str,
) -> Int[Tensor, "n t 1"]:
    """Return which candidate is the target itself: the one of equal score; of several, the one of equal gradient.

    In half precision no score may be equal; then the gradient alone decides.
    """
    size = gradients.flatten(2).norm(dim=2)
    off = (candidates - gradients.unsqueeze(2)).flatten(3).norm(dim=3)
    known = equal.any(2)
    nearest, own = off.where(equal | ~known.unsqueeze(2), torch.inf).min(dim=2)
    strange = ~known & (nearest > SAME * size)
    if bool(strange.any()):
        raise MethodError(
            f"{NAME} compares a class with others, and {int(strange.sum())} of {strange.numel()} targets at layer "
            f"{layer!r} are no class of the output; pass a class, or the difference of two scores to gradcam."
        )
    return own.unsqueeze(2)
