"""Train a small network in seconds, from seeds alone: problems with learned shortcuts by the dozen."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Generator, Tensor, nn

from heatproof.models.nets.cell import CellNet


class PlainNet(nn.Module):
    """Convolutions and pooling without shortcuts, a global mean, and a linear head."""

    def __init__(self, classes: int = 2, widths: tuple[int, ...] = (16, 24, 32, 48)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for number, width in enumerate(widths):
            layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            layers += [nn.MaxPool2d(2)] if number < len(widths) - 1 else []
            before = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(before, classes)

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n classes"]:
        """Return one logit per class."""
        return self.head(self.features(x).mean(dim=(2, 3)))


class StridedNet(nn.Module):
    """Convolutions that halve the grid, group normalization, GELU; a global mean and a linear head."""

    def __init__(self, classes: int = 2, widths: tuple[int, ...] = (24, 32, 48)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for number, width in enumerate(widths):
            last = number == len(widths) - 1
            layers += [nn.Conv2d(before, width, 4, stride=2, padding=1), nn.GroupNorm(4, width)]
            layers += [nn.ReLU() if last else nn.GELU()]
            before = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(before, classes)

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n classes"]:
        """Return one logit per class."""
        return self.head(self.features(x).mean(dim=(2, 3)))


ARCHITECTURES = ("residual", "plain", "strided")


def network(name: str, generator: Generator) -> nn.Module:
    """Return a fresh network with weights drawn from the generator (He et al. 2015, eq. 10)."""
    if name == "residual":
        return CellNet(3, 2, (12, 24, 48)).initialize(generator)
    net = PlainNet() if name == "plain" else StridedNet()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.weight.normal_(0.0, (2 / module.weight[0].numel()) ** 0.5, generator=generator)
                assert module.bias is not None
                module.bias.zero_()
    # half as long on a CPU
    return net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]  its stubs lack the keyword


def fit(
    images: Float[Tensor, "n 3 h w"],
    labels: Int[Tensor, " n"],
    *,
    seed: int = 0,
    epochs: int = 8,
    architecture: str = "residual",
    batch: int = 32,
    rate: float = 4e-3,
) -> nn.Module:
    """Return a network trained on the images, which are given in 0..1 and centered within: x - 0.5.

    Args:
        images: to learn from.
        labels: 0 or 1.
        seed: of the weights, the order and the flips.
        epochs: passes over the images.
        architecture: one of `ARCHITECTURES`.
        batch: images in a step.
        rate: highest learning rate of a one-cycle schedule.
    """
    generator = Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        net = network(architecture, generator).train()
    steps = max(1, len(labels) // batch)
    optimizer = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * steps)
    with torch.inference_mode(False), torch.enable_grad():
        for _ in range(epochs):
            for rows in torch.randperm(len(labels), generator=generator)[: steps * batch].split(batch):
                x = images[rows] - 0.5
                for axis in (-1, -2):
                    flip = torch.rand(len(rows), generator=generator) < 0.5
                    x = torch.where(flip[:, None, None, None], x.flip(axis), x)
                loss = F.cross_entropy(net(x), labels[rows], label_smoothing=0.05)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return net.eval()
