"""Replays against the whole forward with the layer's output replaced by a plain hook."""

import warnings
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.odd_models import Residual, UsesTwice, make, pictures
from torch import Tensor, nn

import heatproof as hp
from heatproof.capture import Batch, Engine
from heatproof.models.targets import resolve
from heatproof.types import Capture

TARGETS = [[0, 1], [1, 2], [3, 0]]


def capture(net: nn.Module, x: Any, layer: str) -> Capture:
    engine, batch = Engine(net), Batch.of(x, net)

    def wanted(output: Any, n: int) -> Any:
        return resolve(TARGETS[:n], output, n, str, int)

    return engine.capture(batch, engine.layers(batch, layer, wanted), wanted)[0][0]


def slow_replay(net: nn.Module, x: Tensor, layer: str, activations: Tensor, rows: list[int]) -> Tensor:
    name, _, number = layer.partition("#")
    calls = 0

    def hook(_module: nn.Module, _args: Any, output: Tensor) -> Tensor | None:
        nonlocal calls
        calls += 1
        if number and calls != int(number):
            return None
        return activations.clone()

    handle = net.get_submodule(name).register_forward_hook(hook)
    with torch.no_grad():
        out = net(x[rows])
    handle.remove()
    return torch.stack([out[i, TARGETS[r]] for i, r in enumerate(rows)])


class Inner(nn.Module):
    """One module inside a skipped call, as the layer itself, and after it."""

    def __init__(self) -> None:
        super().__init__()
        self.mix, self.fc = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 4)
        self.pair = nn.Sequential(self.mix, nn.ReLU(), self.mix)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.mix(self.mix(self.pair(x)).sigmoid()).mean((2, 3)))


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> list[Tensor]:
        a = self.a(x).relu()
        return [a, self.b(a)]


class Skips(nn.Module):
    """A U-Net in small: skip connections around the target layer, taken off the encoder's own list."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.middle = Encoder(), nn.Conv2d(4, 4, 3, padding=1)
        self.out, self.fc = nn.Conv2d(8, 5, 3), nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        features = self.encoder(x)
        deep = F.interpolate(self.middle(features.pop()), size=x.shape[2:])
        return self.fc(self.out(torch.cat([deep, features.pop()], 1)).relu_().mean((2, 3)))


class KeepsOnSelf(nn.Module):
    """Its encoder leaves the skip connection on itself instead of returning it."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.keep = Keep()
        self.middle, self.fc = nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        deep = self.middle(self.keep(self.encoder(x)[-1]))
        return self.fc((deep + self.keep.kept).mean((2, 3)))


