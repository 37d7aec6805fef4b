"""LeGrad: how sensitive the score is to attention to each token, in every layer; transformers only.

Formula (after Bousselham et al., 2024, arXiv:2404.03214): M = E_l E_h E_q[(dy/dA^l)^+], the mean over layers l, heads h
and queries q of the positive gradient with respect to the attention weights; the columns of the grid's tokens are the
map. The weights themselves do not enter: a token that is hardly attended to counts if more attention to it would help.

Simplified: the paper gives every layer a score of its own, by putting the model's head on that layer's tokens, which
needs to know what the head is. Here every layer is differentiated for the model's own score y, which is the paper's
score at the last layer. The paper's min-max scaling is left out.

The map is not negative, in the units of y (attention weights have none). Assumes that tokens keep their places from
layer to layer. Cost: one more forward and one full backward per target.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.cam._attention import attention_of, on_grid
from heatproof.types import Capture

NAME = "LeGrad"
ALIASES = ()
TIER = "experimental"
NEEDS = "attention"
SIGNED = False  # not negative, and blank where nothing speaks for the target
BIBTEX = """
@misc{bousselham2024legrad,
  title  = {LeGrad: An Explainability Method for Vision Transformers via Feature Formation Sensitivity},
  author = {Bousselham, Walid and Boggust, Angie and Chaybouti, Sofian and Strobelt, Hendrik and Kuehne, Hilde},
  year   = {2024},
  eprint = {2404.03214},
  archivePrefix = {arXiv}
}
"""


def cam(capture: Capture) -> Float[Tensor, "n t *grid"]:
    """Return the mean positive gradient of the attention to every grid position, in the units of y.

    Raises:
        MethodError: the network has no attention, attends within windows, or among other tokens than the grid's; the
            capture has no source.
        ExplainError: the score does not depend on any attention, or the network blocks its gradient.
    """
    layers = attention_of(capture, NAME)
    prefix = capture.source.prefix() if capture.source is not None else 0
    maps = [on_grid(layer.gradients.clamp(min=0).mean((2, 3)), capture, prefix) for layer in layers]
    return torch.stack(maps).mean(0)
