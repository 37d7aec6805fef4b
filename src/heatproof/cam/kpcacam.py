"""KPCA-CAM: the first kernel principal component of the activations; the same map whatever the target.

Formula (Karmani et al., 2024, arXiv:2410.00267): with x_p the centered activations of all channels at position p, K the
matrix of k(x_p, x_q) over all pairs of positions, and K' that matrix centered in feature space, the map is
sqrt(lambda_1) u_1, the first eigenvalue and eigenvector of K'.

The kernel is the sigmoid k(x, y) = tanh(gamma <x, y> + 1), the default of the authors' program in the package grad-cam.
There gamma is one over the number of channels, which makes the map depend on the unit of the activations and on dead
channels. Here it is one over the mean of <x_p, x_p>, which does neither.

**Independent of the target**, as Eigen-CAM is, whose nonlinear counterpart this is. The map has no unit, and the sign
for which it correlates with the activation energy sum_k (A^k)^2, so that a strongly active region is positive. It is
blank where the activations are the same at every position.

Memory and time grow with the square and the cube of the number of positions, so that large grids are refused.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.cam._eigen import aligned
from heatproof.cam._parts import parts
from heatproof.errors import MethodError
from heatproof.types import Capture

NAME = "KPCA-CAM"
ALIASES = ("KPCACAM", "KPCA_CAM", "kernel PCA CAM")
TIER = "experimental"
UNITS = "none"
SCALES_WITH_SCORE = False  # does not see the score
MOST_POSITIONS = 4096
BIBTEX = """
@article{karmani2024kpcacam,
  title   = {KPCA-CAM: Visual Explainability of Deep Computer Vision Models using Kernel PCA},
  author  = {Karmani, Sachin and Sivakaran, Thanushon and Prasad, Gaurav and Ali, Mehmet and Yang, Wenbo and
             Tang, Sheyang},
  journal = {arXiv preprint arXiv:2410.00267},
  year    = {2024}
}
"""


def cam(capture: Capture) -> Float[Tensor, "n t *grid"]:
    """Return the first kernel principal component of A over the positions, without unit, the same for every target.

    Raises:
        MethodError: the grid has more than 4096 positions.
    """
    activations, _ = parts(capture)
    grid = activations.shape[2:]
    if grid.numel() > MOST_POSITIONS:
        raise MethodError(
            f"KPCA-CAM compares every pair of positions, and the grid {tuple(grid)} of layer {capture.layer!r} has "
            f"{grid.numel()} of them, more than {MOST_POSITIONS}; use a later layer, or eigencam."
        )
    points = activations.flatten(2).mT
    # one input at a time: the matrices are the square of the grid
    components = torch.stack([_component(one) for one in points])
    maps = aligned(components, points.square().sum(-1)).unflatten(1, grid).unsqueeze(1)
    return maps.repeat_interleave(capture.scores.shape[1], dim=1)


def _component(points: Float[Tensor, "p k"]) -> Float[Tensor, " p"]:
    """Return the first kernel principal component up to its sign; NaN where the points are not all finite."""
    if not bool(points.isfinite().all()):
        return torch.full_like(points[:, 0], torch.nan)
    # differences of kernel values lose digits, so they are taken in double precision, which one kind of device lacks
    precise = points.to(points.dtype if points.device.type == "mps" else torch.float64)
    largest = precise.abs().amax()
    centered = precise / largest if bool(largest > 0) else precise
    centered = centered - centered.mean(0)
    products = centered @ centered.mT
    spread = products.diagonal().mean()
    if bool(spread <= torch.finfo(points.dtype).eps ** 2):  # no position differs from another by more than rounding
        return torch.zeros_like(points[:, 0])
    kernel = torch.tanh(products / spread + 1)
    kernel = kernel - kernel.mean(0) - kernel.mean(1, keepdim=True) + kernel.mean()
    values, vectors = torch.linalg.eigh(kernel)
    return (values[-1].clamp(min=0).sqrt() * vectors[:, -1]).to(points.dtype)
