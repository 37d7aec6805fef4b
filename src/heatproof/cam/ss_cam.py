"""SS-CAM: Score-CAM with the score of each channel averaged over noisy copies of its map.

Formula (Wang et al., 2020, arXiv:2006.14255, before the ReLU), with U, s and the softmax of Score-CAM:

    L = sum_k w_k A^k,   w = softmax over k of the mean over m of ( y(X * s(U(A^k) + sigma r_k e_m)) - y(baseline) )

It is the first of the paper's two variants: noise on the maps, not on the input. Where it differs, and why:

- The paper's sigma (2) is in the unit of the activations, which differs from layer to layer. Here it is a share of r_k,
  the range of the channel's upsampled map.
- Every channel and every input gets the same noise e_m, so that weights differ by what the channels show and not by
  what was drawn for them, and a batch gives what its inputs give one by one.
- Each draw comes with its mirror images (2^axes in all): the map of a mirrored input is the mirrored map.

The package torchcam draws anew for every channel, so that its map changes with the order of the channels, and from the
global generator, so that it changes from call to call.

As in Score-CAM, **all weights are positive and sum to 1**, the map is in the units of the activations, and a constant
added to every logit changes nothing. Cost: `copies` forwards per channel that varies.
"""

from jaxtyping import Float, Int
from torch import Tensor

from heatproof.cam._masks import normalized, over, score_weighted
from heatproof.cam._noise import mirrored_noise
from heatproof.errors import MethodError
from heatproof.types import Capture

NAME = "SS-CAM"
ALIASES = ("SSCAM", "smoothed Score-CAM")
TIER = "experimental"
UNITS = "activations"
SCALES_WITH_SCORE = False  # the softmax
BIBTEX = """
@article{wang2020sscam,
  title   = {SS-CAM: Smoothed Score-CAM for Sharper Visual Feature Localization},
  author  = {Wang, Haofan and Naidu, Rakshit and Michael, Joy and Kundu, Soumya Snigdha},
  journal = {arXiv preprint arXiv:2006.14255},
  year    = {2020}
}
"""


def cam(
    capture: Capture, *, copies: int = 8, sigma: float = 0.2, seed: int = 0, batch_size: int | None = None
) -> Float[Tensor, "n t *grid"]:
    """Return sum_k w_k A^k with weights that sum to 1 over the channels, in the units of A.

    Args:
        capture: of which activations, inputs and rescore are used.
        copies: noisy copies of each map; rounded up to a multiple of 2^axes, the number of mirror images.
        sigma: standard deviation of the noise, as a share of the range of each map. 0 is Score-CAM.
        seed: of the noise.
        batch_size: most masked inputs in one run; halved where memory runs out. The map does not depend on it. None is
            8 on a CPU and 64 elsewhere.

    Raises:
        MethodError: the network takes no single tensor, or one whose spatial axes are not the layer's; `sigma` is
            negative; or `copies` or `batch_size` is less than 1.
    """
    if not sigma >= 0:
        raise MethodError(f"sigma is {sigma}; it is a share of each map's range, 0 or more.")
    spatial = () if capture.inputs is None else capture.inputs.shape[2:]
    draws = mirrored_noise(copies, (1, *spatial), seed).to(capture.activations.device)

    def mask(maps: Float[Tensor, "b 1 *spatial"], which: Int[Tensor, " b"]) -> Float[Tensor, "b 1 *spatial"]:
        low, high = maps.flatten(1).aminmax(dim=1)
        return normalized(maps.add_(draws[which].to(maps.dtype) * over(sigma * (high - low), maps)))

    return score_weighted(capture, batch_size, NAME, len(draws), mask)
