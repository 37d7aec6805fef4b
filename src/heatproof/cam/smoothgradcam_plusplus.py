"""Smooth Grad-CAM++: Grad-CAM++ with the powers of the gradient averaged over noisy copies of the input.

Formula (Omeiza et al., 2019, arXiv:1908.01224, before the ReLU), with g_m = dy/dA^k of the m-th noisy input, <.> the
mean over m, and A the activations of the input itself:

    L = sum_k w_k A^k,   w_k = sum_ij alpha_ij relu(<g>_ij),
    alpha_ij = <g^2>_ij / (2 <g^2>_ij + (sum_ab A_ab) <g^3>_ij)

The variant, where the paper, Grad-CAM++ and programs differ: the numerator of alpha is <g^2>, as in Grad-CAM++, from
which the paper's <g> is a slip (the package torchcam corrects it too). Derivatives are of the raw score, as in
gradcam_plusplus here. Without noise, the map is that of Grad-CAM++.

torchcam 0.5 differs where it should not: it takes sum_ab A_ab g^3_ab for (sum_ab A_ab) g^3_ij, the last noisy gradient
for <g>, adds an epsilon of 1e-8 that swamps small gradients, and draws from the global generator.

Every input of a batch gets the same noise, so that a batch gives what its inputs give one by one, and each draw comes
with its mirror images (2^axes in all): the map of a mirrored input is the mirrored map.

Assumes activations that are not negative, as Grad-CAM++ does. Cost: `copies` forwards and backward passes from the
score to the layer.
"""

import warnings

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.cam._noise import mirrored_noise
from heatproof.cam._parts import parts, weighted
from heatproof.cam._runs import source_of
from heatproof.capture.runs import each_batch
from heatproof.errors import HeatproofWarning, MethodError
from heatproof.types import Capture

NAME = "Smooth Grad-CAM++"
ALIASES = ("SmoothGradCAMpp", "SmoothGradCAMPlusPlus", "SmoothGradCAM++")
TIER = "experimental"
SCALES_WITH_SCORE = False  # g stands beside g^2 in the denominator: doubling the score does not double the map
BIBTEX = """
@article{omeiza2019smoothgradcampp,
  title   = {Smooth Grad-CAM++: An Enhanced Inference Level Visualization Technique for Deep Convolutional Neural
             Network Models},
  author  = {Omeiza, Daniel and Speakman, Skyler and Cintas, Celia and Weldermariam, Komminist},
  journal = {arXiv preprint arXiv:1908.01224},
  year    = {2019}
}
"""


def cam(
    capture: Capture, *, copies: int = 16, sigma: float = 0.1, seed: int = 0, batch_size: int = 16
) -> Float[Tensor, "n t *grid"]:
    """Return sum_k w_k A^k with weights from averaged powers of the gradient, in the units of y.

    Args:
        capture: of which activations, inputs and the source's recapture are used.
        copies: noisy copies of each input; rounded up to a multiple of 2^axes, the number of mirror images.
        sigma: standard deviation of the noise, as a share of the range of each input. 0 is Grad-CAM++.
        seed: of the noise.
        batch_size: most noisy inputs in one run; halved where memory runs out. The map does not depend on it.

    Raises:
        MethodError: the capture was made by hand; the network takes no single tensor; `sigma` is negative; or `copies`
            or `batch_size` is less than 1.

    Warns:
        HeatproofWarning: the activations or gradients are negative enough for a denominator to reach zero or less.
    """
    if not sigma >= 0:
        raise MethodError(f"sigma is {sigma}; it is a share of each input's range, 0 or more.")
    activations, _ = parts(capture)
    first, second, third = _powers(capture, copies, sigma, seed, batch_size)
    total = activations.flatten(2).sum(-1)[:, None, :, None]
    denominator = 2 * second + total * third
    positive = first.clamp(min=0)
    if bool(((denominator <= 0) & (positive > 0)).any()):
        warnings.warn(
            f"Smooth Grad-CAM++ assumes activations that are not negative; at layer {capture.layer!r} the weights of "
            "some positions change sign. Explain a layer after a ReLU, or use gradcam or hirescam.",
            HeatproofWarning,
            stacklevel=2,
        )
    alpha = (second / denominator).where(denominator != 0, 0)
    return weighted((alpha * positive).sum(-1), activations)


def _powers(
    capture: Capture, copies: int, sigma: float, seed: int, batch_size: int
) -> tuple[Float[Tensor, "n t k p"], Float[Tensor, "n t k p"], Float[Tensor, "n t k p"]]:
    """Return <g>, <g^2> / s and <g^3> / s over the noisy inputs, with s so that no power of a small g is lost."""
    source, given = source_of(capture, NAME), capture.inputs
    if given is None:
        raise MethodError(
            f"{NAME} adds noise to the input, but this network takes several tensors and it is not clear to which one; "
            "use gradcam_plusplus, which needs no noise."
        )
    draws = mirrored_noise(copies, given.shape[1:], seed).to(given.device)
    low, high = given.detach().flatten(1).aminmax(dim=1)
    spread = sigma * (high - low).view(-1, *(1,) * (given.ndim - 1))
    _, clean = parts(capture)
    # gradients are measured in units of the clean one's largest value, or their third powers would underflow
    unit = clean.flatten(2).abs().amax(-1)
    unit = unit.where(unit > 0, 1)[..., None, None]
    n = len(given)
    sums = clean.new_zeros(3, *clean.flatten(3).shape)
    owners = torch.arange(n, device=given.device).repeat(len(draws))
    which = torch.arange(len(draws), device=given.device).repeat_interleave(n)

    def run(rows: slice) -> None:
        of = owners[rows]
        noisy = given.detach()[of] + (spread[of] * draws[which[rows]]).to(given.dtype)
        _, found = parts(source.recapture(noisy, of))
        # one after the other: an input may stand in a batch more than once, and the order fixes the rounding
        for i, gradient in zip(of.tolist(), found.flatten(3), strict=True):
            g = gradient / unit[i]
            sums[:, i] += torch.stack([g, g.square(), g.pow(3)])

    each_batch(len(owners), batch_size, run)
    first, second, third = sums / len(draws)
    return first * unit, second, third * unit
