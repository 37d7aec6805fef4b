"""Score-CAM: each channel weighted by the score of the input seen through that channel's activation map; no gradients.

Formula (Wang et al., 2020, arXiv:1910.01279, before the ReLU), with U upsampling to the input's size and s scaling to
0..1:

    L = sum_k w_k A^k,   w = softmax over k of ( y(X * s(U(A^k))) - y(baseline) )

The variant, where descriptions and programs differ: y is the target's own score (a logit, not a probability); U is
linear and comes before s, as in the paper; the softmax is over the channels. It cancels the baseline's score, which is
therefore never computed: adding a constant to every logit changes nothing. A channel that is the same everywhere has no
s and takes no part. A masked place becomes 0 in what the network is given: the mean color, after the usual
normalization.

**All weights are positive and sum to 1:** after a ReLU the map shows no evidence against the target. It is in the units
of the activations, not of y, and the softmax makes it nonlinear in y: with scores far apart, one channel is the whole
map.

Assumes that the input times a mask is something the network can judge. Cost: one forward per channel that varies.
"""

from jaxtyping import Float
from torch import Tensor

from heatproof.cam._masks import score_weighted
from heatproof.types import Capture

NAME = "Score-CAM"
ALIASES = ("ScoreCAM", "score-weighted class activation mapping")
TIER = "core"
UNITS = "activations"
SCALES_WITH_SCORE = False  # the softmax
BIBTEX = """
@inproceedings{wang2020scorecam,
  title     = {Score-CAM: Score-Weighted Visual Explanations for Convolutional Neural Networks},
  author    = {Wang, Haofan and Wang, Zifan and Du, Mengnan and Yang, Fan and Zhang, Zijian and Ding, Sirui and
               Mardziel, Piotr and Hu, Xia},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition Workshops (CVPRW)},
  pages     = {111--119},
  year      = {2020},
  doi       = {10.1109/CVPRW50498.2020.00020}
}
"""


def cam(capture: Capture, *, batch_size: int | None = None) -> Float[Tensor, "n t *grid"]:
    """Return sum_k w_k A^k with weights that sum to 1 over the channels, in the units of A.

    Args:
        capture: of which activations, inputs and rescore are used.
        batch_size: most masked inputs in one run; halved where memory runs out. The map does not depend on it. None is
            8 on a CPU, where that is fastest, and 64 elsewhere.

    Raises:
        MethodError: the network takes no single tensor, or one whose spatial axes are not the layer's; or `batch_size`
            is less than 1.
    """
    return score_weighted(capture, batch_size, NAME)
