"""Networks that read a known field of a flow, or another one, and answers that follow the true ones, or do not."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from heatproof.physics import divergence
from heatproof.physics.fields import Known
from heatproof.synthetic._fields import changed, smooth, unrelated
from heatproof.synthetic._instance import Answer, Instance
from heatproof.types import Axis, Input, Resolution

NAME = "Networks that read flows"
TIER = "core"
BIBTEX = ""
HELD_OUT = True
_INPUTS, _SIDE = 50, 32
_AXES = (Axis("y", "m", periodic=True), Axis("x", "m", periodic=True))
VORTICITY, STRAIN, DIVERGENCE, DYE = "vorticity", "strain", "divergence", "dye"
_READS = {
    # weights of (du/dx, du/dy, dv/dx, dv/dy, dye)
    VORTICITY: (0.0, -1.0, 1.0, 0.0, 0.0),
    STRAIN: (0.0, 1.0, 1.0, 0.0, 0.0),
    DIVERGENCE: (1.0, 0.0, 0.0, 1.0, 0.0),
    DYE: (0.0, 0.0, 0.0, 0.0, 1.0),
}


class Reader(nn.Module):
    """A convolution that takes derivatives, rectified or squared, and the mean over the grid: two logits.

    The first logit is `gain` times the mean of what is read, the second that of the dye.
    """

    def __init__(self, what: str, *, gain: float = 1.0, squared: bool = False) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular", bias=False)
        self.squared = squared
        one = torch.stack([_kernel(what), _kernel(DYE)])
        with torch.no_grad():
            self.body.weight.copy_(torch.cat([one, -one]))
        self.head = nn.Parameter(torch.tensor([[gain, 0.0, gain, 0.0], [0.0, 1.0, 0.0, 1.0]]))

    def forward(self, x: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 2"]:
        """Return the logits."""
        found = self.body(x).relu()
        return (found.square() if self.squared else found).mean((2, 3)) @ self.head.T


def instances(seed: int) -> list[Instance]:
    """Return problems for each question of physics, 50 flows in a periodic square."""
    flows, dyed, leaking = _flows(seed), _flows(seed, dye=True), _flows(seed, dye=True, leak=True)
    half = (_SIDE // 2, _SIDE // 2)
    size = Known("the size of vorticity", _vorticity)
    drawn = torch.Generator().manual_seed(seed)
    slope = float(torch.empty(1).uniform_(0.9, 1.1, generator=drawn))
    wrong = float(torch.empty(1).uniform_(0.2, 0.5, generator=drawn))

    def noisy(maps: Tensor) -> Tensor:
        return maps + 0.5 * maps.std() * smooth(tuple(maps.shape), 2, 7 * seed + 2)

    agrees, follows, obeys = {"field": size}, {"simulate": enstrophy}, {"balance": divergence({"x": "u", "y": "v"})}
    reads = Reader(VORTICITY)
    of_agreement: list[tuple[Answer, str, nn.Module, Any]] = [
        ("good", "the map of what reads the field", reads, "hirescam"),
        ("good", "the same, with noise", reads, changed(noisy)),
        ("bad", "a network that reads strain", Reader(STRAIN), "hirescam"),
        ("bad", "the map moved by half the flow", reads, changed(lambda maps: maps.roll(half, (-2, -1)))),
        ("bad", "a smooth random field", reads, unrelated(seed)),
        ("bad", "a center prior", reads, "center_prior"),
        ("bad", "where the flow is fast", reads, speed),
    ]
    of_cause: list[tuple[Answer, str, nn.Module]] = [
        ("good", "the true answer", Reader(VORTICITY, squared=True)),
        ("good", "nearly the true answer", Reader(VORTICITY, squared=True, gain=slope)),
        ("bad", "too small an answer", Reader(VORTICITY, squared=True, gain=wrong)),
        ("bad", "the opposite answer", Reader(VORTICITY, squared=True, gain=-1.0)),
        ("bad", "too large an answer", Reader(VORTICITY, squared=True, gain=1 + 3 * wrong)),
    ]
    of_balance: list[tuple[Answer, str, nn.Module]] = [
        ("good", "a network that reads the dye", Reader(DYE)),
        ("bad", "a network that reads a leak", Reader(DIVERGENCE)),
    ]
    found = [
        Instance("physics", answer, f"agreement: {what}", net, flows, 0, method, "body", settings=agrees)
        for answer, what, net, method in of_agreement
    ]
    found += [
        Instance("physics", answer, f"cause: {what}", net, dyed, 0, "hirescam", "body", settings=follows)
        for answer, what, net in of_cause
    ]
    return found + [
        Instance("physics", answer, f"conservation: {what}", net, leaking, 0, "hirescam", "body", settings=obeys)
        for answer, what, net in of_balance
    ]


def enstrophy(data: Float[Tensor, "3 h w"]) -> float:
    """Return the mean squared vorticity, by central differences around the edges."""
    return float(_curl(data.double()).square().mean())


def _flows(seed: int, *, dye: bool = False, leak: bool = False) -> list[Input]:
    """Return flows without divergence from a stream function; with a blob of dye, and a leak far from it, if asked."""
    generator = torch.Generator().manual_seed(3 * seed + 1)
    stream = smooth((_INPUTS, _SIDE, _SIDE), 2, 3 * seed, rounds=8) * 2
    found: list[Input] = []
    for index, one in enumerate(stream):
        u, v = _d(one, 0), -_d(one, 1)
        place = torch.randint(_SIDE, (2,), generator=generator).tolist()
        blob = _blob(place)
        if leak:
            source = _blob([(at + _SIDE // 2) % _SIDE for at in place])
            u, v = u - 3 * _d(source, 1), v - 3 * _d(source, 0)
        data = torch.stack([u, v, blob if dye else torch.zeros_like(blob)])
        found.append(Input(data, _AXES, ("u", "v", "dye"), name=f"flow {index}"))
    return found


def _blob(place: list[int]) -> Float[Tensor, "h w"]:
    at = torch.arange(_SIDE)
    far = [torch.minimum((at - p) % _SIDE, (p - at) % _SIDE).float() for p in place]
    return torch.exp(-(far[0][:, None].square() + far[1][None, :].square()) / 8)


def _d(field: Float[Tensor, "h w"], axis: int) -> Float[Tensor, "h w"]:
    return (field.roll(-1, axis) - field.roll(1, axis)) / 2


def _curl(data: Float[Tensor, "3 h w"]) -> Float[Tensor, "h w"]:
    return _d(data[1], 1) - _d(data[0], 0)


def _vorticity(one: Input, resolution: Resolution) -> Float[Tensor, "h w"]:
    return _curl(one.data.detach().double()).abs()


def speed(capture: Any) -> Tensor:
    """Return the speed of the flow, whatever the network."""
    fast = capture.inputs[:, :2].square().sum(1, keepdim=True).sqrt()
    return fast.expand(-1, capture.scores.shape[1], -1, -1)


def _kernel(what: str) -> Float[Tensor, "3 3 3"]:
    """Return the convolution, over (u, v, dye), that reads it."""
    u_x, u_y, v_x, v_y, dye = _READS[what]
    along_x = torch.tensor([[0.0, 0, 0], [-0.5, 0, 0.5], [0, 0, 0]])
    along_y, here = along_x.T, torch.zeros(3, 3)
    here[1, 1] = dye
    return torch.stack([u_x * along_x + u_y * along_y, v_x * along_x + v_y * along_y, here])
