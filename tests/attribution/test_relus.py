"""Guided backpropagation and deconvnets find ReLUs however they are called, and say where there are none."""

import threading
import warnings

import pytest
import torch
import torch.nn.functional as F
from tests.attribution.opened import draw, opened
from torch import Tensor, nn

from heatproof.attribution import methods
from heatproof.errors import HeatproofWarning

RULES = ("guided_backprop", "deconvnet")
SPELLINGS = {
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "F.relu_": F.relu_,
    "F.relu by name": lambda x: F.relu(input=x),
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "Tensor.relu": lambda x: x.relu(),
    "Tensor.relu_": lambda x: x.relu_(),
    "in place, result thrown away": lambda x: (F.relu(x, inplace=True), x)[1],
    "clamp": lambda x: x.clamp(min=0),
    "clamp, positional": lambda x: torch.clamp(x, 0.0),
    "clamp_": lambda x: x.clamp_(min=0),
    "clamp_min": lambda x: torch.clamp_min(x, 0),
    "clip": lambda x: x.clip(0),
    "threshold": lambda x: F.threshold(x, 0, 0),
    "nn.Threshold": nn.Threshold(0, 0),
    "nn.Threshold in place": nn.Threshold(0, 0, inplace=True),
    "hardtanh, high enough": nn.ReLU6(),
    "relu6, in place": nn.ReLU6(inplace=True),
    "aten": torch.ops.aten.relu,
    "aten overload": torch.ops.aten.relu.default,
}


class Net(nn.Module):
    def __init__(self, activation, seed: int = 0) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.second, self.last = nn.Conv2d(2, 5, 3), nn.Conv2d(5, 4, 3, padding=1), nn.Linear(4, 4)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.first(x))
        y = self.activation(self.second(x)) + 0.5
        y *= 1.5  # written into after the ReLU
        return self.last(y.mean((2, 3)) + x.mean((2, 3))[:, :4])


def by_hand(net: Net, x: Tensor, target: int, rule: str) -> Tensor:
    """Return the rule's map, with an autograd function at every ReLU."""

    class Rule(torch.autograd.Function):
        @staticmethod
        def forward(ctx, z):
            ctx.save_for_backward(z)
            return z.clamp(min=0)

        @staticmethod
        def backward(ctx, r):
            (z,) = ctx.saved_tensors
            return r * (r > 0) * ((z > 0) if rule == "guided_backprop" else 1)

    twin = Net(Rule.apply).double()
    twin.load_state_dict(net.state_dict())
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(twin(leaf)[:, target].sum(), leaf)[0].sum(1)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("rule", RULES)
def test_every_spelling_of_a_relu_is_found(rule, spelling):
    net, x = Net(SPELLINGS[spelling]).double(), draw(2)
    maps = methods()[rule].function(opened(net, x, [[1, 2]] * 3))
    for j, target in enumerate((1, 2)):
        torch.testing.assert_close(maps[:, j], by_hand(net, x, target, rule))
    plain = methods()["gradient"].function(opened(net, x, [[1, 2]] * 3))
    assert not torch.allclose(plain, maps)


@pytest.mark.parametrize("rule", RULES)
def test_several_targets_equal_one_after_the_other(rule):
    net, x = Net(F.relu).double(), draw(2)
    both = methods()[rule].function(opened(net, x, [[0, 3]] * 3))
    for j, target in enumerate((0, 3)):
        torch.testing.assert_close(both[:, j : j + 1], methods()[rule].function(opened(net, x, [[target]] * 3)))


@pytest.mark.parametrize(
    ("activation", "told"),
    [
        (F.gelu, "only gelu"),
        (nn.SiLU(), "only silu"),
        (nn.LeakyReLU(0.1), "only leaky_relu"),
        (lambda x: x.clamp(min=0.1), "No ReLU was seen in this network:"),
        (lambda x: F.threshold(x, 0.5, 0), "No ReLU was seen in this network:"),
        (lambda x: x.clamp(0, 1), "No ReLU was seen"),
        (lambda x: x * (x > 0), "No ReLU was seen"),
    ],
)
@pytest.mark.parametrize("rule", RULES)
def test_without_a_relu_it_is_the_gradient_and_says_so(rule, activation, told):
    subject = opened(Net(activation).double(), draw(2))
    with pytest.warns(HeatproofWarning, match=told):
        maps = methods()[rule].function(subject)
    assert torch.equal(maps, methods()["gradient"].function(subject))


class Mixed(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.gelu(self.second(F.relu(self.first(x)))).mean((2, 3)))


@pytest.mark.parametrize(
    ("rule", "told"), [("guided_backprop", "Guided backpropagation has"), ("deconvnet", "The deconvolutional network")]
)
def test_what_stays_plain_is_told_once(rule, told):
    subject = opened(Mixed(None).double(), draw(2))
    with pytest.warns(HeatproofWarning, match=f"{told}.* ReLUs only; gelu of this network stay") as seen:
        methods()[rule].function(subject, batch_size=1)
    assert len(seen) == 1


def test_other_threads_keep_their_gradients():
    net, x = Net(F.relu).double(), draw(2)
    subject = opened(net, x)
    plain = methods()["gradient"].function(subject)
    stop = threading.Event()

    def guide() -> None:
        while not stop.is_set():
            methods()["guided_backprop"].function(subject)

    thread = threading.Thread(target=guide)
    thread.start()
    try:
        assert all(torch.equal(methods()["gradient"].function(subject), plain) for _ in range(30))
        leaf = x.clone().requires_grad_()
        mine = torch.autograd.grad(net(leaf).sum(), leaf)[0]
        other = torch.autograd.grad(net(leaf).sum(), leaf)[0]
        assert torch.equal(mine, other)
    finally:
        stop.set()
        thread.join()


def test_a_whole_network_of_torchvision():
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    net = models.mobilenet_v2(num_classes=5).double()  # ReLU6
    x = torch.rand(1, 3, 32, 32, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        guided = methods()["guided_backprop"].function(opened(net, x, [[2]]))
    expected = _hooked(net.eval(), x)
    torch.testing.assert_close(guided, expected)


def _hooked(net: nn.Module, x: Tensor) -> Tensor:
    """Return guided backpropagation by the usual trick of backward hooks on modules that are not in place."""
    for module in net.modules():
        if isinstance(module, nn.ReLU6):
            module.inplace = False
            module.register_full_backward_hook(lambda _m, below, above: (below[0] * (above[0] > 0),))
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(net(leaf)[:, 2].sum(), leaf)[0].sum(1, keepdim=True)
