"""Input edges: a control. The Sobel magnitude of the input; the model is not asked.

Formula (Sobel and Feldman, 1968): sqrt(sum over channels and axes of g^2), g the central difference along one axis,
smoothed by (1, 2, 1)/4 along the others, the edge of the input repeated.

A map of edges looks like an explanation to most people. A check or a metric that rates it as well as a method's
measures something else than the method, and a method whose maps are much like it may show the input more than the model
(Adebayo et al., 2018, arXiv:1810.03292). In the units of the input per sample. Cost: none.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from heatproof.attribution._maps import precision
from heatproof.types import Subject

NAME = "Input edges"
ALIASES = ("Sobel", "edge detector")
TIER = "experimental"
UNITS = "none"
SCALES_WITH_SCORE = False  # does not see the score
BIBTEX = """
@inproceedings{adebayo2018sanity,
  title     = {Sanity Checks for Saliency Maps},
  author    = {Adebayo, Julius and Gilmer, Justin and Muelly, Michael and Goodfellow, Ian and Hardt, Moritz and
               Kim, Been},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  volume    = {31},
  year      = {2018}
}
"""

_DIFFERENCE = (-0.5, 0.0, 0.5)
_SMOOTHING = (0.25, 0.5, 0.25)


def attribute(subject: Subject) -> Float[Tensor, "n t *spatial"]:
    """Return the Sobel magnitude of the input, not negative, the same for every target.

    Args:
        subject: of which the inputs are used.
    """
    inputs = subject.inputs.to(precision(subject))
    axes = range(2, inputs.ndim)
    squares = torch.zeros_like(inputs[:, 0])
    for along in axes:
        filtered = inputs
        for axis in axes:
            filtered = _filtered(filtered, axis, _DIFFERENCE if axis == along else _SMOOTHING)
        squares += filtered.square().sum(1)
    return squares.sqrt().unsqueeze(1).repeat_interleave(subject.scores.shape[1], dim=1)


def _filtered(values: Tensor, axis: int, kernel: tuple[float, float, float]) -> Tensor:
    """Return the values correlated with three weights along one axis, the ends repeated."""
    lines = values.movedim(axis, -1)
    before, here, after = (
        part for part in F.pad(lines.flatten(0, -2), (1, 1), mode="replicate").unfold(-1, 3, 1).unbind(-1)
    )
    found = kernel[0] * before + kernel[1] * here + kernel[2] * after
    return found.view(lines.shape).movedim(-1, axis)
