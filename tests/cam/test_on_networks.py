"""The methods that run the network again, on real networks through hp.explain, against loops that run all of it."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from tests.reference import ablationcam, scorecam
from torch import Tensor, nn

import heatproof as hp
from heatproof.cam import methods
from heatproof.errors import MethodError

CONVOLUTION = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
BATCHNORM = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
SIZES = {1: (17,), 2: (12, 10), 3: (6, 8, 4)}


class Residual(nn.Module):
    """A residual block that writes in place over what came before, as torchvision's do."""

    def __init__(self, axes: int, channels: int) -> None:
        super().__init__()
        self.conv = CONVOLUTION[axes](channels, channels, 3, padding=1)
        self.norm = BATCHNORM[axes](channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(self.conv(x))
        out += x
        return self.relu(out)


class Net(nn.Module):
    """A small residual network with a bend behind the target layer, so that no map is trivial."""

    def __init__(self, axes: int, channels: int = 8) -> None:
        super().__init__()
        self.stem = CONVOLUTION[axes](3, channels, 3, stride=2, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.first, self.second, self.third = (Residual(axes, channels) for _ in range(3))
        self.hidden, self.readout = nn.Linear(channels, 16), nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.third(self.second(self.first(self.relu(self.stem(x)))))
        return self.readout(F.gelu(self.hidden(x.flatten(2).mean(-1))))


def made(axes: int, dtype: torch.dtype = torch.float64) -> tuple[Net, Tensor]:
    """Return a network with drawn weights and statistics, and two inputs."""
    draws = torch.Generator().manual_seed(axes)
    net = Net(axes).to(dtype)
    with torch.no_grad():
        for name, tensor in net.state_dict().items():
            if tensor.is_floating_point():
                drawn = torch.randn(tensor.shape, generator=draws, dtype=dtype)
                tensor.copy_(0.5 + drawn.abs() if "var" in name else 0.4 * drawn)
    return net, torch.randn((2, 3, *SIZES[axes]), generator=draws, dtype=dtype)


def loop(net: nn.Module, x: Tensor, layer: str, target: int, name: str) -> Tensor:
    """Return the map of one input (1, c, *spatial), the whole network run for every channel."""
    kept: list[Tensor] = []
    replaced: list[Tensor] = []

    def hook(_module, _args, output):
        kept.append(output.clone())
        return replaced[0] if replaced else None

    def score(inputs) -> float:
        with torch.no_grad():
            return net(inputs.clone())[0, target].item()

    def replay(activations) -> float:
        replaced[:] = [torch.from_numpy(activations)[None]]
        return score(x)

    net.eval()
    handle = net.get_submodule(layer).register_forward_hook(hook)
    try:
        y = score(x)
        a = kept[0][0].numpy()
        if name == "ablationcam":
            found = ablationcam.reference(a, a, score=y, replay=replay)
        else:
            found = scorecam.reference(
                a, a, inputs=x[0].numpy(), rescore=lambda array: score(torch.from_numpy(array)[None])
            )
    finally:
        handle.remove()
        net.train()
    return torch.from_numpy(found)


@pytest.mark.parametrize("layer", ["first", "second", "third"])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", ["ablationcam", "scorecam"])
def test_method_agrees_with_the_loop_over_the_whole_network(name, axes, layer):
    net, x = made(axes)
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    ex = hp.explain(net, x, target=[[0, 3], [4, 1]], method=name, layer=layer)
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())
    assert net.training
    for i, targets in enumerate([[0, 3], [4, 1]]):
        for j, target in enumerate(targets):
            expected = loop(net, x[i : i + 1], layer, target, name)
            torch.testing.assert_close(ex.maps[i, j], expected, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", ["ablationcam", "scorecam"])
def test_the_batch_size_changes_nothing(name):
    net, x = made(2)
    whole = hp.explain(net, x, target=2, method=name)
    for size in (1, 5):
        ex = hp.explain(net, x, target=2, method=partial(methods()[name].function, batch_size=size))
        torch.testing.assert_close(ex.maps, whole.maps, rtol=1e-9, atol=1e-12)
    one_by_one = hp.explain(net, x, target=2, method=name, batch_size=1)
    torch.testing.assert_close(one_by_one.maps, whole.maps, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["ablationcam", "eigengradcam"])
def test_scaling_the_head_scales_the_map(name):
    net, x = made(2)
    maps = hp.explain(net, x, target=1, method=name).maps
    with torch.no_grad():
        net.readout.weight *= 1e-4
        net.readout.bias *= 1e-4
    torch.testing.assert_close(hp.explain(net, x, target=1, method=name).maps, 1e-4 * maps, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", ["ablationcam", "scorecam"])
def test_a_constant_added_to_every_logit_changes_nothing(name):
    net, x = made(2)
    maps = hp.explain(net, x, target=1, method=name).maps
    with torch.no_grad():
        net.readout.bias -= 50
    torch.testing.assert_close(hp.explain(net, x, target=1, method=name).maps, maps, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["ablationcam", "scorecam"])
def test_an_error_in_the_middle_of_the_runs_leaves_nothing_behind(name):
    class Breaks(Net):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            Breaks.calls += 1
            if Breaks.calls > self.limit:
                raise RuntimeError("the power went out")
            return super().forward(x)

    net, x = made(2)
    breaking = Breaks(2).double()
    breaking.load_state_dict(net.state_dict())
    breaking.limit = 1 << 30
    explainer = hp.Explainer(breaking, method=partial(methods()[name].function, batch_size=1))
    expected = explainer(x, target=1).maps
    spent, Breaks.calls = Breaks.calls, 0
    hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in breaking.modules()]
    for limit in (spent // 2, spent - 1):
        breaking.limit, Breaks.calls = limit, 0
        with pytest.raises(RuntimeError, match="the power went out"):
            hp.explain(breaking, x, target=1, method=partial(methods()[name].function, batch_size=1))
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in breaking.modules()] == hooks
    breaking.limit, Breaks.calls = 1 << 30, 0
    assert torch.equal(explainer(x, target=1).maps, expected)


def test_ablation_replays_no_convolution_before_the_layer():
    net, x = made(2)
    runs = 0

    class Counted(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            nonlocal runs
            runs += 1
            return super().forward(x)

    counted = Counted(3, 8, 3, stride=2, padding=1).double()
    counted.load_state_dict(net.stem.state_dict())
    net.stem = counted
    explainer = hp.Explainer(net, layer="third", method=partial(methods()["ablationcam"].function, batch_size=1))
    explainer(x, target=1)
    assert runs <= 4  # for the trace, the capture, and what the replay keeps; not once per channel


class WritesItsInput(Net):
    """Normalizes what it is given in place, and looks at it again behind the target layer."""

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.3)
        scores = super().forward(x)
        return scores + x.flatten(1).mean(1, keepdim=True) * scores


class WritesAfter(Net):
    """Writes in place, behind the target layer, into what was computed before it."""

    def forward(self, x: Tensor) -> Tensor:
        early = self.first(self.relu(self.stem(x)))
        late = self.third(self.second(early))
        early.mul_(0.5).add_(late)
        return self.readout(F.gelu(self.hidden(early.flatten(2).mean(-1))))


class InsistsOnLayout(Net):
    """Takes views, behind the target layer, that only a tensor which lies densely in memory has."""

    def forward(self, x: Tensor) -> Tensor:
        early = self.first(self.relu(self.stem(x)))
        late = self.third(self.second(early))
        mixed = early.view(-1).view(late.shape) * late
        return self.readout(F.gelu(self.hidden(mixed.flatten(2).mean(-1))))


@pytest.mark.parametrize("kind", [WritesItsInput, WritesAfter, InsistsOnLayout])
def test_replays_of_one_input_share_what_is_not_written_to(kind):
    plain, x = made(2)
    net = kind(2).double()
    net.load_state_dict(plain.state_dict())
    kept = x.clone()
    ex = hp.explain(net, x, target=[[0, 3], [4, 1]], method="ablationcam", layer="third")
    assert torch.equal(x, kept)
    for i, targets in enumerate([[0, 3], [4, 1]]):
        for j, target in enumerate(targets):
            expected = loop(net, x[i : i + 1], "third", target, "ablationcam")
            torch.testing.assert_close(ex.maps[i, j], expected, rtol=1e-8, atol=1e-10)


def test_scorecam_on_several_inputs_says_why_not():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = made(2)[0]

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.net(left + right)

    _, x = made(2)
    with pytest.raises(MethodError, match=r"Score-CAM masks the input, but this network takes several tensors"):
        hp.explain(Two(), (x, x), target=0, method="scorecam")
    assert hp.explain(Two(), (x, x), target=0, method="ablationcam").maps.isfinite().all()


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", [name for name, plugin in methods().items() if plugin.module.startswith("heatproof.")])
def test_every_method_runs_on_every_number_of_axes(name, axes):
    net, x = made(axes, torch.float32)
    if name == "cam":
        with pytest.raises(MethodError, match="is not linear in the activations"):
            hp.explain(net, x, target=1, method=name, layer="third")
        return
    if name == "refinecam":
        with pytest.raises(MethodError, match="up to layer 'third' there is none"):
            hp.explain(net, x, target=1, method=name, layer="third")
        return
    if name in ("attention", "attention_rollout", "legrad"):
        with pytest.raises(MethodError, match="computes no attention weights"):
            hp.explain(net, x, target=1, method=name, layer="third")
        return
    ex = hp.explain(net, x, target=1, method=name, layer="third")
    assert ex.maps.shape[2:] == tuple((side + 1) // 2 for side in SIZES[axes])
    assert ex.maps.isfinite().all()
    assert (ex.maps.flatten(2).std(-1) > 0).all()
