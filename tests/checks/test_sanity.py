"""The randomization test: verdicts where the answer is known, similarities against slow loops, bad input."""

import math
from typing import Any

import pytest
import torch
from tests.checks.seeker import Normed, Seeker, ask, pictures
from torch import Tensor, nn

import heatproof as hp
from heatproof.checks import _calibration, sanity
from heatproof.checks._levels import across, constant, dead, pairs
from heatproof.checks._run import open_study
from heatproof.checks._study import keys_of
from heatproof.checks._twins import seeds
from heatproof.errors import TargetError, UsageError
from heatproof.explain import Explainer
from heatproof.models.randomize import randomized
from heatproof.models.stages import stages


def slow_rho(a: list[float], b: list[float]) -> float:
    def rank(v: list[float]) -> list[float]:
        return [sum(o < e for o in v) + (sum(o == e for o in v) + 1) / 2 for e in v]

    x, y = rank(a), rank(b)
    mx, my = sum(x) / len(x), sum(y) / len(y)
    top = sum((p - mx) * (q - my) for p, q in zip(x, y, strict=True))
    return top / math.sqrt(sum((p - mx) ** 2 for p in x) * sum((q - my) ** 2 for q in y))


def test_similarities_equal_a_slow_loop() -> None:
    maps, other = torch.randn(2, 4, 1, 3, 5, generator=torch.Generator().manual_seed(0)).double().unbind(0)
    for i in range(4):
        expected = slow_rho(maps[i].flatten().tolist(), other[i].flatten().tolist())
        assert float(across(maps, [other])[i, 0]) == pytest.approx(expected)
        for j in range(4):
            expected = slow_rho(maps[i].flatten().tolist(), maps[j].flatten().tolist())
            assert float(pairs(maps)[i, j]) == pytest.approx(expected)


def test_dead_and_constant_maps_are_counted_apart() -> None:
    maps = torch.stack([torch.zeros(4), torch.ones(4), torch.tensor([0.0, 1, math.nan, 2]), torch.arange(4.0)])
    maps = maps.reshape(4, 1, 2, 2)
    assert dead(maps).tolist() == [True, False, True, False]
    assert constant(maps).tolist() == [False, True, False, False]


def test_a_map_that_depends_on_the_model_is_not_refuted() -> None:
    net, x = Seeker(), pictures(30)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    found = ask(net, x, {})
    assert found.verdict == "supports", found.why
    assert found.why.startswith("Not refuted")
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert found.details["controls"]["input_edges"].estimate == pytest.approx(1)
    again = ask(net, x, {})
    assert again.per_input["S_rand"] == found.per_input["S_rand"]
    assert again.value == found.value


def test_edges_undermine() -> None:
    found = ask(Seeker(), pictures(12), method="input_edges", layer=None)
    assert found.verdict == "undermines"
    assert "all that was learned" in found.why
    assert found.value.estimate == pytest.approx(1)


def center(capture: Any) -> Tensor:
    at = torch.linspace(-1, 1, capture.activations.shape[-1])
    return torch.exp(-2 * (at[:, None] ** 2 + at**2)).expand(*capture.scores.shape, len(at), len(at))


def flat(capture: Any) -> Tensor:
    return torch.ones(*capture.scores.shape, 7, 7)


@pytest.mark.parametrize("method", [center, flat])
def test_a_map_that_ignores_the_input_is_called_so(method: Any) -> None:
    found = ask(Seeker(), pictures(12), method=method)
    assert found.verdict == "undermines"
    assert "input-insensitive" in found.why


def test_cascades() -> None:
    found = ask(Seeker(), pictures(4), {"cascades": ("top-down", "bottom-up", "independent"), "draws": 2})
    top, bottom = found.curves["top-down"], found.curves["bottom-up"]
    assert top[0] == [1, 2]
    # everything drawn anew is the same model from both ends
    assert top[1][-1] == pytest.approx(bottom[1][-1])
    assert found.curves["independent"][1][-1] == pytest.approx(top[1][0])


