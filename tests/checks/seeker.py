"""Small networks whose maps are known to depend on what they learned, and how the sanity check is put to them."""

from typing import Any

import torch
from torch import Tensor, nn

import heatproof as hp

FAST: dict[str, Any] = {"cascades": (), "cascade_draws": 1}


class Seeker(nn.Module):
    """Its class 0 is the brightness of channel 0 and its class 1 that of channel 1; three stages."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(8, 8, 4, stride=4, bias=False)
        self.act = nn.ReLU()
        self.head = nn.Linear(8, 2, bias=False)
        with torch.no_grad():
            self.body.weight.copy_(torch.eye(8)[:, :, None, None] / 16)
            self.head.weight.zero_()
            self.head.weight[0, 0] = self.head.weight[1, 1] = 1

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.body(x)).mean((2, 3)))


class Normed(nn.Module):
    """Two convolutions with batch normalization, and three classes; six parts with parameters."""

    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.one, self.norm, self.relu = nn.Conv2d(8, 6, 3, bias=False), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
            self.block = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6))
            self.head = nn.Linear(6, 3)
            for norm in (self.norm, self.block[1]):
                nn.init.uniform_(norm.running_mean, -0.2, 0.2)
                nn.init.uniform_(norm.running_var, 0.1, 0.3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.one(x)))
        x = torch.relu(x + self.block(x))
        return self.head(x.mean((2, 3)))


def pictures(n: int, seed: int = 0, side: int = 28) -> Tensor:
    return torch.rand(n, 8, side, side, generator=torch.Generator().manual_seed(seed)) ** 2


def ask(net: nn.Module, x: Any, settings: dict[str, Any] | None = None, **more: Any) -> Any:
    given = {"sanity": {**FAST, **(settings or {})}}
    (found,) = hp.check(net, x, "sanity", settings=given, **dict[str, Any]({"layer": "act", "target": 0} | more))
    return found
