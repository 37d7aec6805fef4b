"""SmoothGrad: the gradient averaged over noisy copies of the input.

Formula (Smilkov et al., 2017, arXiv:1706.03825, sec. 3): (1/N) sum_s dy/dx at x + e_s, with e_s normal and of standard
deviation `sigma` times the range of the input, max x - min x (fig. 3 tries 0 to 0.5); summed over the channels, signed.

The draws depend on the seed alone: all inputs are given the same noise, each in its own range, so that a batch equals
its singles. In units of the score per unit of the input. Cost: N forwards and backwards.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from heatproof.attribution._maps import at_least_one, averaged, precision, seeds
from heatproof.errors import MethodError
from heatproof.types import Subject

NAME = "SmoothGrad"
ALIASES = ("smooth gradient", "NoiseTunnel")
TIER = "experimental"
UNITS = "score per input"
BIBTEX = """
@article{smilkov2017smoothgrad,
  title   = {SmoothGrad: Removing Noise by Adding Noise},
  author  = {Smilkov, Daniel and Thorat, Nikhil and Kim, Been and Vi{\\'e}gas, Fernanda and Wattenberg, Martin},
  journal = {arXiv preprint arXiv:1706.03825},
  year    = {2017}
}
"""


def attribute(
    subject: Subject, *, copies: int = 25, sigma: float = 0.15, seed: int = 0, batch_size: int = 16
) -> Float[Tensor, "n t *spatial"]:
    """Return the mean over the noisy copies of dy/dx summed over the channels, signed.

    Args:
        subject: of which inputs and gradients are used.
        copies: N, noisy copies of each input.
        sigma: standard deviation of the noise, as a share of the range of each input.
        seed: of the noise.
        batch_size: most copies in one run; halved where memory runs out.

    Raises:
        MethodError: `copies` is less than 1, or `sigma` is negative.
        ExplainError: no gradient reaches the input.
    """
    if not sigma >= 0:
        raise MethodError(f"sigma is {sigma}; it is a standard deviation, 0 or more.")
    drawn = seeds(seed, at_least_one(copies, "copies"))
    inputs = subject.inputs.to(precision(subject))
    low, high = inputs.flatten(1).aminmax(dim=1)
    scale = (sigma * (high - low)).view(-1, *(1,) * (inputs.ndim - 1))

    def draw(which: int) -> Float[Tensor, "c *spatial"]:
        source = torch.Generator().manual_seed(drawn[which])  # on the CPU: the same noise on every device
        return torch.randn(inputs.shape[1:], generator=source, dtype=torch.float32)

    def run(rows: Int[Tensor, " b"], which: Int[Tensor, " b"]) -> Float[Tensor, "b t *spatial"]:
        draws = torch.stack([draw(s) for s in which.tolist()]).to(inputs)
        return subject.gradients(inputs[rows] + scale[rows] * draws, rows).sum(2)

    return averaged(subject, copies, batch_size, run)
