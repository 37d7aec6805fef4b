"""Input x gradient: the input times its gradient, the first-order share of every place in the score.

Formula (Shrikumar et al., 2016, arXiv:1605.01713, sec. 3): sum_c x_c dy/dx_c.

Assumes that 0 in what the model is given stands for "nothing there" (the mean color, after the usual normalization).
For a network of ReLUs without biases the map sums to the score; what biases add is missing: compare fullgrad. In the
units of the score. Cost: one forward and one backward.
"""

from jaxtyping import Float, Int
from torch import Tensor

from heatproof.attribution._maps import per_input, precision
from heatproof.types import Subject

NAME = "Input x gradient"
ALIASES = ("InputXGradient", "gradient x input", "GradientTimesInput")
TIER = "experimental"
UNITS = "score"
BIBTEX = """
@article{shrikumar2016not,
  title   = {Not Just a Black Box: Learning Important Features Through Propagating Activation Differences},
  author  = {Shrikumar, Avanti and Greenside, Peyton and Shcherbina, Anna and Kundaje, Anshul},
  journal = {arXiv preprint arXiv:1605.01713},
  year    = {2016}
}
"""


def attribute(subject: Subject, *, batch_size: int = 32) -> Float[Tensor, "n t *spatial"]:
    """Return sum_c x_c dy/dx_c, signed, in the units of y.

    Args:
        subject: of which inputs and gradients are used.
        batch_size: most inputs in one run; halved where memory runs out.

    Raises:
        ExplainError: no gradient reaches the input.
    """

    def run(rows: Int[Tensor, " b"]) -> Float[Tensor, "b t *spatial"]:
        inputs = subject.inputs[rows]
        return (subject.gradients(inputs, rows) * inputs.to(precision(subject)).unsqueeze(1)).sum(2)

    return per_input(subject, batch_size, run)
