"""Convolutional networks with drawn weights on smooth random pictures: other weights, other maps, by construction."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heatproof.synthetic._fields import restless, silenced, smooth, with_scrambled
from heatproof.synthetic._instance import Answer, Instance

NAME = "Drawn convolutional networks"
TIER = "core"
BIBTEX = ""
HELD_OUT = True
_INPUTS, _SIDE, _WIDTH, _CLASSES = 50, 32, 16, 5


class Residual(nn.Module):
    """A convolution beside a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Float[Tensor, "n k h w"]) -> Float[Tensor, "n k h w"]:
        """Return the sum."""
        return x + self.inner(x).relu()


def network(seed: int) -> nn.Sequential:
    """Return one of four architectures, with weights of its own: plain, residual, normalized, smooth."""
    kind = seed % 4
    bend: nn.Module = nn.GELU() if kind == 3 else nn.ReLU()
    norm: list[nn.Module] = [nn.GroupNorm(4, _WIDTH)] if kind == 2 else []
    last: nn.Module = Residual(_WIDTH) if kind == 1 else nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1)
    body = nn.Sequential(
        nn.Conv2d(3, _WIDTH, 3, padding=1),
        *norm,
        bend,
        nn.AvgPool2d(2),
        nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1),
        bend,
        last,
    )
    side = _SIDE // 2
    net = nn.Sequential(body, nn.AvgPool2d(4), nn.Flatten(), nn.Linear(_WIDTH * (side // 4) ** 2, _CLASSES))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
            elif parameter.ndim > 1:
                fan = parameter[0].numel()
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * (2 / fan) ** 0.5)
    return net.eval()


def instances(seed: int) -> list[Instance]:
    """Return problems for sanity, and for stability and degenerate maps, 50 pictures."""
    net = network(seed)
    x = smooth((_INPUTS, 3, _SIDE, _SIDE), 2, seed + 1)

    planted: list[tuple[str, Answer, str, Any]] = [
        ("sanity", "good", "HiResCAM", "hirescam"),
        ("sanity", "good", "Layer-CAM", "layercam"),
        ("sanity", "bad", "edges of the input", "input_edges"),
        ("sanity", "bad", "a center prior", "center_prior"),
        ("sanity", "bad", "smooth random fields, the same for every network", "smooth_random"),
        ("stability", "good", "HiResCAM", "hirescam"),
        ("stability", "good", "Layer-CAM", "layercam"),
        ("stability", "bad", "HiResCAM under ten times as much that any change scrambles", with_scrambled(10.0)),
        ("stability", "bad", "another field in every run", restless(seed)),
        ("degenerate", "good", "HiResCAM", "hirescam"),
        ("degenerate", "bad", "HiResCAM, blank for a third of the inputs", silenced(torch.zeros_like, 3)),
        ("degenerate", "bad", "smooth random fields, the same for every class", "smooth_random"),
    ]
    return [Instance(check, answer, what, net, x, 0, method, "0") for check, answer, what, method in planted]
