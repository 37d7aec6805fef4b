"""Attention rollout: how the attention of all layers mixes tokens; the same map whatever the target; transformers only.

Formula (Abnar and Zuidema, 2020, arXiv:2005.00928, section 3): over the layers from first to last,
R <- (0.5 I + 0.5 E_h[A]) R, with A the attention weights of the heads h and I for the residual connection; the map is
the row of R of the token that the head reads. It is `attention` with `variant="rollout"`; assumptions there.

**Independent of the target:** it shows what the read token could see, not what speaks for a class. Nothing that the
head learned can change it.
"""

from jaxtyping import Float
from torch import Tensor

from heatproof.cam import attention
from heatproof.types import Capture

NAME = "Attention rollout"
ALIASES = ("rollout",)
TIER = "core"
NEEDS = "attention"
SIGNED = False  # shares of 1
UNITS = "none"
SCALES_WITH_SCORE = False  # does not see the score
BIBTEX = """
@inproceedings{abnar2020quantifying,
  title     = {Quantifying Attention Flow in Transformers},
  author    = {Abnar, Samira and Zuidema, Willem},
  booktitle = {Annual Meeting of the Association for Computational Linguistics (ACL)},
  pages     = {4190--4197},
  year      = {2020},
  doi       = {10.18653/v1/2020.acl-main.385}
}
"""


def cam(capture: Capture) -> Float[Tensor, "n t *grid"]:
    """Return how much of every grid position reaches the token that the head reads, a share of 1; no unit.

    Raises:
        MethodError: the network has no attention, attends within windows, or changes its tokens between layers in a
            way that cannot be followed back; the capture has no source.
        ExplainError: the score does not depend on any attention, or the network blocks its gradient.
    """
    return attention.cam(capture, variant="rollout")
