"""Eigen-CAM: the first principal component of the activations; the same map whatever the target.

Formula (Muhammad and Yeasin, 2020, arXiv:2008.00299): write A as a matrix O with one row per position and one column
per channel, O = U S V^T; the map is O v_1, the projection on the first right singular vector. As in the paper, O is not
centered; `centered=True` subtracts every channel's mean first, as the package grad-cam does.

**Independent of the target:** the map shows what stands out in the layer, not what speaks for a class. Every target of
an input gets the same map, in the units of the activations; what the head has learned cannot change it.

A singular vector has no sign of its own. Here it is the one for which the map correlates with the activation energy
sum_k (A^k)^2, so that a strongly active region is positive. Where the two largest singular values are equal, the
component is not unique.
"""

from jaxtyping import Float
from torch import Tensor

from heatproof.cam._eigen import aligned, first_component
from heatproof.cam._parts import parts
from heatproof.types import Capture

NAME = "Eigen-CAM"
ALIASES = ("EigenCAM",)
TIER = "core"
UNITS = "activations"
SCALES_WITH_SCORE = False  # does not see the score
BIBTEX = """
@inproceedings{muhammad2020eigencam,
  title     = {Eigen-CAM: Class Activation Map using Principal Components},
  author    = {Muhammad, Mohammed Bany and Yeasin, Mohammed},
  booktitle = {International Joint Conference on Neural Networks (IJCNN)},
  pages     = {1--7},
  year      = {2020},
  doi       = {10.1109/IJCNN48605.2020.9206626}
}
"""


def cam(capture: Capture, *, centered: bool = False) -> Float[Tensor, "n t *grid"]:
    """Return A projected on its first principal component, in the units of A, the same for every target.

    Args:
        capture: of which the activations are used.
        centered: subtract every channel's mean over the grid before the decomposition.
    """
    activations, _ = parts(capture)
    points = activations.flatten(2).mT
    energy = points.square().sum(-1)
    if centered:
        points = points - points.mean(1, keepdim=True)
    component = aligned(first_component(points), energy)
    maps = component.unflatten(1, activations.shape[2:]).unsqueeze(1)
    targets = capture.scores.shape[1]
    return maps.repeat_interleave(targets, dim=1)
