"""IS-CAM: Score-CAM with the score of each channel averaged on the way from a blank input to the masked one.

Formula (Naidu et al., 2020, arXiv:2010.03023, before the ReLU), with U, s and the softmax of Score-CAM:

    L = sum_k w_k A^k,   w = softmax over k of the mean over i = 1..N of ( y(X * (i/N) s(U(A^k))) - y(baseline) )

The mean is the Riemann sum of the integral that the method is named for. The package torchcam adds the steps up as it
goes, multiplying the input by 1/N, 3/N, 6/N, ... (N+1)/2: with N = 10, most of its masked inputs are brighter than the
input itself, up to 5.5 times, where no network was trained. Here no step exceeds the input. With N = 1 both are
Score-CAM.

As in Score-CAM, **all weights are positive and sum to 1**, the map is in the units of the activations, and a constant
added to every logit changes nothing. Cost: `steps` forwards per channel that varies.
"""

from jaxtyping import Float, Int
from torch import Tensor

from heatproof.cam._masks import normalized, over, score_weighted
from heatproof.errors import MethodError
from heatproof.types import Capture

NAME = "IS-CAM"
ALIASES = ("ISCAM", "ISSCAM", "integrated Score-CAM")
TIER = "experimental"
UNITS = "activations"
SCALES_WITH_SCORE = False  # the softmax
BIBTEX = """
@article{naidu2020iscam,
  title   = {IS-CAM: Integrated Score-CAM for axiomatic-based explanations},
  author  = {Naidu, Rakshit and Ghosh, Ankita and Maurya, Yash and Nayak K, Shamanth R and Kundu, Soumya Snigdha},
  journal = {arXiv preprint arXiv:2010.03023},
  year    = {2020}
}
"""


def cam(capture: Capture, *, steps: int = 10, batch_size: int | None = None) -> Float[Tensor, "n t *grid"]:
    """Return sum_k w_k A^k with weights that sum to 1 over the channels, in the units of A.

    Args:
        capture: of which activations, inputs and rescore are used.
        steps: N, the points on the way from a blank input to the masked one. 1 is Score-CAM.
        batch_size: most masked inputs in one run; halved where memory runs out. The map does not depend on it. None is
            8 on a CPU and 64 elsewhere.

    Raises:
        MethodError: the network takes no single tensor, or one whose spatial axes are not the layer's; or `steps` or
            `batch_size` is less than 1.
    """
    if steps < 1:
        raise MethodError(f"steps is {steps}; it must be at least 1.")

    def mask(maps: Float[Tensor, "b 1 *spatial"], which: Int[Tensor, " b"]) -> Float[Tensor, "b 1 *spatial"]:
        return normalized(maps).mul_(over((which + 1).to(maps.dtype) / steps, maps))

    return score_weighted(capture, batch_size, NAME, steps, mask)
