"""Guided backpropagation: the gradient with all that is negative cut off at every ReLU on its way back.

Formula (Springenberg et al., 2015, arXiv:1412.6806, fig. 1c): at a ReLU with input f and gradient R above,
R_below = (f > 0) (R > 0) R; all else as usual; at the input summed over the channels, signed.

ReLUs are found as modules and as functions, in place or not (also relu6 and a clamp at 0). Other activations keep their
gradient: without any ReLU the map equals the gradient, and a warning says so.

A negative control more than an explanation: it mostly shows the edges of the input, nearly whatever the model learned
(Adebayo et al., 2018, arXiv:1810.03292; Nie et al., 2018, arXiv:1805.07039). Only the places compare: the values have
no unit. Cost: one forward and one backward.
"""

from jaxtyping import Float
from torch import Tensor

from heatproof.attribution._maps import gradient_maps
from heatproof.types import Subject

NAME = "Guided backpropagation"
ALIASES = ("GuidedBackprop", "GuidedBackpropReLUModel")
TIER = "experimental"
UNITS = "none"
BIBTEX = """
@inproceedings{springenberg2015striving,
  title     = {Striving for Simplicity: The All Convolutional Net},
  author    = {Springenberg, Jost Tobias and Dosovitskiy, Alexey and Brox, Thomas and Riedmiller, Martin},
  booktitle = {International Conference on Learning Representations (ICLR), workshop track},
  year      = {2015}
}
"""


def attribute(subject: Subject, *, batch_size: int = 32) -> Float[Tensor, "n t *spatial"]:
    """Return the guided gradient summed over the channels, signed.

    Args:
        subject: of which inputs and gradients are used.
        batch_size: most inputs in one run; halved where memory runs out.

    Raises:
        ExplainError: no gradient reaches the input.

    Warns:
        HeatproofWarning: there is no ReLU, or there are other activations.
    """
    return gradient_maps(subject, batch_size, "guided")
