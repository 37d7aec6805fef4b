"""Networks that keep a law by construction, and one that breaks it, on periodic fields."""

import torch
import torch.nn.functional as F
from torch import nn

import heatproof as hp
from heatproof.synthetic._fields import smooth

PERIODIC = (hp.Axis("y", "m", periodic=True), hp.Axis("x", "m", periodic=True))


class Round(nn.Module):
    """Circular convolutions whose kernels look the same after a quarter turn; with coordinates as channels if asked."""

    def __init__(self, seed: int = 0, *, coordinates: bool = False) -> None:
        super().__init__()
        before = 3 if coordinates else 1
        self.first = nn.Conv2d(before, 8, 3, padding=1, padding_mode="circular")
        self.body = nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular")
        self.head = nn.Linear(8, 3)
        self.coordinates = coordinates
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) / 2)
            for conv in (self.first, self.body):
                turns = [conv.weight.rot90(k, (-2, -1)) for k in range(4)]
                conv.weight.copy_(torch.stack(turns).mean(0))

    def forward(self, x):
        if self.coordinates:
            at = torch.linspace(-1, 1, x.shape[-1]).expand(len(x), 1, *x.shape[2:])
            x = torch.cat([x, at, at.transpose(-1, -2)], 1)
        x = self.body(F.avg_pool2d(self.first(x).relu(), 2)).relu()
        return self.head(x.square().mean((2, 3)))


def periodic_fields(n: int = 20, side: int = 16, seed: int = 3):
    data = smooth((n, 1, side, side), 2, seed)
    return [hp.Input(one, PERIODIC, ("density",), name=f"field {i}") for i, one in enumerate(data)]
