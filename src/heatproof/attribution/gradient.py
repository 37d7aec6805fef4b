"""Gradient: how the score changes with the input at every place.

Formula (Simonyan et al., 2013, arXiv:1312.6034, sec. 3.1): w = dy/dx, here summed over the channels with its sign. The
paper takes the largest |w| over the channels, which has no sign; a place whose channels pull in opposite directions can
cancel here and not there.

Says where a small change of the input changes the score, not how much of the score a place is worth: compare
input_x_gradient. In units of the score per unit of the input. Cost: one forward and one backward.
"""

from jaxtyping import Float
from torch import Tensor

from heatproof.attribution._maps import gradient_maps
from heatproof.types import Subject

NAME = "Gradient"
ALIASES = ("Saliency", "vanilla gradient", "saliency map")
TIER = "experimental"
UNITS = "score per input"
BIBTEX = """
@article{simonyan2013deep,
  title   = {Deep Inside Convolutional Networks: Visualising Image Classification Models and Saliency Maps},
  author  = {Simonyan, Karen and Vedaldi, Andrea and Zisserman, Andrew},
  journal = {arXiv preprint arXiv:1312.6034},
  year    = {2013}
}
"""


def attribute(subject: Subject, *, batch_size: int = 32) -> Float[Tensor, "n t *spatial"]:
    """Return dy/dx summed over the channels, signed.

    Args:
        subject: of which inputs and gradients are used.
        batch_size: most inputs in one run; halved where memory runs out.

    Raises:
        ExplainError: no gradient reaches the input.
    """
    return gradient_maps(subject, batch_size)
