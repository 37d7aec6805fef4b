"""A small fully convolutional tile classifier: the architecture behind the bundled weights."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn


class TileNet(nn.Module):
    """Convolutions and ReLUs, then a global mean and a linear head, so that any size of picture goes in.

    The head is linear in the spatial mean of the last ReLU's output. The class evidence therefore splits exactly into
    a sum over grid positions, and Grad-CAM is the original CAM (Zhou et al. 2016, eq. 2) times 1 / positions.

    Args:
        channels: input channels.
        classes: output logits.
        widths: features after each convolution.
        strides: stride of each convolution; their product is the spacing of the last grid in input samples.
    """

    def __init__(
        self,
        channels: int = 3,
        classes: int = 2,
        widths: Sequence[int] = (16, 32, 32, 48),
        strides: Sequence[int] = (2, 2, 1, 1),
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, width, stride in zip((channels, *widths), widths, strides, strict=False):
            # With kernel stride + 2 and padding 1, grid positions sit at the centers of equal blocks of the input,
            # where linear upsampling (align_corners=False) puts them: maps do not shift by a part of a position.
            layers += [nn.Conv2d(before, width, kernel_size=stride + 2, stride=stride, padding=1), nn.ReLU()]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n classes"]:
        """Return one logit per class."""
        return self.head(self.features(x).mean(dim=(2, 3)))

    @torch.no_grad()
    def initialize(self, generator: Generator) -> "TileNet":
        """Draw fresh weights (He et al. 2015, eq. 10; biases zero) from `generator`, and return self."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0.0, math.sqrt(2.0 / fan_in), generator=generator)
                assert module.bias is not None
                module.bias.zero_()
        return self
