"""Ablation-CAM: each channel weighted by how much the score drops without it; no gradients.

Formula (Desai and Ramaswamy, 2020, doi:10.1109/WACV45572.2020.9093360, before the ReLU): L = sum_k w_k A^k. With y_k,
the score when A^k is set to zero at every position:

    w_k = (y - y_k) / max |A|

The paper starts from the slope (y - y_k) / ||A^k|| and settles on (y - y_k) / y. The division by y is left out here: it
turns every sign around where y is negative, is undefined where y is zero, and makes the map depend on a constant added
to every logit. In its place all channels of an input share one positive factor, 1 / max |A| over its layer, so that the
map is in the units of y whatever the unit of the activations. Where y > 0, it is proportional to the paper's.

Assumes that zero means "absent", which holds after a ReLU, and that channels matter one by one: of two that carry the
same evidence, neither seems to matter. Cost: one run of what follows the layer per channel that is not zero throughout.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from heatproof.cam._parts import parts, weighted
from heatproof.capture.runs import in_batches
from heatproof.errors import MethodError
from heatproof.types import Capture

NAME = "Ablation-CAM"
ALIASES = ("AblationCAM",)
TIER = "core"
BIBTEX = """
@inproceedings{desai2020ablationcam,
  title     = {Ablation-CAM: Visual Explanations for Deep Convolutional Network via Gradient-free Localization},
  author    = {Desai, Saurabh and Ramaswamy, Harish G.},
  booktitle = {IEEE Winter Conference on Applications of Computer Vision (WACV)},
  pages     = {972--980},
  year      = {2020},
  doi       = {10.1109/WACV45572.2020.9093360}
}
"""


def cam(capture: Capture, *, ratio: float = 1.0, batch_size: int = 64) -> Float[Tensor, "n t *grid"]:
    """Return sum_k (y - y_k) A^k / max |A|, signed, in the units of y.

    Args:
        capture: of which activations, scores and replay are used; gradients only if `ratio` is below 1.
        ratio: share of the channels to ablate, per input and target: the round(ratio k) with the largest first-order
            effect |sum_ij dy/dA^k A^k|. The others get no weight.
        batch_size: most ablations in one run; halved where memory runs out. The map does not depend on it.

    Raises:
        MethodError: `ratio` is not in (0, 1], or `batch_size` is less than 1.
    """
    if not 0 < ratio <= 1:
        raise MethodError(f"ratio is {ratio}; it is the share of channels to ablate, above 0 and at most 1.")
    activations, gradients = parts(capture)
    chosen = _chosen(activations, gradients, ratio)
    present = activations.flatten(2).any(-1)  # a channel of zeros is ablated already: y_k = y
    inputs, channels = (chosen.any(1) & present).nonzero(as_tuple=True)

    def ablate(rows: slice) -> Float[Tensor, "b t"]:
        # one input at a time: a replay whose rows are all the same input copies nothing of it
        owners, counts = inputs[rows].unique_consecutive(return_counts=True)
        parts = channels[rows].split(counts.tolist())
        return torch.cat([_without(capture, int(i), part) for i, part in zip(owners, parts, strict=True)])

    without = in_batches(capture, len(inputs), batch_size, ablate)
    drops = torch.zeros(chosen.shape, dtype=without.dtype, device=without.device)
    drops[inputs, :, channels] = capture.scores.detach()[inputs] - without
    largest = activations.flatten(1).abs().amax(1)[:, None, None]
    weights = drops.where(chosen, 0).to(activations.dtype) / largest.where(largest > 0, 1)
    return weighted(weights, activations)


def _without(capture: Capture, i: int, channels: Int[Tensor, " m"]) -> Float[Tensor, "m t"]:
    """Return the scores of input i with each of the channels set to zero on its own."""
    activations = capture.activations.detach()[i]
    changed = activations.repeat(len(channels), *(1,) * activations.ndim)
    changed[torch.arange(len(channels), device=changed.device), channels] = 0
    return capture.replay(changed, torch.full_like(channels, i))


def _chosen(
    activations: Float[Tensor, "n k *grid"], gradients: Float[Tensor, "n t k *grid"], ratio: float
) -> Bool[Tensor, "n t k"]:
    """Return which channels are ablated for which target."""
    everything = torch.ones(gradients.shape[:3], dtype=torch.bool, device=activations.device)
    count = max(1, round(ratio * activations.shape[1]))
    if count == activations.shape[1]:
        return everything
    effect = (gradients * activations.unsqueeze(1)).flatten(3).sum(-1).abs()
    return torch.zeros_like(everything).scatter(2, effect.topk(count, dim=2).indices, everything)
