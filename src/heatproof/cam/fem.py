"""FEM: where channels are unusually active, each weighted by its mean; the same map whatever the target.

Formula (Feature Explanation Method; Fuad et al., 2020, https://hal.science/hal-02963298): with mu_k and sigma_k the
mean and the standard deviation of A^k over the positions,

    L = sum_k mu_k [ A^k >= mu_k + K sigma_k ]

The variant, where descriptions and programs differ: this is the formula as the package xplique states it. The package
grad-cam multiplies A^k itself, unthresholded, by the share of positions above the threshold, which is another method.

K is 1 here (2 in those packages): of Z positions, none can lie more than (Z - 1) / sqrt(Z) standard deviations above
the mean, so that a large K leaves small grids blank. A channel that is the same everywhere stands out nowhere and takes
no part.

**Independent of the target:** the map shows what stands out in the layer, not what speaks for a class. It is in the
units of the activations.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.cam._masks import usable_channels
from heatproof.cam._parts import parts
from heatproof.errors import MethodError
from heatproof.types import Capture

NAME = "FEM"
ALIASES = ("feature explanation method",)
TIER = "experimental"
UNITS = "activations"
SCALES_WITH_SCORE = False  # does not see the score
BIBTEX = """
@inproceedings{fuad2020fem,
  title     = {Features Understanding in 3D CNNs for Actions Recognition in Video},
  author    = {Fuad, Kazi Ahmed Asif and Martin, Pierre-Etienne and Giot, Romain and Bourqui, Romain and
               Benois-Pineau, Jenny and Zemmari, Akka},
  booktitle = {International Conference on Image Processing Theory, Tools and Applications (IPTA)},
  pages     = {1--6},
  year      = {2020},
  url       = {https://hal.science/hal-02963298}
}
"""


def cam(capture: Capture, *, sigmas: float = 1.0) -> Float[Tensor, "n t *grid"]:
    """Return sum_k mu_k [A^k >= mu_k + K sigma_k], in the units of A, the same for every target.

    Args:
        capture: of which the activations are used.
        sigmas: K, how many standard deviations above its mean a channel counts as unusually active; 0 or more.

    Raises:
        MethodError: `sigmas` is negative.
    """
    if not sigmas >= 0:
        raise MethodError(f"sigmas is {sigmas}; it must be 0 or more.")
    activations, _ = parts(capture)
    flat = activations.flatten(2)
    mean = flat.mean(-1, keepdim=True)
    deviation = flat.std(-1, correction=0, keepdim=True)
    # where half of the positions are at one value, that value is the threshold itself: rounding must not decide
    slack = 64 * torch.finfo(flat.dtype).eps * flat.abs().amax(-1, keepdim=True)
    unusual = (flat >= mean + sigmas * deviation - slack) & usable_channels(activations).unsqueeze(-1)
    maps = (mean * unusual).sum(1).unflatten(1, activations.shape[2:]).unsqueeze(1)
    # what is not finite stays so, rather than to compare as "not unusual"
    maps = maps.where(flat.isfinite().all(-1).all(-1).view(-1, *(1,) * (maps.ndim - 1)), torch.nan)
    return maps.repeat_interleave(capture.scores.shape[1], dim=1)