class Keep(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        self.kept = x * 2
        return x


class MergesViews(nn.Module):
    """Folds two views into the batch axis: what its trunk returns has 2 n rows."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.fuse = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        views = self.trunk(torch.stack([x, x.flip(-1)], 1).flatten(0, 1)).unflatten(0, (-1, 2))
        return self.fc(self.fuse(views.amax(1)).relu().mean((2, 3)) + views.mean((1, 3, 4)))


def seeded(kind: type[nn.Module]) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return kind()


@pytest.mark.parametrize(("net", "layer", "falls_back"), [
    ("plain", "conv", False),
    ("plain", "conv2", False),
    ("plain", "act2", False),
    (Residual, "one", False),
    (Residual, "two", False),
    (Residual, "act#2", False),
    (UsesTwice, "block", False),
    (UsesTwice, "block#1", False),
    (UsesTwice, "again#3", False),
    (Inner, "mix#3", False),
    (Inner, "mix#4", False),
    (Inner, "mix#2", False),
    (Skips, "middle", False),
    (Skips, "out", False),
    (KeepsOnSelf, "middle", True),
    (MergesViews, "fuse", True),
    ("old weight_norm", "conv2", False),
    ("patched whole", "conv2", False),
    ("patched by global", "conv2", False),
    ("counts in buffers", "conv2", False),
    ("user hooks", "conv2", False),
])  # fmt: skip
@pytest.mark.parametrize("rows", [[0, 1, 2], [2, 0], [1], [2, 2, 0, 1, 1, 0]], ids=str)
def test_replay_equals_a_forward_with_a_replaced_output(
    net: str | type[nn.Module], layer: str, falls_back: bool, rows: list[int]
) -> None:
    net = (make(net) if isinstance(net, str) else seeded(net)).double()
    x = pictures().double()
    found = capture(net, x, layer)
    changed = (
        found.activations[rows] * torch.linspace(0.2, 2, len(rows), dtype=torch.float64).reshape(-1, 1, 1, 1) - 0.1
    )
    kept = changed.clone()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        replayed = found.replay(changed, torch.tensor(rows))
        again = found.replay(changed, torch.tensor(rows))
    assert [w.category for w in caught] == [hp.HeatproofWarning] * falls_back
    assert torch.equal(changed, kept)  # in-place ReLUs after the layer do not write into what was given
    torch.testing.assert_close(again, replayed, rtol=0, atol=0)
    wanted = slow_replay(net.eval(), x, layer, changed, rows)
    torch.testing.assert_close(replayed, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("net", [make("plain"), seeded(Residual), seeded(Skips)])
def test_what_comes_before_does_not_run_again(net: nn.Module) -> None:
    ran: list[str] = []

    class Spy(nn.Module):
        def __init__(self, name: str, inner: nn.Module) -> None:
            super().__init__()
            self.name, self.inner = name, inner

        def forward(self, x: Tensor) -> Any:
            ran.append(self.name)
            return self.inner(x)

    layer = {"Small": "conv2", "Residual": "two", "Skips": "middle"}[type(net).__name__]
    for name, child in list(net.named_children()):
        if name != layer:
            setattr(net, name, Spy(name, child))
    found = capture(net, pictures(), layer)
    rows = torch.tensor([0, 2])
    found.replay(found.activations[rows], rows)
    ran.clear()
    found.replay(found.activations[rows], rows)
    assert (
        ran == {"Small": ["act2", "drop", "fc"], "Residual": ["act", "fc"], "Skips": ["out", "fc"]}[type(net).__name__]
    )


def test_control_flow_on_skipped_values_falls_back_with_a_warning() -> None:
    class Branches(type(make("plain"))):
        def forward(self, x: Tensor) -> Tensor:
            a = self.bn(self.conv(x))
            factor = 2.0 if len(a) > 2 and float(a[0].mean()) != float(a[1].mean()) else 1.0
            return self.fc(self.conv2(a).mean((2, 3)) * factor)

    net = Branches().double().eval()
    found = capture(net, pictures().double(), "conv2")
    rows = torch.tensor([1, 1, 1])
    changed = found.activations[rows]
    expected = slow_replay(net, pictures().double(), "conv2", changed, [1, 1, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", hp.HeatproofWarning)
        torch.testing.assert_close(found.replay(changed, rows), expected)


def test_user_hooks_do_not_run_again_in_replays() -> None:
    net, ran = make("plain"), []
    for name, module in net.named_modules():
        module.register_forward_hook(lambda m, i, o, name=name: ran.append(name))
    found = capture(net, pictures(), "conv2")
    ran.clear()
    rows = torch.tensor([0, 1])
    found.replay(found.activations[rows], rows)
    assert found.inputs is not None
    found.rescore(found.inputs[rows], rows)
    assert ran == []


def test_replay_under_inference_mode() -> None:
    net = make("plain")
    found = capture(net, pictures(), "conv2")
    rows = torch.tensor([2, 0])
    expected = found.replay(found.activations[rows], rows)
    fresh = capture(net, pictures(), "conv2")
    with torch.inference_mode():
        assert torch.equal(fresh.replay(fresh.activations[rows] * 1.0, rows), expected)


def test_replay_of_tokens_and_rescore() -> None:
    class Tokens(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patch = nn.Conv2d(3, 6, 2, stride=2)
            self.cls = nn.Parameter(torch.randn(1, 1, 6))
            self.norm, self.mix, self.head = nn.LayerNorm(6), nn.Linear(6, 6), nn.Linear(6, 4)

        def forward(self, x: Tensor) -> Tensor:
            tokens = torch.cat([self.cls.expand(len(x), -1, -1), self.patch(x).flatten(2).mT], 1)
            tokens = self.mix(self.norm(tokens)).relu()
            return self.head(tokens[:, 0] + tokens.mean(1))

    net = seeded(Tokens).double()
    x = pictures().double()
    found = capture(net, x, "norm")
    assert found.activations.shape == (3, 6, 5, 6)
    rows = [2, 0, 2]
    held: dict[str, Tensor] = {}
    net.norm.register_forward_hook(lambda m, i, out: held.update(raw=out.detach()))
    net(x)
    torch.testing.assert_close(found.activations, held["raw"][:, 1:].mT.reshape(3, 6, 5, 6))
    changed = found.activations[rows] * 0.5
    raw = torch.cat([held["raw"][rows][:, :1], changed.flatten(2).mT], 1)
    expected = slow_replay(net, x, "norm", raw, rows)
    torch.testing.assert_close(found.replay(changed, torch.tensor(rows)), expected)
    with torch.no_grad():
        out = net(x[rows] * 0.5)
    torch.testing.assert_close(
        found.rescore(x[rows] * 0.5, torch.tensor(rows)), torch.stack([out[i, TARGETS[r]] for i, r in enumerate(rows)])
    )


@pytest.mark.parametrize("inplace", [False, True])
def test_what_it_is_given_is_neither_written_to_nor_copied_in_vain(inplace: bool) -> None:
    seen: list[int] = []

    class Looks(nn.Identity):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x.data_ptr())
            return x

    net = nn.Sequential(nn.Conv2d(3, 4, 3), Looks(), nn.ReLU(inplace), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    found = capture(net, pictures(3), "0")
    given = torch.randn(5, *found.activations.shape[1:])
    before, rows = given.clone(), torch.tensor([0, 2, 1, 1, 0])
    first = found.replay(given, rows)
    seen.clear()
    torch.testing.assert_close(found.replay(given, rows), first)
    assert torch.equal(given, before)
    assert (seen == [given.data_ptr()]) is not inplace
