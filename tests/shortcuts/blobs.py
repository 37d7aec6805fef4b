"""Pictures with a dark blob and, in some, a blue patch beside it; networks whose scores are known in closed form."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

SIDE = 32
PATCH = 6


@dataclass(frozen=True)
class Blobs:
    pictures: Tensor  # (n, 3, SIDE, SIDE) in 0..1
    labels: Tensor  # (n,) 1 = dark blob
    blob: Tensor  # (n, SIDE, SIDE)
    patch: Tensor  # (n, SIDE, SIDE); empty where there is none
    has: Tensor  # (n,)


def blobs(n: int = 60, odds: tuple[float, float] = (0.1, 0.9), contrast: float = 0.3, seed: int = 0) -> Blobs:
    """Half of the pictures have label 1; a patch with probability odds[label], never on the blob."""
    g = torch.Generator().manual_seed(seed)
    labels = torch.arange(n) % 2
    pictures = 0.6 + 0.02 * torch.randn(n, 3, SIDE, SIDE, generator=g)
    blob, patch = (torch.zeros(n, SIDE, SIDE, dtype=torch.bool) for _ in range(2))
    has = torch.rand(n, generator=g) < torch.tensor(odds)[labels]
    for i in range(n):
        row, column = (int(v) for v in torch.randint(11, 15, (2,), generator=g))
        blob[i, row : row + 8, column : column + 8] = True
        pictures[i, :, blob[i]] -= 0.05 + contrast * float(labels[i])
        if has[i]:
            place = [int(torch.randint(0, 4, (), generator=g)), int(torch.randint(0, SIDE - PATCH, (), generator=g))]
            if torch.rand((), generator=g) < 0.5:
                place = [SIDE - PATCH - place[0], place[1]]
            patch[i, place[0] : place[0] + PATCH, place[1] : place[1] + PATCH] = True
            pictures[i, :, patch[i]] = torch.tensor([0.2, 0.6, 0.9]).reshape(3, 1)
    return Blobs(pictures.clamp(0, 1), labels, blob, patch, has)


class Reads(nn.Module):
    """Log odds of class 1: `blue` times the mean of (blue - red - 0.1)+, `dark` times that of (0.5 - green)+, less
    `offset`.
    """

    def __init__(self, blue: float = 0.0, dark: float = 0.0, offset: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.relu = nn.ReLU()
        self.head = nn.Linear(2, 2)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([[-1.0, 0.0, 1.0], [0.0, -1.0, 0.0]]).reshape(2, 3, 1, 1))
            self.conv.bias.copy_(torch.tensor([-0.1, 0.5]))
            self.head.weight.copy_(torch.tensor([[0.0, 0.0], [blue, dark]]))
            self.head.bias.copy_(torch.tensor([0.0, -offset]))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.conv(x)).mean((2, 3)))
