"""Guided Grad-CAM: guided backpropagation times Grad-CAM, upsampled.

Formula (Selvaraju et al., 2017, arXiv:1610.02391, sec. 3.2): G * U(ReLU(sum_k alpha_k A^k)), with alpha_k the mean of
dy/dA^k over the grid, U linear upsampling to the input's size, and G guided backpropagation summed over the channels,
signed. Several target layers: the mean of their Grad-CAMs.

The fine detail comes from guided backpropagation, which mostly shows the edges of the input, and is no evidence that
the model uses them (Adebayo et al., 2018, arXiv:1810.03292). Only the places compare: the values have no unit, and grow
with the square of the score. Cost: two forwards and backwards.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from heatproof.attribution._maps import gradient_maps, precision
from heatproof.errors import MethodError
from heatproof.types import Capture, Subject
from heatproof.types.explanation import LINEAR

NAME = "Guided Grad-CAM"
ALIASES = ("GuidedGradCam", "GuidedGradCAM")
TIER = "experimental"
UNITS = "none"
SCALES_WITH_SCORE = False  # both factors do
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


def attribute(subject: Subject, *, batch_size: int = 32) -> Float[Tensor, "n t *spatial"]:
    """Return guided backpropagation times the upsampled ReLU of Grad-CAM, signed.

    Args:
        subject: of which inputs, gradients and captures are used.
        batch_size: most inputs in one run of guided backpropagation; halved where memory runs out.

    Raises:
        MethodError: a target layer's grid has not the input's axes.
        ExplainError: no gradient reaches the input.

    Warns:
        HeatproofWarning: there is no ReLU, or there are other activations.
    """
    cams = torch.stack([_upsampled_gradcam(capture, subject) for capture in subject.captures()]).mean(0)
    return gradient_maps(subject, batch_size, "guided") * cams


def _upsampled_gradcam(capture: Capture, subject: Subject) -> Float[Tensor, "n t *spatial"]:
    grid, size = capture.activations.shape[2:], subject.inputs.shape[2:]
    if len(grid) != len(size):
        raise MethodError(
            f"Guided Grad-CAM lays the grid {tuple(grid)} of layer {capture.layer!r} over an input of size "
            f"{tuple(size)}; use a layer whose grid has the input's axes."
        )
    weights = capture.gradients.to(precision(subject)).flatten(3).mean(-1)
    maps = torch.einsum("ntk,nk...->nt...", weights, capture.activations.detach().to(weights.dtype)).clamp(min=0)
    return F.interpolate(maps, size=tuple(size), mode=LINEAR[len(size)], align_corners=False)
