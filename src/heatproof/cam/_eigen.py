"""The first principal component that the eigen methods share."""

import torch
from jaxtyping import Float
from torch import Tensor


def first_component(points: Float[Tensor, "b p k"]) -> Float[Tensor, "b p"]:
    """Return where p points of k coordinates lie along their first right singular vector, up to a sign for each b.

    Points that are not all finite have no such vector: NaN.
    """
    finite = points.isfinite().all(-1).all(-1, keepdim=True)
    usable = points.where(finite.unsqueeze(-1), 0)
    # squares lose half the digits, so they are taken in double precision, which one kind of device lacks
    usable = usable.to(points.dtype if points.device.type == "mps" else torch.float64)
    largest = usable.abs().amax((1, 2), keepdim=True)
    usable = usable / largest.where(largest > 0, 1)  # or tiny activations would vanish when squared
    if points.shape[2] <= points.shape[1]:
        _, vectors = torch.linalg.eigh(usable.mT @ usable)
        component = (usable @ vectors[..., -1:]).squeeze(-1)
    else:
        squares, vectors = torch.linalg.eigh(usable @ usable.mT)
        component = squares[..., -1:].clamp(min=0).sqrt() * vectors[..., -1]
    return (component * largest.squeeze(-1)).to(points.dtype).where(finite, torch.nan)


def aligned(component: Float[Tensor, "b p"], guide: Float[Tensor, "b p"]) -> Float[Tensor, "b p"]:
    """Return each component with the sign that makes it correlate positively with its guide."""
    against = (component * guide).sum(-1, keepdim=True) < 0
    return torch.where(against, -component, component)
