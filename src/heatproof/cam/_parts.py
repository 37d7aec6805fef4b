"""What the CAM methods share: the capture's tensors in a safe precision, and the weighted sum over channels."""

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.types import Capture


def parts(capture: Capture) -> tuple[Float[Tensor, "n k *grid"], Float[Tensor, "n t k *grid"]]:
    """Return A and dy/dA in at least float32: half precision overflows and cancels in the sums to come."""
    precision = torch.promote_types(capture.activations.dtype, torch.float32)
    return capture.activations.to(precision), capture.gradients.to(precision)


def weighted(weights: Float[Tensor, "n t k"], activations: Float[Tensor, "n k *grid"]) -> Float[Tensor, "n t *grid"]:
    """Return sum_k w_k A^k, the map of every target, from one weight per channel."""
    return torch.einsum("ntk,nk...->nt...", weights, activations)
