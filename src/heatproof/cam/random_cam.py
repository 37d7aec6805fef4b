"""Random CAM: a control. Each channel weighted by chance, so that nothing learned after the layer can show.

Formula (the control of the package grad-cam): L = sum_k w_k A^k with w_k uniform in -1..1.

A check or a metric that rates this map as well as a method's does not measure the method. The weights depend on the
seed alone, the same for every input and target: they are handed out in the order of the channels' mean |A|, so that
neither the numbering of the channels nor the company in the batch matters.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.cam._parts import parts, weighted
from heatproof.types import Capture

NAME = "Random CAM"
ALIASES = ("RandomCAM",)
TIER = "experimental"
UNITS = "activations"
SCALES_WITH_SCORE = False  # does not see the score
BIBTEX = """
@misc{gildenblat2021randomcam,
  title  = {PyTorch library for CAM methods},
  author = {Gildenblat, Jacob and contributors},
  year   = {2021},
  url    = {https://github.com/jacobgil/pytorch-grad-cam}
}
"""


def cam(capture: Capture, *, seed: int = 0) -> Float[Tensor, "n t *grid"]:
    """Return sum_k w_k A^k with weights drawn from -1..1, in the units of A, the same for every target.

    Args:
        capture: of which the activations are used.
        seed: of the draw.
    """
    activations, _ = parts(capture)
    channels, targets = activations.shape[1], capture.scores.shape[1]
    draws = torch.rand(channels, generator=torch.Generator().manual_seed(seed), dtype=torch.float32) * 2 - 1
    order = activations.flatten(2).abs().mean(-1).argsort(dim=1, descending=True)
    drawn = draws.to(activations.device, activations.dtype).expand_as(order)
    weights = torch.zeros_like(drawn).scatter(1, order, drawn)
    return weighted(weights.unsqueeze(1).repeat_interleave(targets, dim=1), activations)
