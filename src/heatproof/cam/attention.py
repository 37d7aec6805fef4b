"""Gradient-weighted attention: which tokens reach the score through the attention of all layers; transformers only.

Formula (Chefer, Gur and Wolf, 2021, arXiv:2103.15679, eqs. 5 and 6), over the layers from first to last, with A the
attention weights of a layer's heads h:

    A_bar = E_h[(dy/dA * A)^+],   R <- R + A_bar R,   starting from R = I

The map is the row of R of the token that the head reads (the class token; the mean of the rows of all that it reads,
where it pools), less the identity that R starts from, which says only that a token is itself. Which rows it reads is
found from the gradient at the last layer. A query that is no token of the sequence (attention pooling) has no identity:
its row is A_bar R.

`variant="rollout"` (Abnar and Zuidema, 2020, arXiv:2005.00928, section 3) looks at the weights alone: A_bar = E_h[A],
R <- (0.5 I + 0.5 A_bar) R. **Independent of the target:** it shows how tokens mix, not what speaks for a class; of the
gradient it uses only which rows are read.

Assumes that tokens keep their places from layer to layer and that what happens between the attention layers mixes none.
The map is not negative: evidence against the target is cut off in every layer. It has no unit: products of as many
gradients as there are layers are added up, so that twice the score gives more than twice the map. Windowed attention
(Swin) is refused: it cannot be followed across windows. Cost: one more forward and one full backward per target.
"""

from jaxtyping import Float
from torch import Tensor

from heatproof.cam._attention import attention_of, on_grid, read_rows, walk_back
from heatproof.errors import MethodError
from heatproof.types import Attention, Capture

NAME = "Gradient-weighted attention"
ALIASES = ("GradientAttentionRollout", "Generic attention explainability", "Transformer attribution", "Chefer")
TIER = "core"
NEEDS = "attention"
SIGNED = False  # not negative, and blank where nothing speaks for the target
UNITS = "none"
SCALES_WITH_SCORE = False  # the layers' gradients are multiplied with one another
BIBTEX = """
@inproceedings{chefer2021generic,
  title     = {Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder Transformers},
  author    = {Chefer, Hila and Gur, Shir and Wolf, Lior},
  booktitle = {IEEE/CVF International Conference on Computer Vision (ICCV)},
  pages     = {397--406},
  year      = {2021},
  doi       = {10.1109/ICCV48922.2021.00045}
}
@inproceedings{abnar2020quantifying,
  title     = {Quantifying Attention Flow in Transformers},
  author    = {Abnar, Samira and Zuidema, Willem},
  booktitle = {Annual Meeting of the Association for Computational Linguistics (ACL)},
  pages     = {4190--4197},
  year      = {2020},
  doi       = {10.18653/v1/2020.acl-main.385}
}
"""


def cam(capture: Capture, *, variant: str = "gradient") -> Float[Tensor, "n t *grid"]:
    """Return the relevance of every grid position for the token that the head reads; not negative, without a unit.

    Args:
        capture: of which the source is used, for the attention of all layers, and the grid.
        variant: "gradient" weighs every head by the gradient of the score, "rollout" uses the weights alone.

    Raises:
        MethodError: the network has no attention, attends within windows, or changes its tokens between layers in a
            way that cannot be followed back; the capture has no source; there is no such variant.
        ExplainError: the score does not depend on any attention, or the network blocks its gradient.
    """
    if variant not in ("gradient", "rollout"):
        raise MethodError(f"variant is {variant!r}; choose 'gradient' or 'rollout'.")
    layers = attention_of(capture, "Attention rollout" if variant == "rollout" else NAME)
    prefix = capture.source.prefix() if capture.source is not None else 0
    read = read_rows(layers[-1], prefix)
    if variant == "gradient":
        matrices = [(layer.layer, _weighted(layer)) for layer in layers]
        return on_grid(walk_back(matrices, read, residual=1.0, attended=1.0)[1], capture, prefix)
    means = [(layer.layer, layer.weights.mean(1, keepdim=True)) for layer in layers]
    own, gained = walk_back(means, read, residual=0.5, attended=0.5)
    return on_grid(own + gained, capture, prefix)


def _weighted(layer: Attention) -> Float[Tensor, "n t q s"]:
    """Return E_h[(dy/dA * A)^+]."""
    return (layer.gradients * layer.weights.unsqueeze(1)).clamp(min=0).mean(2)
