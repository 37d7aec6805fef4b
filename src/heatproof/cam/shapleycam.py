"""ShapleyCAM: Grad-CAM with the curvature of the score taken into account.

Formula (Cai, 2025, arXiv:2501.06261, before the ReLU): the Shapley values of a game whose players are the activations,
with the score expanded to second order around them. With g = dy/dA and H the matrix of second derivatives of y,

    L = sum_k w_k A^k,   w_k = mean_ij ( g - (H A) / 2 )^k_ij

H is never built: H A is one more backward pass through the gradient. The score is the target's own, a logit; for the
paper's other choice (ReST, which brings the softmax in), pass a callable as the target.

**What follows the layer must bend.** A network of ReLUs, max poolings and linear maps has no curvature wherever it has
derivatives: H is zero and the map is exactly that of Grad-CAM. Attention, GELU, SiLU and softmax bend; fused attention,
which has no second derivative in torch, is computed step by step. The players are the positions of the grid: a class
token stays as it is.

Assumes that the expansion holds as far as zero activation. Cost: one run of what follows the layer and two backward
passes per target.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.cam._parts import parts, weighted
from heatproof.cam._runs import source_of
from heatproof.capture.runs import each_batch
from heatproof.capture.softmax import Softmax
from heatproof.errors import MethodError
from heatproof.types import Capture

NAME = "ShapleyCAM"
ALIASES = ("Shapley-CAM",)
TIER = "experimental"
BIBTEX = """
@article{cai2025shapleycam,
  title   = {CAMs as Shapley Value-based Explainers},
  author  = {Cai, Huaiguang},
  journal = {arXiv preprint arXiv:2501.06261},
  year    = {2025}
}
"""


def cam(capture: Capture, *, batch_size: int = 16) -> Float[Tensor, "n t *grid"]:
    """Return sum_k mean(g - H A / 2) A^k, signed, in the units of y.

    Args:
        capture: of which activations, gradients and the source's replay_with_graph are used.
        batch_size: most inputs in one run; halved where memory runs out. The map does not depend on it.

    Raises:
        MethodError: the capture was made by hand; what follows the layer has no second derivative in torch; or
            `batch_size` is less than 1.
    """
    source = source_of(capture, NAME)
    activations, gradients = parts(capture)
    curvature = torch.zeros_like(gradients)

    def run(rows: slice) -> None:
        with torch.enable_grad():
            leaf = activations[rows].detach().clone().requires_grad_()
            with Softmax(str, recording=True):  # torch has no second derivative of fused attention
                scores = source.replay_with_graph(leaf, torch.arange(rows.start, rows.stop, device=leaf.device))
            for j, score in enumerate(scores.unbind(1)):
                curvature[rows, j] = _times_curvature(score.sum(), leaf, capture.layer)

    each_batch(len(activations), batch_size, run)
    return weighted((gradients - curvature / 2).flatten(3).mean(-1), activations)


def _times_curvature(
    score: Float[Tensor, ""], leaf: Float[Tensor, "m k *grid"], layer: str
) -> Float[Tensor, "m k *grid"]:
    """Return H A at the leaf A, H the second derivatives of the score."""
    if not score.requires_grad:
        return torch.zeros_like(leaf)  # the score does not depend on the layer
    try:
        (slope,) = torch.autograd.grad(score, leaf, create_graph=True, materialize_grads=True)
        if not slope.requires_grad:
            return torch.zeros_like(leaf)  # linear
        along = (slope * leaf.detach()).sum()
        return torch.autograd.grad(along, leaf, retain_graph=True, materialize_grads=True)[0].detach()
    except RuntimeError as error:  # NotImplementedError is one, too
        if "not implemented" not in str(error):
            raise
        raise MethodError(
            f"{NAME} needs second derivatives, and torch has none for an operation behind layer {layer!r} ({error}). "
            "Choose a later layer, or use gradcam."
        ) from error
