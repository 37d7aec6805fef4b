"""FullGrad: the share of the input and of every bias of the network in the score, laid over the input.

Formula (Srinivas and Fleuret, 2019, arXiv:1905.00780, eqs. 2 and 3): y = sum x dy/dx + sum_l sum b_l dy/db_l, exactly,
for a network of ReLUs; a bias is also what a normalization with fixed statistics adds. Both terms are summed over the
channels; those of a layer are spread from its grid over the input.

The paper takes the absolute value of each term and rescales it to 0..1 before the sum (eq. 8), for display. Here the
terms keep their sign and size, and the spreading keeps their sum, so that the map sums to the score less the biases
without a place (of the classifier). `absolute=True` is the paper's, without the rescaling.

Assumes a network of ReLUs, max pooling and affine layers. For others the decomposition is not exact; a warning says so
where it misses the score by more than a twentieth. In the units of the score. Cost: two forwards and backwards.
"""

import warnings
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from heatproof.attribution._maps import per_input, precision
from heatproof.errors import HeatproofWarning
from heatproof.types import Subject
from heatproof.types.explanation import LINEAR

NAME = "FullGrad"
ALIASES = ("full-gradient", "full gradient representation")
TIER = "experimental"
UNITS = "score"
BIBTEX = """
@inproceedings{srinivas2019fullgrad,
  title     = {Full-Gradient Representation for Neural Network Visualization},
  author    = {Srinivas, Suraj and Fleuret, Fran{\\c{c}}ois},
  booktitle = {Advances in Neural Information Processing Systems (NeurIPS)},
  volume    = {32},
  year      = {2019}
}
"""

_OFF = 0.05  # share of the score that the decomposition may miss without a warning


def attribute(subject: Subject, *, absolute: bool = False, batch_size: int = 8) -> Float[Tensor, "n t *spatial"]:
    """Return the input's and the biases' shares in the score, signed, in the units of y.

    Args:
        subject: of which inputs, scores, gradients and bias_gradients are used.
        absolute: take the absolute value of the share of every place, channel and layer before the sum, as the paper
            does: how much a place matters, for or against.
        batch_size: most inputs in one run; halved where memory runs out.

    Raises:
        ExplainError: no gradient reaches the input.

    Warns:
        HeatproofWarning: the shares do not sum to the score.
    """
    missed = torch.zeros_like(subject.scores, dtype=precision(subject))

    def run(rows: Int[Tensor, " b"]) -> Float[Tensor, "b t *spatial"]:
        inputs = subject.inputs[rows]
        size = inputs.shape[2:]
        terms = [subject.gradients(inputs, rows) * inputs.to(missed.dtype).unsqueeze(1)]
        terms += subject.bias_gradients(rows)
        missed[rows] = subject.scores[rows] - sum(term.flatten(2).sum(-1) for term in terms)
        placed = [(term.abs() if absolute else term).sum(2) for term in terms if term.ndim == inputs.ndim + 1]
        return torch.stack([spread(term, size) for term in placed]).sum(0)

    maps = per_input(subject, batch_size, run)
    _warn_if_incomplete(subject, missed)
    return maps


def spread(terms: Float[Tensor, "b t *grid"], size: Sequence[int]) -> Float[Tensor, "b t *spatial"]:
    """Return the terms of a grid resampled to another size, linearly; each keeps its sum."""
    grid = terms.shape[2:]
    if tuple(grid) == tuple(size):
        return terms

    def resample(values: Tensor) -> Tensor:
        if any(side > new for side, new in zip(grid, size, strict=True)):
            return F.interpolate(values, size=tuple(size), mode="area")
        return F.interpolate(values, size=tuple(size), mode=LINEAR[len(grid)], align_corners=False)

    with torch.enable_grad():
        ones = torch.ones(1, 1, *grid, dtype=terms.dtype, device=terms.device, requires_grad=True)
        weights = torch.autograd.grad(resample(ones).sum(), ones)[0]  # what one unit at each position would become
    return resample(terms / weights)


def _warn_if_incomplete(subject: Subject, missed: Float[Tensor, "n t"]) -> None:
    scores = subject.scores.abs().to(missed.dtype)
    rounding = torch.finfo(subject.inputs.dtype).eps ** 0.5
    if bool((missed.abs() > torch.maximum(_OFF * scores, torch.full_like(scores, rounding))).any()):
        worst = float((missed.abs() - _OFF * scores).argmax())
        y, off = float(subject.scores.flatten()[int(worst)]), float(missed.flatten()[int(worst)])
        warnings.warn(
            f"FullGrad is exact for networks of ReLUs; here the shares of a score of {y:.3g} sum to {y - off:.3g}: "
            "other activations, normalizations by the input itself, or constants added elsewhere take part.",
            HeatproofWarning,
            stacklevel=3,
        )
