"""What is not run again: the same maps with it and without, and only what no change can reach."""

from typing import Any

import pytest
import torch
from tests.checks.seeker import Normed, pictures
from torch import Tensor, nn

import heatproof as hp
from heatproof.checks import _reuse, sanity
from heatproof.checks._reuse import Reuse, reusable
from heatproof.checks._run import open_study
from heatproof.checks._study import Study
from heatproof.checks._twins import layers_of, maps_for, twin_of
from heatproof.explain import Explainer


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one, self.norm = nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.two = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.two(self.relu(self.norm(self.one(x))))
        out += x
        return self.relu(out)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.relu = nn.Conv2d(8, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True)
        self.first, self.second = Block(6), Block(6)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.first(self.relu(self.norm(self.stem(x)))))
        return self.head(x.mean((2, 3)))


class Branchy(nn.Module):
    """Functional code reads the stem twice, once after a module has read it; one module runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.left, self.right = nn.Conv2d(8, 6, 3), nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 1)
        self.twice, self.last, self.head = nn.Conv2d(6, 6, 1), nn.Conv2d(12, 6, 1), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        left, right = self.left(x), self.twice(self.right(x.relu()))
        x = self.last(torch.cat([left, self.twice(right) * x.sigmoid()], 1)) + x
        return self.head(x.relu().mean((2, 3)))


class InPlace(nn.Module):
    """Writes into what modules returned, before and after the cut."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = nn.Conv2d(8, 6, 3), nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 1)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.one(x)
        y = self.two(x)
        x.mul_(2)
        self.relu(y)
        y += x
        z = self.three(y)
        y.zero_()
        return self.head(self.relu(z).mean((2, 3)) + y.mean((2, 3)))


class Tied(nn.Module):
    """The first layer's weights are the last one's, too."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.mid, self.last = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 1)
        self.last.weight = self.first.weight
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.last(self.mid(self.first(x)).relu()).relu().mean((2, 3)))


class Peeking(Tied):
    """Reads weights of its head before it runs: no recorded call shows that."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.mid(self.first(x)).relu()
        return self.head(self.last(y).relu().mean((2, 3))) + self.mid.weight.sum()


SETTINGS: dict[str, Any] = {
    "draws": 2, "cascade_draws": 1, "cascades": (), "every_layer": False, "recalibrate": True, "smooth": 0
}  # fmt: skip
NETS = {"residual": (Residual, "second"), "branchy": (Branchy, "last"), "in place": (InPlace, "three"),
        "tied": (Tied, "last"), "peeking": (Peeking, "last"), "normed": (Normed, "block")}  # fmt: skip


