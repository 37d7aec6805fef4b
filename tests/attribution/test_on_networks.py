"""Attributions on networks with manners of their own, and what is said where there can be no map."""

import warnings
from importlib import import_module

import pytest
import torch
import torch.nn.functional as F
from tests.attribution.opened import draw, opened, rectifying
from torch import Tensor, nn

import heatproof as hp
from heatproof.attribution import method, methods
from heatproof.capture.rectify import Rectified
from heatproof.errors import ExplainError, HeatproofWarning, MethodError

METHODS = methods()
NEED_GRADIENTS = [
    *("gradient", "input_x_gradient", "smoothgrad", "integrated_gradients"),
    *("guided_backprop", "deconvnet", "fullgrad", "guided_gradcam"),
]
NEED_NONE = [name for name in METHODS if name not in NEED_GRADIENTS]
FEWER = {"rise": {"masks": 10}, "smoothgrad": {"copies": 2}, "integrated_gradients": {"steps": 3}}


def explain(name: str, subject) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeatproofWarning)
        return METHODS[name].function(subject, **FEWER.get(name, {}))


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("Saliency", "gradient"),
        ("InputXGradient", "input_x_gradient"),
        ("IntegratedGradients", "integrated_gradients"),
        ("IG", "integrated_gradients"),
        ("GuidedBackprop", "guided_backprop"),
        ("Deconvolution", "deconvnet"),
        ("GuidedGradCam", "guided_gradcam"),
        ("Guided Grad-CAM", "guided_gradcam"),
        ("Full-Grad", "fullgrad"),
        ("SmoothGrad", "smoothgrad"),
        ("rise", "rise"),
    ],
)
def test_spellings_of_the_peers(spelling, name):
    assert method(spelling).name == name


def test_an_unknown_attribution_names_the_nearest():
    with pytest.raises(MethodError, match="no attribution 'gradients'; did you mean 'gradient'"):
        method("gradients")


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = rectifying(2)

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return self.net(left + right)


