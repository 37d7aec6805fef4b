"""A small network and the peers' answers, without their progress bars."""

import contextlib
import io
import logging

import torch
import torchvision
from torch import Tensor, nn

SCALE = 1e4
"""The small network's head is scaled up by this, so that the peers' epsilons have no say."""


def small(scale: float = 1.0) -> nn.Module:
    """Return a network whose second layer, `1`, lies behind a ReLU, on the grid of the input."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(6, 8, 3, padding=1, stride=2),
            nn.Tanh(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(32, 5),
        ).eval()
        with torch.no_grad():
            net[-1].weight.mul_(scale)
    return net


def inputs(side: int = 9, n: int = 2) -> Tensor:
    return torch.randn(n, 3, side, side, generator=torch.Generator().manual_seed(3))


def best(net: nn.Module, x: Tensor) -> list[int]:
    """Return the predicted classes: their scores are positive here, which Ablation-CAM of grad-cam needs."""
    with torch.no_grad():
        scores = net(x)
    assert (scores.amax(1) > 0).all()
    return scores.argmax(1).tolist()


def known(name: str) -> nn.Module:
    """Return a network of torchvision with random weights, whose batch norms have seen data.

    Without that its activations fade from layer to layer, until the peers' epsilons are larger.
    """
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        net = torchvision.models.get_model(name)
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        net(torch.randn(8, 3, 64, 64))
        net.get_submodule("fc" if name.startswith("resnet") else "classifier.1").weight.mul_(SCALE)
    return net.eval()


@contextlib.contextmanager
def silent():
    """Keep the peers' prints, progress bars and log lines to themselves."""
    logging.disable()
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)