def build(name: str) -> tuple[nn.Module, str]:
    kind, layer = NETS[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind().eval(), layer


def cuts(net: nn.Module) -> list[_reuse.Cut]:
    """Return every layer alone, and every layer with all that come after it."""
    every = tuple(name for name, m in net.named_modules() if any(True for _ in m.parameters(recurse=False)))
    return [((name,), every[i:]) for i, name in enumerate(every)] + [(every[i:], every[i:]) for i in range(len(every))]


def study_of(name: str, **more: Any) -> Study:
    net, layer = build(name)
    return open_study(Explainer(net, layer, batch_size=2, **more), list(pictures(3, side=9)), 1)


@pytest.mark.parametrize("recalibrate", [True, False])
@pytest.mark.parametrize("name", NETS)
def test_maps_are_the_same_as_without(name: str, recalibrate: bool) -> None:
    study = study_of(name)
    net, layers = study.explainer.model.net, layers_of(study)
    assert layers is not None
    before = {k: v.clone() for k, v in net.state_dict().items()}
    frame = sanity._Sanity(study, SETTINGS | {"recalibrate": recalibrate}, [("head",)], [])
    shared = Reuse(study, layers, cuts(net), frame._holds)
    for cut in cuts(net):
        with_it, without = (
            maps_for(study, study.explainer.with_model(model, layers[0].name), layers=layers, reuse=reuse)
            for reuse in (shared, None)
            for model in [twin_of(study, 3, cut, recalibrate=recalibrate, reuse=reuse)]
        )
        torch.testing.assert_close(with_it, without, rtol=1e-6, atol=1e-6 * float(without.abs().max()))
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    begin = next(iter(net.named_parameters()))[0].partition(".")[0]
    for cut in cuts(net):  # all but what changes the first layer
        changed = {"first", "last"} if isinstance(net, Tied) and "last" in (cut[0] or ()) else set(cut[0] or ())
        assert (shared.net(cut) is net) == (begin in changed), cut


def ran(name: str, cut: _reuse.Cut) -> list[str]:
    """Return the layers that run for maps under a twin."""
    study = study_of(name)
    layers = layers_of(study)
    assert layers is not None
    reuse = Reuse(study, layers, [cut], lambda _: True)
    net, seen = reuse.net(cut), list[str]()
    for title, module in net.named_modules():
        if title and not vars(module).get("forward"):
            module.register_forward_hook(lambda *_, title=title: seen.append(title))
    with torch.no_grad():
        net(study.batches[0].batch.tensor)
    return seen


def test_what_runs() -> None:
    assert ran("residual", (("head",), ("head",))) == ["head"]
    assert ran("residual", (("second",), ("second",)))[-2:] == ["second", "head"]
    inside = ran("residual", (("first.two",), ("first.two",)))
    assert inside[:5] == ["first.relu", "first.two", "first.relu", "first", "second.one"]
    # the twice called one, and all that follows what changed
    assert ran("branchy", (("head",), ())) == ["twice", "twice", "head"]
    # tied to the first: nothing may be spared
    assert ran("tied", (("last",), ())) == ["first", "mid", "last", "head"]


def test_statistics_that_are_taken_anew_run() -> None:
    assert ran("normed", (("head",), ("norm", "head")))[:2] == ["norm", "relu"]


def test_too_much_to_keep_is_run_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of("residual")
    layers = layers_of(study)
    assert layers is not None
    cut = (("head",), ("head",))
    grid = 3 * 6 * 7 * 7 * 4  # bytes of the target layer's output for all inputs
    # the inputs again, in one run, for the statistics of the normalization
    for recalibrate, most in ((False, grid), (True, 2 * grid)):
        monkeypatch.setattr(_reuse, "_MOST", most)
        within = Reuse(study, layers, [cut], lambda _: True, recalibrate=recalibrate)
        assert within.net(cut) is not study.explainer.engine.pool.net
        monkeypatch.setattr(_reuse, "_MOST", most - 1)
        without = Reuse(study, layers, [cut], lambda _: True, recalibrate=recalibrate)
        assert without.net(cut) is study.explainer.engine.pool.net


def test_which_methods_share_one_run() -> None:
    assert reusable(study_of("residual"))
    assert not reusable(study_of("residual", method="ablationcam"))
    assert not reusable(study_of("residual", noise=0.1))
    net, layer = build("residual")

    def gradcam(capture: Any) -> Tensor:
        return hp.Explainer(net, layer).plan.function(capture)

    assert not reusable(study_of("residual", method=gradcam))
    net.first.register_forward_hook(lambda *_: None)
    assert not reusable(open_study(Explainer(net, layer), pictures(2, side=9), 1))


def test_the_check_says_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of("normed")
    one = sanity.check(study, draws=2, cascade_draws=1, every_layer=True)
    monkeypatch.setattr(sanity, "reusable", lambda _: False)
    other = sanity.check(study, draws=2, cascade_draws=1, every_layer=True)
    assert one.per_input == other.per_input
    assert one.curves == other.curves


def test_a_twin_is_not_traced_again(monkeypatch: pytest.MonkeyPatch) -> None:
    study = study_of("residual")
    expected = sanity.cascade(study, "independent", recalibrate=False)

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("traced again")

    monkeypatch.setattr("heatproof.capture.engine.trace", refuse)
    assert sanity.cascade(study, "independent", recalibrate=False) == expected
