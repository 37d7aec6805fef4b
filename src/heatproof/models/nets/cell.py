"""A small residual network for pictures of single cells: the architecture behind the bundled cell weights."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn


class CellNet(nn.Module):
    """A stem, one residual block per width, then a global mean and a linear head, so that any size of picture goes in.

    As in `TileNet`, the head is linear in the spatial mean of the last ReLU's output, so that the class evidence
    splits exactly into a sum over grid positions.

    Source: He et al. 2016, "Deep Residual Learning for Image Recognition", fig. 2 and sec. 3.3, option B.

    Args:
        channels: input channels.
        classes: output logits.
        widths: features after each block. The stem and every block but the first halve the grid.
    """

    def __init__(self, channels: int = 3, classes: int = 8, widths: Sequence[int] = (24, 48, 96)) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(channels, widths[0], stride=2), nn.BatchNorm2d(widths[0]), nn.ReLU())
        blocks = [Block(widths[0], widths[0], stride=1)]
        blocks += [Block(before, width, stride=2) for before, width in pairwise(widths)]
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n classes"]:
        """Return one logit per class."""
        return self.head(self.blocks(self.stem(x)).mean(dim=(2, 3)))

    @torch.no_grad()
    def initialize(self, generator: Generator) -> "CellNet":
        """Draw fresh weights (He et al. 2015, eq. 10; biases zero) from `generator`, and return self."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                fan_in = module.weight[0].numel()
                module.weight.normal_(0.0, math.sqrt(2.0 / fan_in), generator=generator)
                if module.bias is not None:
                    module.bias.zero_()
        return self


class Block(nn.Module):
    """Two convolutions beside a shortcut, added before the last ReLU."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(before, width, stride),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            _conv(width, width, 1),
            nn.BatchNorm2d(width),
        )
        self.shortcut = nn.Identity()
        if stride > 1 or before != width:
            # the mean of each block of places, where option B takes the first: nothing is thrown away
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride), nn.Conv2d(before, width, kernel_size=1, bias=False), nn.BatchNorm2d(width)
            )
        self.relu = nn.ReLU()

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n k g j"]:
        """Return the block's features."""
        return self.relu(self.body(x) + self.shortcut(x))


def _conv(before: int, width: int, stride: int) -> nn.Conv2d:
    # With kernel stride + 2 and padding 1, grid positions sit at the centers of equal blocks of the input, where linear
    # upsampling (align_corners=False) puts them: maps do not shift by a part of a position.
    return nn.Conv2d(before, width, kernel_size=stride + 2, stride=stride, padding=1, bias=False)
