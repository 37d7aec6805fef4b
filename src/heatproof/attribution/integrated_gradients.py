"""Integrated gradients: the gradient averaged on the straight way from a baseline, times the way.

Formula (Sundararajan et al., 2017, arXiv:1703.01365, eq. 1), with the baseline x' and the integral as a sum at the
middles of equal steps:

    sum_c (x_c - x'_c) int_0^1 dy/dx_c at x' + a (x - x') da

The map sums to y(x) - y(x') (proposition 1, completeness); how far the sum is off says whether the steps were enough,
and a warning does where it is off by more than a twentieth.

Assumes that the baseline stands for "nothing there". The default, 0 in what the model is given, is the mean color after
the usual normalization. A place that equals the baseline gets no evidence, whatever the model makes of it. In the units
of the score. Cost: one forward and backward a step, and one forward for the baseline.
"""

import warnings

import torch
from jaxtyping import Float, Int
from torch import Tensor

from heatproof.attribution._maps import Baseline, at_least_one, averaged, baseline_of, precision
from heatproof.errors import HeatproofWarning
from heatproof.types import Subject

NAME = "Integrated gradients"
ALIASES = ("IG", "IntegratedGradients", "path integrated gradients")
TIER = "experimental"
UNITS = "score"
BIBTEX = """
@inproceedings{sundararajan2017axiomatic,
  title     = {Axiomatic Attribution for Deep Networks},
  author    = {Sundararajan, Mukund and Taly, Ankur and Yan, Qiqi},
  booktitle = {International Conference on Machine Learning (ICML)},
  pages     = {3319--3328},
  year      = {2017}
}
"""

_OFF = 0.05  # share of y(x) - y(x') that the sum of the map may be off by without a warning


def attribute(
    subject: Subject, *, baseline: Baseline = 0.0, steps: int = 50, batch_size: int = 16
) -> Float[Tensor, "n t *spatial"]:
    """Return the gradient averaged from the baseline to the input, times their difference, summed over the channels.

    Args:
        subject: of which inputs, scores, gradients and rescore are used.
        baseline: x', a number, or a tensor that spreads over (c, *spatial).
        steps: of the integral.
        batch_size: most steps in one run; halved where memory runs out.

    Raises:
        MethodError: `steps` is less than 1, or the baseline does not spread over an input.
        ExplainError: no gradient reaches the input.

    Warns:
        HeatproofWarning: the map does not sum to y(x) - y(x').
    """
    at_least_one(steps, "steps")
    start = baseline_of(subject, baseline)
    way = subject.inputs.to(precision(subject)) - start

    def run(rows: Int[Tensor, " b"], which: Int[Tensor, " b"]) -> Float[Tensor, "b t *spatial"]:
        part = ((which + 0.5) / steps).to(way.dtype).view(-1, *(1,) * (way.ndim - 1))
        gradients = subject.gradients(start + part * way[rows], rows)
        return (gradients * way[rows].unsqueeze(1)).sum(2)

    maps = averaged(subject, steps, batch_size, run)
    _warn_if_incomplete(subject, start, maps, steps)
    return maps


def _warn_if_incomplete(
    subject: Subject, start: Float[Tensor, "c *spatial"], maps: Float[Tensor, "n t *spatial"], steps: int
) -> None:
    rows = torch.arange(len(maps), device=maps.device)
    base = torch.cat([subject.rescore(start.unsqueeze(0), row) for row in rows.split(1)])
    difference = (subject.scores - base).to(maps.dtype)
    off = (maps.flatten(2).sum(-1) - difference).abs()
    # two scores that are the same but for rounding have no difference that a map could sum to
    rounding = 16 * torch.finfo(subject.inputs.dtype).eps * (subject.scores.abs() + base.abs()).to(maps.dtype)
    share = off / difference.abs().where(difference.abs() > rounding, rounding.clamp(min=torch.finfo(maps.dtype).tiny))
    if bool(((share > _OFF) & (off > rounding)).any()):
        worst = float(share.max())
        warnings.warn(
            f"With {steps} steps, integrated gradients sum to y(x) - y(baseline) only within {worst:.0%}; take more "
            "steps.",
            HeatproofWarning,
            stacklevel=3,
        )
