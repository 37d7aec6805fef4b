"""How concentrated is the evidence? Descriptions of a map by itself: neither says that the map is right."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.metrics._order import finite
from heatproof.metrics._record import Metric

__all__ = ["entropy", "sparseness"]


def sparseness(maps: Float[Tensor, "n t *grid"]) -> Float[Tensor, "n t"]:
    """Return the Gini index of the absolute values: 0 when all are equal, 1 - 1/m when one of m holds everything.

    Range 0 to 1, higher is sparser, chance level 0 (a constant map). NaN for a map of zeros or one that is not finite.
    Source: Chalasani et al. 2020, "Concise explanations of neural networks using adversarial training".
    """
    values, defined = _shares(maps)
    m = values.shape[-1]
    rank = torch.arange(1, m + 1, dtype=values.dtype, device=values.device)
    index = ((2 * rank - m - 1) * values.sort(-1).values).sum(-1) / m
    return torch.where(defined, index, torch.nan)


def entropy(maps: Float[Tensor, "n t *grid"]) -> Float[Tensor, "n t"]:
    """Return the entropy, in nats, of the absolute values as shares of their sum.

    Range 0 to log m for m positions, lower is simpler, chance level log m (a constant map). NaN for a map of zeros or
    one that is not finite. Source: Bhatt et al. 2020, "Evaluating and aggregating feature-based model explanations"
    ("complexity").
    """
    values, defined = _shares(maps)
    return torch.where(defined, -torch.xlogy(values, values).sum(-1), torch.nan)


def _shares(maps: Float[Tensor, "n t *grid"]) -> tuple[Float[Tensor, "n t m"], Bool[Tensor, "n t"]]:
    """Return |map| as shares of its sum, and where that is defined."""
    values = maps.flatten(2).double().abs()
    values = values / values.amax(-1, keepdim=True)  # first, so that sums of huge values do not overflow
    return values / values.sum(-1, keepdim=True), finite(values)


METRICS = (
    Metric(
        sparseness,
        "Sparseness (Gini index)",
        "Chalasani et al. 2020, Concise explanations of neural networks using adversarial training",
        low=0.0,
        high=1.0,
        better="neither",
        chance=0.0,
    ),
    Metric(
        entropy,
        "Entropy (complexity)",
        "Bhatt et al. 2020, Evaluating and aggregating feature-based model explanations",
        low=0.0,
        high=math.inf,
        better="neither",
        chance="the logarithm of the number of positions",
    ),
)
