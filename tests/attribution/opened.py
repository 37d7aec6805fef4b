"""Small networks, opened as subjects."""

from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from heatproof.capture import Batch, Engine
from heatproof.capture.subject import subject
from heatproof.models.targets import resolve
from heatproof.types import Subject

SIZES = {1: (8,), 2: (4, 6), 3: (4, 2, 4)}
CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
NORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
CLASSES = 4
_ENGINES = WeakKeyDictionary()


def rectifying(axes: int, seed: int = 0, *, biased: bool = True) -> nn.Sequential:
    """Return a network of convolutions, a batch norm with statistics, ReLUs and a dense classifier; two channels in."""
    draws = torch.Generator().manual_seed(seed)
    places = torch.Size(SIZES[axes]).numel()
    net = nn.Sequential(
        CONV[axes](2, 3, 3, padding=1),
        NORM[axes](3),
        nn.ReLU(),
        CONV[axes](3, 4, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Flatten(),
        nn.Linear(4 * places, CLASSES),
    )
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            if tensor.is_floating_point():
                drawn = torch.randn(tensor.shape, generator=draws) / max(1, tensor[0].numel()) ** 0.5
                tensor.copy_(drawn)
        net[1].running_var.abs_().add_(0.5)
        net[1].weight.abs_().add_(0.5)
        if not biased:
            net[1] = nn.Identity()
            for layer in (net[0], net[3], net[6]):
                layer.bias.zero_()
    return net.eval()


def draw(axes: int, n: int = 3, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return inputs (n, 2, *spatial)."""
    return torch.randn(n, 2, *SIZES[axes], generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def opened(net: nn.Module, x, targets=None, layer=None) -> Subject:
    """Return the network as a function of x, for the targets (two for every input, unless told).

    The target layer of a network of this file is its last convolution, unless told.
    """
    layer = layer or ("3" if isinstance(net, nn.Sequential) else None)
    engine = _ENGINES.setdefault(net, Engine(net))
    batch = Batch.of(x, engine.pool.net)
    wanted = targets if targets is not None else [[i % CLASSES, (i + 2) % CLASSES] for i in range(batch.n)]

    def resolver(output, n):
        return resolve(wanted[:n] if isinstance(wanted, list) else wanted, output, n, str, int)

    return subject(engine, batch, lambda: engine.layers(batch, layer, resolver), resolver)[0]
