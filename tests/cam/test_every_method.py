"""Every CAM method through hp.explain: what must hold whatever the method, on networks with a bend and two grids."""

from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import pytest
import torch
import torch.nn.functional as F
from tests.odd_models import everything
from torch import Tensor, nn

import heatproof as hp
from heatproof.cam import methods
from heatproof.errors import HeatproofError

CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
POOL = {1: nn.AdaptiveAvgPool1d, 2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}
SIZES = {1: (16,), 2: (12, 8), 3: (4, 8, 12)}
OWN = [name for name, plugin in methods().items() if plugin.module.startswith("heatproof.")]
MORE = ["fem", "finercam", "is_cam", "refinecam", "shapleycam", "smoothgradcam_plusplus", "ss_cam"]


class Net(nn.Sequential):
    """Two grids, positive activations on both, and a head that bends."""

    def __init__(self, axes: int) -> None:
        kind = CONVOLUTION[axes]
        body = (kind(2, 6, 3, padding=1), nn.Softplus(), kind(6, 8, 3, stride=2, padding=1), nn.Softplus())
        head = (POOL[axes](1), nn.Flatten(), nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 5))
        super().__init__(*body, *head)


def made(axes: int = 2) -> tuple[nn.Module, Tensor]:
    """Return a network with drawn weights, in float64, and two inputs."""
    draws = torch.Generator().manual_seed(100 + axes)
    x = torch.randn((2, 2, *SIZES[axes]), generator=draws, dtype=torch.float64)
    return drawn(Net(axes), axes), x


