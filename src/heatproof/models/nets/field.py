"""Small networks for signals and fields of simulated physics: the architectures behind the bundled physics weights."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Generator, Tensor, nn


class ZeroSum1d(nn.Conv1d):
    """A convolution whose kernels sum to zero, so that a constant added to its input changes nothing."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, weight - weight.mean(-1, keepdim=True), bias)


class ZeroSum2d(nn.Conv2d):
    """A convolution whose kernels sum to zero, so that a constant added to its input changes nothing."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, weight - weight.mean((-2, -1), keepdim=True), bias)


class Abs(nn.Module):
    """The absolute value: after a convolution without bias, a global change of sign changes nothing."""

    def forward(self, x: Tensor) -> Tensor:
        """Return |x|."""
        return x.abs()


class Gate(nn.Module):
    """Lets features of a signal through by how much their place along it matters to them: smooth gains, learned.

    What is zero stays zero, so that a place without a feature is no evidence.

    Args:
        width: features.
        count: cosines along the signal that a gain is made of.
    """

    def __init__(self, width: int, count: int) -> None:
        super().__init__()
        self.gains = nn.Linear(count, width)
        self.count = count

    def forward(self, x: Float[Tensor, "n k s"]) -> Float[Tensor, "n k s"]:
        """Return the features times their gains."""
        at = (torch.arange(x.shape[-1], device=x.device, dtype=x.dtype) + 0.5) / x.shape[-1]
        order = torch.arange(1, self.count + 1, device=x.device, dtype=x.dtype)
        return x * self.gains(torch.cos(math.pi * order[None, :] * at[:, None])).T


class Relative(nn.Module):
    """Divides each input by the mean of its absolute values, so that its unit means nothing."""

    def forward(self, x: Float[Tensor, "n c *spatial"]) -> Float[Tensor, "n c *spatial"]:
        """Return the input in units of its own mean size."""
        size = x.flatten(1).abs().mean(1).clamp(min=1e-12)
        return x / size.reshape(-1, *[1] * (x.ndim - 1))


_CONVOLUTIONS = {(1, False): nn.Conv1d, (2, False): nn.Conv2d, (1, True): ZeroSum1d, (2, True): ZeroSum2d}
_POOLS = {1: nn.AvgPool1d, 2: nn.AvgPool2d}


class FieldNet(nn.Module):
    """Convolutions, ReLUs and mean pooling, then a global mean and a linear head.

    As in `TileNet`, the head is linear in the spatial mean of the last ReLU's output, so that the score splits exactly
    into a sum over grid positions. Kernels are odd and pooling is by means, so that a mirrored grid stays a grid.

    Args:
        axes: of the input, 1 or 2.
        channels: input channels.
        outputs: scores.
        widths: features after each convolution.
        pools: mean pooling after each convolution, 1 for none.
        kernel: side of every kernel, odd.
        circular: continue the input around its edges; else its outermost values go on.
        differences: let the first kernels sum to zero: an added constant changes nothing.
        even: let the first convolution have no bias and an absolute value in place of its ReLU: a sign changes nothing.
        places: cosines that the gains of a gate before the last ReLU are made of (signals only), 0 for none: where the
            place itself means something, such as a wavelength. Convolutions after the first then have no bias.
        relative: divide each input by its mean size: a unit changes nothing.
    """

    def __init__(
        self,
        axes: int = 2,
        channels: int = 1,
        outputs: int = 2,
        widths: Sequence[int] = (16, 16, 16),
        pools: Sequence[int] = (1, 2, 1),
        kernel: int = 3,
        circular: bool = False,
        differences: bool = False,
        even: bool = False,
        places: int = 0,
        relative: bool = False,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [Relative()] if relative else []
        mode = "circular" if circular else "replicate"
        before = channels
        for index, (width, pool) in enumerate(zip(widths, pools, strict=True)):
            first, last = index == 0, index == len(widths) - 1
            biased = not (even and first) and (first or not places)
            build = _CONVOLUTIONS[axes, differences and first]
            layers += [build(before, width, kernel, padding=kernel // 2, padding_mode=mode, bias=biased)]
            layers += [Gate(width, places)] if places and last else []
            layers += [Abs() if even and first else nn.ReLU()]
            layers += [_POOLS[axes](pool)] if pool > 1 else []
            before = width
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(before, outputs)

    def forward(self, x: Float[Tensor, "n c *spatial"]) -> Float[Tensor, "n outputs"]:
        """Return the scores."""
        return self.head(self.features(x).flatten(2).mean(2))


class MirrorConv(nn.Conv2d):
    """A convolution of features in mirrored pairs: the second half is what the first sees in the mirror.

    Args:
        before: pairs that come in; 0 for a velocity field (u, v), of which a mirror along x turns the sign of u.
        pairs: that go out.
        kernel: side of the kernel.
    """

    def __init__(self, before: int, pairs: int, kernel: int) -> None:
        super().__init__(2 * before or 2, pairs, kernel, padding=kernel // 2, padding_mode="replicate")
        self.before = before

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        seen = weight.flip(-1)
        if self.before:
            seen = torch.cat([seen[:, self.before :], seen[:, : self.before]], 1)
        else:
            weight, seen = (w - w.mean((-2, -1), keepdim=True) for w in (weight, seen))
            seen = seen * torch.tensor([-1.0, 1.0], device=seen.device, dtype=seen.dtype).reshape(1, 2, 1, 1)
        both = None if bias is None else torch.cat([bias, bias])
        return super()._conv_forward(input, torch.cat([weight, seen]), both)


class MirrorHead(nn.Linear):
    """Two scores, of which the second reads the mirrored half as the first reads the plain one."""

    def forward(self, input: Float[Tensor, "n k"]) -> Float[Tensor, "n 2"]:
        """Return the scores."""
        plain, mirrored = input.chunk(2, 1)
        there = torch.cat([mirrored, plain], 1)
        return torch.cat([F.linear(input, self.weight, self.bias), F.linear(there, self.weight, self.bias)], 1)


class MirrorNet(nn.Module):
    """Which way does a vortex turn? By construction, a mirror swaps the classes, and a boost does nothing.

    Source: Cohen and Welling 2016, "Group equivariant convolutional networks", for the group of one reflection.

    Args:
        pairs: mirrored pairs of features after each convolution; after the first one, the grid is halved.
    """

    def __init__(self, pairs: Sequence[int] = (6, 8, 8)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for index, (before, width) in enumerate(zip((0, *pairs), pairs, strict=False)):
            layers += [MirrorConv(before, width, 3), nn.ReLU(), *([nn.AvgPool2d(2)] if index == 0 else [])]
        self.features = nn.Sequential(*layers)
        self.head = MirrorHead(2 * pairs[-1], 1)

    def forward(self, x: Float[Tensor, "n 2 h w"]) -> Float[Tensor, "n 2"]:
        """Return a score for each sense of rotation."""
        return self.head(self.features(x).mean(dim=(2, 3)))


@torch.no_grad()
def initialize(net: nn.Module, generator: Generator) -> nn.Module:
    """Draw fresh weights (He et al. 2015, eq. 10; biases zero) from `generator` into a network; return it."""
    for module in net.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            module.weight.normal_(0.0, math.sqrt(2.0 / module.weight[0].numel()), generator=generator)
            if module.bias is not None:
                module.bias.zero_()
    return net