def test_maps_of_nan_are_no_sign_of_insensitivity() -> None:
    class Rooted(Seeker):
        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.act(self.body(x) * 0).sqrt().mean((2, 3)))  # its slope at 0 is infinite

    found = ask(Rooted(), pictures(12), {"draws": 2})
    assert found.verdict == "inconclusive"
    assert "every map holds NaN or infinite values" in found.why


def test_nor_are_some_maps_of_nan_beside_constant_ones() -> None:
    class Rooted(Seeker):
        def forward(self, x: Tensor) -> Tensor:
            off = (x[:, 0, 0, 0] < level).float().reshape(-1, 1, 1, 1)
            return self.head((off + self.act(self.body(x)) * 0).sqrt().mean((2, 3)))  # its slope at 0 is infinite

    given = pictures(12)
    level = float(given[:, 0, 0, 0].sort().values[6])
    found = ask(Rooted(), given, {"draws": 2})
    assert found.verdict == "inconclusive"
    assert "6 of 12 maps hold NaN or infinite values and the others are constant" in found.why


def test_too_few_inputs() -> None:
    for n in (1, 4):
        found = ask(Seeker(), pictures(n), {"draws": 2})
        assert found.verdict == "inconclusive"
        assert found.n_needed == 10


def test_nothing_to_randomize() -> None:
    class Fixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.act(x).mean((2, 3))

    found = ask(Fixed(), pictures(3))
    assert found.verdict == "not applicable"
    assert "nothing to randomize" in found.why


