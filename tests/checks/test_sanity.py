"""The randomization test: verdicts where the answer is known, similarities against slow loops, bad input."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import heatproof as hp
from heatproof.checks._levels import across, constant, dead, pairs
from heatproof.errors import TargetError, UsageError
from heatproof.explain import Explainer
from heatproof.models.randomize import randomized
from heatproof.models.stages import stages

FAST: dict[str, dict[str, Any]] = {"sanity": {"cascades": (), "cascade_draws": 1}}


class Seeker(nn.Module):
    """Its class 0 is the brightness of channel 0 and its class 1 that of channel 1; three stages."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(8, 8, 4, stride=4, bias=False)
        self.act = nn.ReLU()
        self.head = nn.Linear(8, 2, bias=False)
        with torch.no_grad():
            self.body.weight.copy_(torch.eye(8)[:, :, None, None] / 16)
            self.head.weight.zero_()
            self.head.weight[0, 0] = self.head.weight[1, 1] = 1

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.body(x)).mean((2, 3)))


def pictures(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, 8, 28, 28, generator=torch.Generator().manual_seed(seed)) ** 2


def ask(net: nn.Module, x: Tensor, settings: dict[str, Any] | None = None, **more: Any) -> Any:
    given = {"sanity": {**FAST["sanity"], **(settings or {})}}
    (found,) = hp.check(net, x, "sanity", target=0, settings=given, **dict[str, Any]({"layer": "act"} | more))
    return found


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


def test_settings_out_of_range() -> None:
    with pytest.raises(UsageError, match="sideways"):
        ask(Seeker(), pictures(3), {"cascades": ("sideways",)})


def test_only_what_is_named_is_drawn_anew() -> None:
    net: Any = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
    net[1].running_mean.fill_(7)
    twin: Any = randomized(net, 0, only=["2"], statistics=["3"])
    assert torch.equal(twin[0].weight, net[0].weight)
    assert not torch.equal(twin[2].weight, net[2].weight)
    assert torch.equal(twin[1].running_mean, net[1].running_mean)
    assert stages(net) == ["0", "1", "2", "3"]