def test_several_input_tensors_are_refused():
    x = draw(2, dtype=torch.float32)
    with pytest.raises(MethodError, match="takes several and it is not clear which one to explain; use a CAM"):
        opened(Two(), (x, x))


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = rectifying(1)
        self.table = nn.Embedding(9, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.net(self.table(x[:, 0]).transpose(1, 2))


def test_whole_numbers_are_refused():
    with pytest.raises(MethodError, match=r"small steps, which torch\.int64 does not allow"):
        opened(Tokens(), torch.ones(2, 1, 8, dtype=torch.int64))


class Blocked(nn.Module):
    """A trunk without gradients below a head that has them."""

    def __init__(self) -> None:
        super().__init__()
        self.net = rectifying(2)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.net[:3](x)
        return self.net[3:](x)


@pytest.mark.parametrize("name", NEED_GRADIENTS)
def test_a_network_that_blocks_gradients_gets_a_sentence(name):
    with pytest.raises(ExplainError, match=r"No gradient flows from the score back to the input.* occlusion, rise"):
        explain(name, opened(Blocked(), draw(2, dtype=torch.float32), layer="net.3"))


@pytest.mark.parametrize("name", NEED_NONE)
def test_a_network_that_blocks_gradients_is_explained_without(name):
    x = draw(2, dtype=torch.float32)
    maps = explain(name, opened(Blocked(), x, layer="net.3"))
    torch.testing.assert_close(maps, explain(name, opened(rectifying(2), x)))


class InPlace(nn.Module):
    """Normalizes what it is given in place, and adds in place before its ReLU, which is in place, too."""

    def __init__(self) -> None:
        super().__init__()
        self.net = rectifying(2).double()

    def forward(self, x: Tensor) -> Tensor:
        x.sub_(0.1).mul_(2)
        y = self.net[0](x)
        y += 0.25
        return self.net[6](F.relu_(self.net[3](F.relu(y, inplace=True))).flatten(1))


class OutOfPlace(InPlace):
    def forward(self, x: Tensor) -> Tensor:
        y = self.net[0]((x - 0.1) * 2) + 0.25
        return self.net[6](self.net[3](y.relu()).relu().flatten(1))


@pytest.mark.parametrize("name", METHODS)
def test_what_is_written_in_place_changes_nothing(name):
    x = draw(2)
    kept = x.clone()
    maps = explain(name, opened(InPlace(), x, layer="net.3"))
    assert torch.equal(x, kept)
    torch.testing.assert_close(maps, explain(name, opened(OutOfPlace(), x, layer="net.3")))


def test_hooks_of_the_user_run_once_and_count():
    net, x = rectifying(2).double(), draw(2)
    plain = explain("gradient", opened(net, x))
    calls = []
    net[0].register_forward_hook(lambda _m, _a, out: calls.append(1) or None)
    torch.testing.assert_close(explain("gradient", opened(net, x)), plain)
    assert len(calls) == 1
    net[0].register_forward_hook(lambda _m, _a, out: 2 * out)
    doubled = explain("gradient", opened(net, x))
    assert not torch.allclose(doubled, plain)
    leaf = x.clone().requires_grad_()
    expected = torch.autograd.grad(net(leaf)[0, 0], leaf)[0].sum(1)
    torch.testing.assert_close(doubled[0, 0], expected[0])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("name", METHODS)
def test_the_callers_mode_changes_nothing(name, mode):
    net, x = rectifying(2).double(), draw(2)
    expected = explain(name, opened(net, x))
    with mode():
        found = explain(name, opened(net, x))
    torch.testing.assert_close(found.clone(), expected)


def test_fullgrad_says_where_it_is_not_exact():
    net = rectifying(2).double()
    net[2] = nn.Sigmoid()
    with pytest.warns(HeatproofWarning, match="FullGrad is exact for networks of ReLUs; here the shares of a score"):
        METHODS["fullgrad"].function(opened(net, draw(2)))


class ChannelsLast(nn.Module):
    """The network of `rectifying`, its second convolution a linear layer at every place of (n, h, w, c)."""

    def __init__(self) -> None:
        super().__init__()
        self.net = rectifying(2).double()
        self.linear = nn.Linear(3, 4).double()

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(self.net[:3](x).movedim(1, -1)).relu().movedim(-1, 1)
        return self.net[6](y.flatten(1))


def test_fullgrad_places_biases_of_channels_last():
    net, x = ChannelsLast(), draw(2)
    twin = rectifying(2).double()
    twin[3] = nn.Conv2d(3, 4, 1).double()
    with torch.no_grad():
        twin[3].weight.copy_(net.linear.weight[..., None, None])
        twin[3].bias.copy_(net.linear.bias)
    found = METHODS["fullgrad"].function(opened(net, x, layer="net.0"))
    torch.testing.assert_close(found, METHODS["fullgrad"].function(opened(twin, x)))


def test_units_are_known_to_the_caption():
    assert {getattr(import_module(p.module), "UNITS", None) for p in METHODS.values()} == {
        "score",
        "score per input",
        "none",
    }


def test_an_exported_program_keeps_its_relus():
    net, x = rectifying(2).double(), draw(2)
    expected = METHODS["guided_backprop"].function(opened(net, x))
    exported = torch.export.export(net, (x,)).module()
    leaf = x.clone().requires_grad_()
    with Rectified("guided") as mode:
        score = exported(leaf)
    assert mode.rectified == 2
    found = torch.autograd.grad(score.gather(1, torch.tensor([[0], [1], [2]])).sum(), leaf)[0].sum(1)
    torch.testing.assert_close(found, expected[:, 0])


def test_a_map_names_the_layer_that_it_was_built_on():
    torch.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)),
    )
    found = hp.explain(net, torch.rand(1, 3, 9, 9), 1, method=["gradcam", "gradient", "guided_gradcam"], layer="1")
    assert [ex.layer for ex in found.values()] == ["1", "input", "1"]
    assert hp.explain(net, torch.rand(1, 3, 9, 9), 1, method="guided_gradcam").layer == "3"