def drawn(net: nn.Module, seed: int) -> nn.Module:
    """Return the network in float64, with weights drawn from the seed."""
    draws = torch.Generator().manual_seed(seed)
    net.double().eval()
    with torch.no_grad():
        for tensor in net.state_dict().values():
            tensor.copy_(0.4 * torch.randn(tensor.shape, generator=draws, dtype=torch.float64))
    return net


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", MORE)
def test_axes_keep_their_order(name, axes):
    net, x = made(axes)
    ex = hp.explain(net, x, target=[[0, 1], [2, 3]], method=name, layer="3")
    half = tuple(side // 2 for side in SIZES[axes])
    assert ex.maps.shape == (2, 2, *(SIZES[axes] if name == "refinecam" else half))
    assert ex.resolution.grid == tuple(ex.maps.shape[2:])
    assert ex.maps.isfinite().all()
    assert ex.heatmaps().shape == (2, 2, *SIZES[axes])


@pytest.mark.parametrize("place", [(0, 7, 2), (3, 0, 11), (2, 5, 0)])
@pytest.mark.parametrize("name", ["gradcam", "hirescam", "ss_cam", "is_cam", "fem", "shapleycam"])
def test_what_lies_at_one_place_of_a_volume_is_shown_there(name, place):
    net, _ = made(3)
    with torch.no_grad():
        for layer in (net[0], net[2]):  # passes on what it sees, and nothing else
            layer.weight.zero_()
            layer.weight[:, :, 1, 1, 1] = 0.5
            layer.bias.fill_(-4.0)
        net[2].stride = (1, 1, 1)
        net[6].weight.abs_()
        net[8].weight.abs_()
    x = torch.zeros(1, 2, *SIZES[3], dtype=torch.float64)
    x[(0, slice(None), *place)] = 20.0
    maps = hp.explain(net, x, target=0, method=name, layer="3").maps[0, 0]
    assert tuple(int(i) for i in torch.unravel_index(maps.argmax(), maps.shape)) == place


class Breaks(nn.Module):
    """Passes its input on, until it has been asked so many times."""

    asked = 0
    limit = 0

    def forward(self, x: Tensor) -> Tensor:
        Breaks.asked += 1
        if Breaks.asked > Breaks.limit:
            raise RuntimeError("a wire came loose")
        return x


@pytest.mark.parametrize("position", [1, 5])  # before the target layer and behind it
@pytest.mark.parametrize("name", OWN)
def test_after_an_exception_in_the_middle_nothing_is_left_on_the_model(name, position):
    net, x = made()
    net.insert(position, Breaks())
    net.train()
    before = everything(net)
    Breaks.asked, Breaks.limit = 0, 10**9
    broken = 0
    try:
        hp.explain(net, x, target=1, method=name, layer="4")
    except HeatproofError:
        return  # refused: a head that bends, a network without attention
    needed = Breaks.asked
    for limit in sorted({0, 1, 2, needed // 2, needed - 1}):
        Breaks.asked, Breaks.limit = 0, limit
        try:
            hp.explain(net, x, target=1, method=name, layer="4")
        except Exception as error:  # whatever comes of it, the network must be as it was
            broken += "a wire came loose" in f"{error} {error.__cause__} {error.__context__}"
        assert everything(net) == before
    assert broken


@pytest.mark.parametrize("name", OWN)
def test_a_head_scaled_by_a_ten_thousandth_scales_the_map_likewise(name):
    module = import_module(methods()[name].module)
    net, x = made()
    try:
        maps = hp.explain(net, x, target=1, method=name, layer="3").maps
    except HeatproofError:
        return  # refused: a head that bends, a network without attention
    with torch.no_grad():
        net[8].weight.mul_(1e-4)
        net[8].bias.mul_(1e-4)
    scaled = hp.explain(net, x, target=1, method=name, layer="3").maps
    assert scaled.isfinite().all()
    if getattr(module, "SCALES_WITH_SCORE", True):
        torch.testing.assert_close(scaled, 1e-4 * maps, rtol=1e-6, atol=1e-6 * 1e-4 * float(maps.abs().max()))


@pytest.mark.parametrize("name", ["gradcam", "ablationcam", "finercam", "shapleycam", "smoothgradcam_plusplus"])
def test_the_order_of_layers_does_not_matter(name):
    net, x = made()
    one = hp.explain(net, x, target=1, method=name, layer=["1", "3"])
    other = hp.explain(net, x, target=1, method=name, layer=["3", "1"])
    torch.testing.assert_close(one.maps, other.maps)
    torch.testing.assert_close(one.scores, other.scores)


@pytest.mark.parametrize("name", ["shapleycam", "finercam"])
def test_eight_threads_get_the_serial_answers(name):
    net, x = made(1)
    explainer = hp.Explainer(net, layer="3", method=name)
    inputs = [x, x.flip(0), 2 * x]
    serial = [explainer(one, target=1).maps for one in inputs]

    def work(worker: int) -> list[tuple[int, Tensor]]:
        order = [(worker + step) % 3 for step in range(6)]
        return [(i, explainer(inputs[i], target=1).maps) for i in order]

    with ThreadPoolExecutor(8) as pool:
        answers = [answer for part in pool.map(work, range(8)) for answer in part]
    assert len(answers) == 48
    for i, maps in answers:
        torch.testing.assert_close(maps, serial[i], rtol=1e-12, atol=1e-14)


class Attends(nn.Module):
    """Fused attention behind the target layer."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.readout = nn.Conv1d(2, 8, 4, stride=4), nn.Linear(8, 24), nn.Linear(8, 5)

    def after(self, tokens: Tensor) -> Tensor:
        query, key, value = self.mix(tokens.mT).unsqueeze(1).chunk(3, dim=-1)
        return self.readout(F.scaled_dot_product_attention(query, key, value).squeeze(1).mean(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.after(self.embed(x))


def test_shapleycam_differentiates_fused_attention_twice():
    net, x = drawn(Attends(), 7), made(1)[1]
    maps = hp.explain(net, x, target=1, method="shapleycam", layer="embed").maps[:, 0]
    a = net.embed(x).detach()

    def slope(activations: Tensor) -> Tensor:
        leaf = activations.clone().requires_grad_()
        return torch.autograd.grad(net.after(leaf)[:, 1].sum(), leaf)[0]

    weights = (slope(a) - (slope(a * 1.0001) - slope(a * 0.9999)) / 2e-4 / 2).mean(-1)
    torch.testing.assert_close(maps, torch.einsum("nk,nkp->np", weights, a), rtol=1e-5, atol=1e-8)
