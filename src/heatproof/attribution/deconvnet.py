"""Deconvolutional network: what is negative is cut off at every ReLU on the way back, whatever went through it before.

Formula (Zeiler and Fergus, 2014, arXiv:1311.2901, sec. 2.1; as a rule for gradients: Simonyan et al., 2013,
arXiv:1312.6034, sec. 4): at a ReLU with gradient R above, R_below = (R > 0) R; all else as usual, so that max pooling
goes back through its switches; at the input summed over the channels, signed.

ReLUs are found as modules and as functions, in place or not (also relu6 and a clamp at 0). Other activations keep their
gradient: without any ReLU the map equals the gradient, and a warning says so.

A negative control more than an explanation: it shows much the same for every class (Nie et al., 2018,
arXiv:1805.07039). Only the places compare: the values have no unit. Cost: one forward and one backward.
"""

from jaxtyping import Float
from torch import Tensor

from heatproof.attribution._maps import gradient_maps
from heatproof.types import Subject

NAME = "Deconvolutional network"
ALIASES = ("Deconvolution", "DeconvNet")
TIER = "experimental"
UNITS = "none"
BIBTEX = """
@inproceedings{zeiler2014visualizing,
  title     = {Visualizing and Understanding Convolutional Networks},
  author    = {Zeiler, Matthew D. and Fergus, Rob},
  booktitle = {European Conference on Computer Vision (ECCV)},
  pages     = {818--833},
  year      = {2014},
  doi       = {10.1007/978-3-319-10590-1_53}
}
"""


def attribute(subject: Subject, *, batch_size: int = 32) -> Float[Tensor, "n t *spatial"]:
    """Return the gradient by the rule of the deconvolutional network, summed over the channels, signed.

    Args:
        subject: of which inputs and gradients are used.
        batch_size: most inputs in one run; halved where memory runs out.

    Raises:
        ExplainError: no gradient reaches the input.

    Warns:
        HeatproofWarning: there is no ReLU, or there are other activations.
    """
    return gradient_maps(subject, batch_size, "deconvnet")