def test_another_target_under_a_random_model(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Explainer.capture_and_map

    def other(self: Explainer, gathered: Any, _resolver: Any, **more: Any) -> Any:
        return whole(self, gathered, lambda output, n: ((hp.explain(Seeker(), pictures(1), 1).targets[0][0],),) * n)

    monkeypatch.setattr(Explainer, "capture_and_map", other)
    with pytest.raises(TargetError, match="asked for"):
        ask(Seeker(), pictures(3))


@pytest.mark.parametrize(
    ("settings", "told"),
    [({"cascades": ("sideways",)}, "sideways"), ({"margin": 2.0}, "margin 2"), ({"margin": -0.1}, "margin -0.1")],
)
def test_settings_out_of_range(settings, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        ask(Seeker(), pictures(3), settings)


def test_only_what_is_named_is_drawn_anew() -> None:
    net: Any = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    net[1].running_mean.fill_(7)
    twin: Any = randomized(net, 0, only=["2"], statistics=["3"])
    assert torch.equal(twin[0].weight, net[0].weight)
    assert not torch.equal(twin[2].weight, net[2].weight)
    assert torch.equal(twin[1].running_mean, net[1].running_mean)
    assert stages(net) == [("0", "1"), ("2", "3")]
    assert stages(net, every_layer=True) == [("0",), ("1",), ("2",), ("3",)]


def test_a_score_that_is_no_number_has_no_map() -> None:
    class Broken(Seeker):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + torch.where(x[:, 7, 0, 0] > 1, torch.nan, 0.0)[:, None]

    x = pictures(12)
    x[[2, 5], 7, 0, 0] = 2
    found = ask(Broken(), x, {"draws": 2})
    assert found.details["dead and constant"] == {"trained": (2, 0), "randomized": (4, 0), "randomized maps": 24}
    assert [i for i, rho in enumerate(found.per_input["S_rand"]) if math.isnan(rho)] == [2, 5]
    assert found.n == 10
    whole = ask(Seeker(), torch.cat([x[:2], x[3:5], x[6:]]), {"draws": 2})
    assert found.value.estimate == pytest.approx(whole.value.estimate)


def test_a_batch_equals_its_singles() -> None:
    net, x, settings = Normed(), pictures(5, side=9), {"draws": 2, "recalibrate": False, "cascades": ("independent",)}
    whole = ask(net, x, settings, layer="block", target=1)
    parts = ask(net, list(x), settings, layer="block", target=1, batch_size=2)
    for name in ("S_rand", "S_null", "S_ceil", "S_rand, head alone", "S_rand, input_edges", "S_rand, guided_backprop"):
        assert parts.per_input[name] == pytest.approx(whole.per_input[name]), name
    assert parts.curves["independent"][1] == pytest.approx(whole.curves["independent"][1])


def rho_of(a: Tensor, b: Tensor) -> list[float]:
    return [slow_rho(p.flatten().tolist(), q.flatten().tolist()) for p, q in zip(a, b, strict=True)]


def test_statistics_that_are_kept() -> None:
    net, x = Normed(), pictures(4, side=9)
    found = ask(net, x, {"draws": 3, "recalibrate": False}, layer="block", target=1, seed=7)
    maps = hp.explain(net, x, 1, layer="block").maps
    rows = []
    for seed in seeds(7, 3):
        twin = randomized(net, seed, statistics=())
        assert torch.equal(twin.norm.running_var, net.norm.running_var)
        rows.append([abs(rho) for rho in rho_of(maps, hp.explain(twin, x, 1, layer="block").maps)])
    assert found.per_input["S_rand"] == pytest.approx([sum(column) / 3 for column in zip(*rows, strict=True)], abs=1e-6)


@pytest.mark.parametrize("limit", [64, 2])
def test_statistics_are_taken_from_all_batches(monkeypatch: pytest.MonkeyPatch, limit: int) -> None:
    monkeypatch.setattr(_calibration, "_VALUES", limit * 8 * 9 * 9)
    net, x = Normed(), pictures(5, side=9)
    x = x[sorted(range(5), key=lambda i: keys_of(x)[i])]  # in whose order they are taken
    found = ask(net, list(x), {"draws": 2}, layer="block", target=1, batch_size=3)
    maps = hp.explain(net, x, 1, layer="block").maps
    rows = []
    for seed in seeds(0, 2):
        twin = randomized(net, seed, statistics=())
        with torch.no_grad():
            for norm, before in ((twin.norm, twin.one), (twin.block[1], None)):
                mean, variance = torch.zeros(6), torch.zeros(6)
                for part in x.split(limit):
                    y = twin.one(part)
                    if before is None:
                        flat = y.transpose(0, 1).flatten(1)
                        scale = (flat.var(1, correction=0) + 1e-5).sqrt()
                        y = twin.block[0](torch.relu((y - y.mean((0, 2, 3), keepdim=True)) / scale[:, None, None]))
                    mean += y.mean((0, 2, 3)) * len(part) / 5
                    variance += y.transpose(0, 1).flatten(1).var(1) * len(part) / 5
                norm.running_mean.copy_(mean)
                norm.running_var.copy_(variance)
        rows.append([abs(rho) for rho in rho_of(maps, hp.explain(twin, x, 1, layer="block").maps)])
    assert found.per_input["S_rand"] == pytest.approx([sum(column) / 2 for column in zip(*rows, strict=True)], abs=1e-3)


@pytest.mark.parametrize("values", [_calibration._VALUES, 4 * 8 * 9 * 9])
def test_statistics_do_not_depend_on_how_inputs_are_batched_or_ordered(
    monkeypatch: pytest.MonkeyPatch, values: int
) -> None:
    monkeypatch.setattr(_calibration, "_VALUES", values)
    levels = torch.arange(16.0).reshape(16, 1, 1, 1)
    net, x = Normed(), pictures(16, side=9) + levels  # far apart, so that statistics of few are others
    order = torch.randperm(16, generator=torch.Generator().manual_seed(0))
    settings = {"draws": 2, "cascades": ("top-down",)}
    whole = ask(net, list(x), settings, layer="block", target=1, batch_size=16)
    for given, size in ((x, 4), (x, 1), (x[order], 3)):
        part = ask(net, list(given), settings, layer="block", target=1, batch_size=size)
        rows = order if given is not x else torch.arange(16)
        for name in ("S_rand", "S_null", "S_rand, head alone"):
            expected = [whole.per_input[name][i] for i in rows]
            assert part.per_input[name] == pytest.approx(expected, abs=1e-3), (name, size)
        assert part.curves["top-down"][1] == pytest.approx(whole.curves["top-down"][1], abs=1e-3)


def test_smooth_maps_are_means_over_noise() -> None:
    net, x = Seeker(), pictures(4)
    found = ask(net, x, {"draws": 2, "smooth": 2, "smooth_noise": 0.3})
    noisy = []
    for seed in range(2):
        draw = torch.randn(x.shape[1:], generator=torch.Generator().manual_seed(seed))
        spread = (x.flatten(1).amax(1) - x.flatten(1).amin(1))[:, None, None, None]
        noisy.append(hp.explain(net, x + 0.3 * spread * draw, 0, layer="act").maps)
    maps = (noisy[0] + noisy[1]) / 2
    for i in range(4):
        others = [abs(rho_of(maps[i : i + 1], maps[j : j + 1])[0]) for j in range(4) if j != i]
        assert found.per_input["S_null"][i] == pytest.approx(sum(others) / 3, abs=1e-6)


def test_every_layer() -> None:
    net, x = Normed(), pictures(3, side=9)
    found = ask(net, x, {"draws": 2, "cascades": sanity.CASCADES, "every_layer": True}, layer="block", target=1)
    assert found.details["stages"] == ["one + norm", "block", "head"]
    assert {name: len(steps) for name, (steps, _) in found.curves.items()} == dict.fromkeys(sanity.CASCADES, 5)
    # one random model a step: the last is that of the first seed, drawn anew from end to end
    maps, twin = (
        hp.explain(m, x, 1, layer="block").maps for m in (net, randomized(net, seeds(0, 1)[0], lambda m: m(x)))
    )
    whole = sum(map(abs, rho_of(maps, twin))) / 3
    assert found.curves["top-down"][1][-1] == pytest.approx(whole, abs=1e-6)
    only = hp.explain(randomized(net, seeds(0, 1)[0], lambda m: m(x), only=["one"]), x, 1, layer="block").maps
    assert found.curves["bottom-up"][1][0] == pytest.approx(sum(map(abs, rho_of(maps, only))) / 3, abs=1e-6)
    assert found.curves["independent"][1][0] == pytest.approx(found.curves["bottom-up"][1][0])


def test_a_cascade_alone_is_the_one_of_the_check() -> None:
    net, x = Normed(), pictures(3, side=9)
    study = open_study(Explainer(net, "block"), x, 1)
    found = sanity.check(study, draws=2, cascade_draws=2)
    for name in sanity.CASCADES:
        steps, means = sanity.cascade(study, name, draws=2)
        assert (steps, means) == found.curves[name]
    with pytest.raises(UsageError, match="sideways"):
        sanity.cascade(study, "sideways")


def test_inputs_of_a_cluster_count_as_one_and_are_not_compared() -> None:
    x = pictures(6).repeat_interleave(2, 0)
    alone, twice = ask(Seeker(), x[::2], {"draws": 2}), ask(Seeker(), x, {"draws": 2}, cluster_by=list("aabbccddeeff"))
    assert twice.n == alone.n == 6
    assert twice.unit == "cluster"
    assert twice.per_input["S_null"][::2] == pytest.approx(alone.per_input["S_null"])
    low, high = (pytest.approx(end, abs=1e-6) for end in (alone.value.low, alone.value.high))
    assert (twice.value.low, twice.value.high) == (low, high)


RUNS = 0


class Counted(Normed):
    """Counts every input that it is given, and every one that a gradient of it is asked for."""

    def forward(self, x: Tensor) -> Tensor:
        def count(n: int) -> None:
            global RUNS  # on the network it would look as if that changed
            RUNS += n

        count(len(x))
        y = super().forward(x)
        if y.requires_grad:
            y.register_hook(lambda _: count(len(x)))
        return y


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ({"cascades": ()}, {}),
        ({"cascades": sanity.CASCADES, "every_layer": True, "recalibrate": False}, {}),
        ({"smooth": 2}, {}),
        ({}, {"noise": 0.1, "samples": 2, "augment": ["flip_x"]}),
        ({}, {"batch_size": 2}),
    ],
)
def test_the_cost_is_what_ran(settings: dict[str, Any], more: dict[str, Any]) -> None:
    global RUNS
    x = list(pictures(5, side=9))
    study = open_study(Explainer(Counted(), "block", **more), x, 1)
    RUNS = 0
    found = sanity.check(study, draws=3, **dict[str, Any]({"cascade_draws": 2, "cascades": ("top-down",)} | settings))
    assert found.forwards * 5 == pytest.approx(RUNS)
