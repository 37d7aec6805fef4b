"""Activations, gradients and scores against the whole graph, differentiated the plain way in float64."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.odd_models import Signal, Small, TwoInputs, UsesTwice, Volume, make, pictures, slow_maps
from torch import Tensor, nn

import heatproof as hp
from heatproof.capture import Batch, Engine
from heatproof.capture.engine import Resolver
from heatproof.explain import Explainer
from heatproof.models.targets import resolve
from heatproof.types import Capture


def wanted(targets: Any) -> Resolver:
    return lambda output, n: resolve(targets[:n], output, n, str, int)


def capture(net: nn.Module, x: Any, layer: Any, targets: list[list[int]]) -> list[Capture]:
    engine = Engine(net)
    batch = Batch.of(x, net)
    return engine.capture(batch, engine.layers(batch, layer, wanted(targets)), wanted(targets))[0]


class Tail(nn.Module):
    """A trunk, a target layer, and what comes after it."""

    def __init__(self, tail: Any) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.layer = nn.Conv2d(6, 4, 3, stride=2, padding=1)
        self.tail = tail
        self.fc = nn.LazyLinear(3)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.tail(self.layer(self.stem(x).relu())).flatten(1))


TAILS = {
    "pool": lambda a: a.mean((2, 3)),
    "in-place relu": lambda a: F.relu(a, inplace=True).mean((2, 3)),
    "in-place relu, then residual in place": lambda a: (F.relu(a, inplace=True) * 2).add_(a * 0.5).amax((2, 3)),
    "in-place arithmetic": lambda a: a.mul_(2).add_(1).sigmoid().mean((2, 3)),
    "softplus and max pooling": lambda a: F.max_pool2d(F.softplus(a), 2),
    "layer norm": lambda a: F.layer_norm(a, a.shape[1:]),
    "attention": lambda a: F.scaled_dot_product_attention(a.flatten(2), a.flatten(2), a.flatten(2)),
    "view and write into it": lambda a: a.flatten(1).clamp_(min=0).view_as(a) ** 2,
    "write into a slice": lambda a: a[:, :2].relu_().mean((2, 3)) + a[:, 2:].mean((2, 3)),
}


@pytest.mark.parametrize("name", TAILS)
def test_capture_equals_the_full_graph(name: str) -> None:
    torch.manual_seed(0)
    net = Tail(TAILS[name]).double().eval()
    x = pictures().double()
    net(x)
    targets = [[0, 1], [2, 0], [1, 1]]
    out_of_place = copy.deepcopy(net)
    a, g, y = slow_maps(out_of_place, x, "layer", targets)
    found = capture(net, x, "layer", targets)[0]
    torch.testing.assert_close(found.activations, a, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.gradients, g, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found.scores, y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("t", [1, 2, 5])
@pytest.mark.parametrize("layer", ["conv", "bn", "act", "conv2", "act2"])
def test_every_position_of_the_network(layer: str, t: int) -> None:
    """Also layers that write in place themselves: `bn` is followed, `act` is, an in-place ReLU."""
    torch.manual_seed(1)
    net = Small(classes=5).double().eval()
    twin = copy.deepcopy(net)
    twin.act.inplace = twin.act2.inplace = False
    x = pictures().double()
    targets = [[(i + j) % 5 for j in range(t)] for i in range(3)]
    a, g, y = slow_maps(twin, x, layer, targets)
    found = capture(net, x, layer, targets)[0]
    torch.testing.assert_close(found.activations, a, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(found.gradients, g, rtol=1e-10, atol=1e-14)
    torch.testing.assert_close(found.scores, y, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("net", "x", "layer"), [
    (Signal(), torch.rand(3, 2, 33), "body.0"),
    (Signal(), torch.rand(3, 2, 33), "body.2"),
    (Volume(), torch.rand(3, 1, 9, 11, 14), "body.0"),
    (Volume(), torch.rand(3, 1, 9, 11, 14), "body.2"),
], ids=["1-D early", "1-D late", "3-D early", "3-D late"])  # fmt: skip
def test_other_dimensions(net: nn.Module, x: Tensor, layer: str) -> None:
    net, x = net.double().eval(), x.double()
    twin = copy.deepcopy(net)
    twin.body[1] = nn.ReLU()
    targets = [[0], [1], [3]]
    a, g, y = slow_maps(twin, x, layer, targets)
    found = capture(net, x, layer, targets)[0]
    torch.testing.assert_close(found.activations, a)
    torch.testing.assert_close(found.gradients, g)
    torch.testing.assert_close(found.scores, y)


def test_list_of_sequential_layers_gets_total_gradients() -> None:
    """The gradient at an earlier layer goes through the later one, and is not cut there."""
    net = Small().double().eval()
    twin = copy.deepcopy(net)
    twin.act.inplace = twin.act2.inplace = False
    x, targets = pictures().double(), [[0, 3], [1, 2], [2, 2]]
    found = capture(net, x, ["conv", "conv2", "act"], targets)
    for layer, one in zip(["conv", "conv2", "act"], found, strict=True):
        a, g, _ = slow_maps(twin, x, layer, targets)
        torch.testing.assert_close(one.activations, a)
        torch.testing.assert_close(one.gradients, g)


@pytest.mark.parametrize("layers", [["left", "right"], ["right", "left"], ["right", "join", "left"]])
def test_list_of_parallel_layers(layers: list[str]) -> None:
    net = TwoInputs().double().eval()
    x = (pictures().double(), pictures(seed=4)[:, :1].double())
    targets = [[0], [1], [2]]
    found = capture(net, x, layers, targets)
    for layer, one in zip(layers, found, strict=True):
        held: dict[str, Tensor] = {}
        handle = net.get_submodule(layer).register_forward_hook(lambda m, i, out, held=held: held.update(a=out))
        scores = net(*x)[range(3), [0, 1, 2]]
        handle.remove()
        torch.testing.assert_close(one.activations, held["a"].detach())
        torch.testing.assert_close(one.gradients[:, 0], torch.autograd.grad(scores.sum(), held["a"])[0])


def test_a_module_used_twice_is_captured_at_its_last_call_or_at_the_one_named() -> None:
    net = UsesTwice().double().eval()
    x, targets = pictures().double(), [[0], [1], [2]]
    outputs: list[Tensor] = []
    handle = net.block.register_forward_hook(lambda m, i, out: outputs.append(out))
    scores = net(x)[range(3), [0, 1, 2]].sum()
    handle.remove()
    for name, wanted_output in (("block", outputs[1]), ("block#2", outputs[1]), ("block#1", outputs[0])):
        found = capture(net, x, name, targets)[0]
        torch.testing.assert_close(found.activations, wanted_output.detach())
        gradient = torch.autograd.grad(scores, wanted_output, retain_graph=True)[0]
        torch.testing.assert_close(found.gradients[:, 0], gradient)
        assert found.layer == name.removesuffix("#2")


def test_a_tail_operation_that_cannot_be_batched() -> None:
    class Cube(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Tensor) -> Tensor:
            ctx.save_for_backward(a)
            return a**3

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Tensor:
            (a,) = ctx.saved_tensors
            return torch.from_numpy(grads[0].numpy() * 3 * a.numpy() ** 2)  # leaves torch

    net = Tail(lambda a: Cube.apply(a).mean((2, 3))).double().eval()
    x, targets = pictures().double(), [[0, 1], [2, 0], [1, 1]]
    net(x)
    twin = copy.deepcopy(net)
    twin.tail = lambda a: (a**3).mean((2, 3))
    _, g, _ = slow_maps(twin, x, "layer", targets)
    torch.testing.assert_close(capture(net, x, "layer", targets)[0].gradients, g)


@pytest.mark.parametrize("name", ["trunk without grad", "whole without grad"])
def test_forward_that_switches_recording_off(name: str) -> None:
    net = make(name).double().eval()
    twin = make("plain").double().eval()
    twin.load_state_dict(net.state_dict())
    twin.act.inplace = twin.act2.inplace = False
    x, targets = pictures().double(), [[0, 1], [1, 2], [2, 3]]
    for layer in ("act2", "conv2", "bn", "conv"):
        _, g, _ = slow_maps(twin, x, layer, targets)
        if name == "trunk without grad" and layer in ("bn", "conv"):
            with pytest.raises(hp.HeatproofError, match="No gradient flows"):  # cut again after `act`
                capture(net, x, layer, targets)
        else:
            torch.testing.assert_close(capture(net, x, layer, targets)[0].gradients, g)


def test_trunk_is_not_recorded_and_parameters_get_no_gradient() -> None:
    """A peak memory proxy: what autograd saves for the backward is nothing from before the layer."""
    net = Small().eval()
    engine, batch = Engine(net), Batch.of(pictures(), net)
    layers = engine.layers(batch, "conv2", wanted([[1]] * 3))
    saved: list[tuple[int, ...]] = []
    recorded: dict[str, bool] = {}

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tuple(tensor.shape))
        return tensor

    for name in ("conv", "bn", "act", "conv2", "act2", "fc"):
        net.get_submodule(name).register_forward_hook(
            lambda m, i, out, name=name: recorded.__setitem__(name, out.requires_grad)
        )
    layers = engine.layers(batch, "conv2", wanted([[1]] * 3))
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        engine.capture(batch, layers, wanted([[1]] * 3))
    assert recorded == {"conv": False, "bn": False, "act": False, "conv2": False, "act2": True, "fc": True}
    assert (3, 6, 10, 12) not in saved  # the trunk's activations
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gives_float32_maps_near_those_of_float32(dtype: torch.dtype) -> None:
    net = make("plain", train=False)
    exact = hp.explain(net, pictures(), target=2, layer="act2")
    half = hp.explain(copy.deepcopy(net).to(dtype), pictures(), target=2, layer="act2")
    assert half.maps.dtype == half.scores.dtype == torch.float32
    torch.testing.assert_close(half.maps, exact.maps, rtol=0.1, atol=0.02 * float(exact.maps.abs().max()))
    assert not torch.equal(half.maps, exact.maps)


def test_autocast_of_the_caller_is_used_and_left_alone() -> None:
    net = make("plain", train=False)
    exact = hp.explain(net, pictures(), target=2, layer="act2")
    explainer = Explainer(net, layer="act2")
    with torch.autocast("cpu", torch.bfloat16):
        half = explainer(pictures(), target=2)
        loss = net(pictures()).sum()  # weights cast by us without a graph must not be served to the caller
    loss.backward()
    assert all(p.grad is not None for p in net.parameters())
    assert half.maps.dtype == torch.float32
    assert not torch.equal(half.scores, exact.scores)
    torch.testing.assert_close(half.maps, exact.maps, rtol=0.1, atol=0.02 * float(exact.maps.abs().max()))


def test_maps_are_not_computed_in_half_precision_under_autocast() -> None:
    seen: list[torch.dtype] = []

    def method(capture: Capture) -> Tensor:
        seen.append((capture.activations.float().flatten(2) @ capture.activations.float().flatten(2).mT).dtype)
        return capture.activations.mean(1, keepdim=True).float()

    with torch.autocast("cpu", torch.bfloat16):
        hp.explain(make("plain", train=False), pictures(), method=method)
    assert seen == [torch.float32]


@pytest.mark.parametrize("mode", ["no_grad", "inference_mode", "input from inference mode", "input requires grad"])
@pytest.mark.parametrize("net_name", ["plain", "in-place input", "buffers from inference mode"])
def test_callers_modes_make_no_difference(mode: str, net_name: str) -> None:
    net, x = make(net_name, train=False), pictures()
    expected = Explainer(net)(x, target=[[0, 1]] * 3)
    explainer = Explainer(net)
    for _ in range(2):
        if mode == "no_grad":
            with torch.no_grad():
                found = explainer(x, target=[[0, 1]] * 3)
        elif mode == "inference_mode":
            with torch.inference_mode():
                found = explainer(x, target=[[0, 1]] * 3)
        elif mode == "input from inference mode":
            with torch.inference_mode():
                y = x.clone()
            found = explainer(y, target=[[0, 1]] * 3)
        else:
            found = explainer(x.clone().requires_grad_(), target=[[0, 1]] * 3)
        assert torch.equal(found.maps, expected.maps)
        assert not found.maps.is_inference()
        assert not found.maps.requires_grad
    assert torch.equal(explainer(x, target=[[0, 1]] * 3).maps, expected.maps)  # and after it, outside


def test_parameters_made_under_inference_mode_get_a_sentence() -> None:
    with torch.inference_mode():
        net = Small()
    with pytest.raises(hp.HeatproofError, match=r"made under torch\.inference_mode"):
        hp.explain(net, pictures())


def test_channels_last_gives_the_same() -> None:
    net = make("plain", train=False)
    expected = hp.explain(net, pictures(), target=1)
    last = net.to(memory_format=torch.channels_last)
    found = hp.explain(last, pictures().contiguous(memory_format=torch.channels_last), target=1)
    torch.testing.assert_close(found.maps, expected.maps)
    assert found.layer == expected.layer


def test_inputs_of_another_type_are_converted() -> None:
    net = make("plain", train=False)
    torch.testing.assert_close(
        hp.explain(net, pictures().double(), target=1).maps, hp.explain(net, pictures(), target=1).maps
    )


@pytest.mark.parametrize("kind", ["tuple", "dict", "dict with a number"])
def test_several_inputs(kind: str) -> None:
    net = TwoInputs().eval()
    image, depth = pictures(), pictures(seed=3)[:, :1]
    x: Any = {
        "tuple": (image, depth),
        "dict": {"depth": depth, "image": image},
        "dict with a number": {"image": image, "depth": depth, "scale": 2.0},
    }[kind]
    found = hp.explain(net, x, target=[0, 1, 2], layer="join")
    singles = [
        hp.explain(
            net,
            tuple(v[i : i + 1] for v in x)
            if isinstance(x, tuple)
            else {k: v[i : i + 1] if isinstance(v, Tensor) else v for k, v in x.items()},
            target=i,
            layer="join",
        )
        for i in range(3)
    ]
    torch.testing.assert_close(found.maps, torch.cat([s.maps for s in singles]))
    with torch.no_grad():
        y = net(image, depth, 2.0 if "number" in kind else 1.0)
    torch.testing.assert_close(found.scores[:, 0], y[range(3), range(3)])


def test_frozen_networks_and_networks_without_parameters() -> None:
    plain, icy = make("plain", train=False), make("plain", train=False).requires_grad_(False)
    assert torch.equal(hp.explain(plain, pictures(), target=1).maps, hp.explain(icy, pictures(), target=1).maps)
    found = hp.explain(make("no parameters"), pictures(), target=1, layer="edges", method="hirescam")
    a = F.avg_pool2d(pictures(), 2)
    # y_1 = mean(a_1 |a_1|), so dy/da_1 = 2 |a_1| / Z and the map is 2 a_1 |a_1| / Z
    torch.testing.assert_close(found.maps[:, 0], 2 * a[:, 1] * a[:, 1].abs() / a[0, 0].numel())


@pytest.mark.parametrize("wrapper", ["compile", "net.compile", "DataParallel", "compile of DataParallel", "run first"])
def test_wrappers(wrapper: str) -> None:
    net = make("plain", train=False)
    expected = hp.explain(net, pictures(), target=1, layer="conv2")
    wrapped: Any = copy.deepcopy(net)
    if wrapper == "DataParallel":
        wrapped = nn.DataParallel(wrapped)
    elif wrapper == "net.compile":
        wrapped.compile(backend="eager")
    elif wrapper == "compile of DataParallel":
        wrapped = torch.compile(nn.DataParallel(wrapped), backend="eager")
    else:
        wrapped = torch.compile(wrapped, backend="eager")
    if wrapper in ("run first", "net.compile"):
        wrapped(pictures())
    inner = wrapped
    while not isinstance(inner, Small):
        inner = inner.module if isinstance(inner, nn.DataParallel) else inner._orig_mod
    for layer in ("conv2", "_orig_mod.conv2", "module.conv2", inner.conv2):
        found = hp.explain(wrapped, pictures(), target=1, layer=layer)
        assert torch.equal(found.maps, expected.maps)
        assert found.layer == "conv2"
    hp.quick_checks(hp.explain(wrapped, pictures(), target=1))
    with torch.no_grad():
        torch.testing.assert_close(wrapped(pictures()), net(pictures()))


def test_compiled_submodule_with_a_lock_in_it() -> None:
    net = make("plain", train=False)
    expected = hp.explain(net, pictures(), target=1, layer="conv2")
    inner = net.conv2
    inner.lock = make("locks and generators").lock
    net.conv2 = torch.compile(inner, backend="eager")
    for layer in ("conv2", net.conv2, inner, "conv2._orig_mod"):
        assert torch.equal(hp.explain(net, pictures(), target=1, layer=layer).maps, expected.maps)


def test_a_layer_that_is_called_module() -> None:
    class Holder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = make("plain", train=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.module(x)

    assert hp.explain(Holder(), pictures(), layer="module.conv2").layer == "module.conv2"


def test_both_names_of_one_module_are_known() -> None:
    net = UsesTwice()
    assert torch.equal(
        hp.explain(net, pictures(), layer="again").maps, hp.explain(net, pictures(), layer="block.0").maps
    )


def test_writing_over_what_the_gradient_needs_gets_a_sentence() -> None:
    net = Tail(lambda a: a.sigmoid().mul_(2).mean((2, 3)))
    net(pictures())
    with pytest.raises(hp.HeatproofError, match="writes in place over what the gradient needs"):
        hp.explain(net, pictures(), layer="layer")
