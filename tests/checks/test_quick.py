"""Quick checks against what their definition says, done slowly and on networks with a known answer."""

import dataclasses
import math

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from tests.odd_models import IMAGE_NETS, Small, make, pictures
from torch import Tensor, nn

import heatproof as hp
from heatproof.checks import _quick as quick
from heatproof.explain import Explainer
from heatproof.models.randomize import randomized


class CountsForwards(Small):
    """Counts what each input costs, in a list shared with every copy of it."""

    def __init__(self, counted: list[int]) -> None:
        super().__init__()
        self.count = lambda x: counted.append(len(x))

    def forward(self, x: Tensor) -> Tensor:
        self.count(x)
        return super().forward(x)


class Corner(nn.Module):
    """Its one logit is the brightness of the upper left quarter."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 2, 1, bias=False)
        nn.init.constant_(self.body.weight, 1 / 3)

    def forward(self, x: Tensor) -> Tensor:
        a = F.avg_pool2d(self.body(x), 2)
        corner = torch.zeros_like(a)
        corner[..., : a.shape[2] // 2, : a.shape[3] // 2] = 1
        return torch.stack([(a * corner).mean((1, 2, 3)), (a * (1 - corner)).mean((1, 2, 3))], 1)


def test_masking_the_top_region_hurts_where_the_evidence_is() -> None:
    x = pictures(2, 16, 0)[..., :16] * 0.1
    x[..., 2:4, 2:4] += 5
    found = hp.quick_checks(hp.explain(Corner(), x, target=0, method="hirescam", layer="body"))
    for row in found.quick_checks:
        assert row[0].drop_top > 5 * abs(row[0].drop_elsewhere)


@pytest.mark.parametrize("seed", [0, 3])
def test_numbers_equal_their_definition(seed: int) -> None:
    net = make("plain", train=False)
    x = pictures(3, 12)
    explanation = hp.explain(net, x, layer="conv2")
    found = hp.quick_checks(explanation, seed=seed).quick_checks
    with torch.no_grad():
        out = net(x)
    second = out.topk(2, 1).indices[:, 1]
    runner_up = hp.explain(net, x, target=second.tolist(), layer="conv2").maps
    twin = randomized(net, seed, recalibrate=lambda m: m(x))
    noise = hp.explain(twin, x, target=out.argmax(1).tolist(), layer="conv2").maps
    for i, (row,) in enumerate(found):
        flat = explanation.maps[i, 0].flatten()
        k = math.ceil(0.1 * len(flat))
        mask = torch.zeros(len(flat))
        mask[flat.topk(k).indices] = 1
        mask = F.interpolate(mask.reshape(1, 1, *explanation.maps.shape[2:]), size=x.shape[2:])
        masked = x[i : i + 1] * (1 - mask) + x[i].mean((1, 2), keepdim=True) * mask
        with torch.no_grad():
            drop = out[i].max() - net(masked)[0, out[i].argmax()]
        assert row.drop_top == pytest.approx(float(drop), abs=1e-5)
        assert row.region_share == k / len(flat)
        assert row.runner_up == f"class {int(second[i])}"
        assert row.similarity_runner_up == pytest.approx(spearmanr(flat, runner_up[i, 0].flatten())[0], abs=1e-6)
        assert row.similarity_random == pytest.approx(spearmanr(flat, noise[i, 0].flatten())[0], abs=1e-6)


def test_regions_elsewhere_have_the_same_shape_and_mostly_lie_elsewhere() -> None:
    top = torch.zeros(1, 1, 7, 7)
    top[..., 2:4, 3:5] = 1
    shift = quick._least_overlap(top, (7, 7), torch.Generator().manual_seed(0))
    moved = torch.roll(top, shift, (2, 3))
    assert moved.sum() == top.sum()
    assert (moved * top).sum() == 0


@pytest.mark.parametrize("layer", [None, "conv2"])
def test_cost_is_what_it_says_and_at_most_ten_forwards_an_input(layer: str | None) -> None:
    """The choice of layers looks at one input more, once per network."""
    counted: list[int] = []
    explainer = Explainer(CountsForwards(counted), layer=layer)
    explanation = explainer(pictures(4), target=1)
    counted.clear()
    found = hp.quick_checks(explanation)
    stated = found.quick_checks[0][0].forwards
    assert stated <= 10
    assert counted.count(4) == stated
    assert sum(counted) - 4 * stated <= 2


def test_batches_equal_singles() -> None:
    """But for the recalibration, which sees the whole batch: similarity to the random network may differ."""
    net, x = make("plain", train=False), pictures(3, 12)
    whole = hp.quick_checks(Explainer(net, batch_size=2)(x)).quick_checks
    singles = [hp.quick_checks(hp.explain(net, x[i : i + 1])).quick_checks[0] for i in range(3)]
    for (a,), (b,) in zip(whole, singles, strict=True):
        assert a.drop_top == pytest.approx(b.drop_top, abs=1e-6)
        assert a.runner_up == b.runner_up
        assert a.similarity_runner_up == pytest.approx(b.similarity_runner_up, abs=1e-6)


def test_seeds_make_it_again() -> None:
    explanation = hp.explain(make("plain"), pictures(2, 14))
    one, again, other = (hp.quick_checks(explanation, seed=s).quick_checks for s in (0, 0, 1))
    assert one == again
    assert one != other


def test_without_classes_there_is_no_runner_up() -> None:
    class Regression(Small):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)[:, :1]

    for explanation in (
        hp.explain(Regression(), pictures()),
        hp.explain(make("plain"), pictures(), target=lambda out: out[1] - out[0]),
    ):
        row = hp.quick_checks(explanation).quick_checks[0][0]
        assert row.runner_up is None
        assert row.similarity_runner_up is None
        assert row.forwards <= 9


@pytest.mark.parametrize("name", [n for n in IMAGE_NETS if n != "patched by global"])
def test_every_odd_network_can_be_checked(name: str) -> None:
    found = hp.quick_checks(hp.explain(make(name), pictures(2)))
    for (row,) in found.quick_checks:
        assert math.isfinite(row.drop_top)
        assert -1 - 1e-9 <= row.similarity_random <= 1 + 1e-9 or math.isnan(row.similarity_random)


def test_a_layer_that_is_not_its_modules_last_call() -> None:
    """The random network is asked at the same call of the same module."""

    class Shrinks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.act, self.fc = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Linear(4, 4)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.act(self.act(self.conv(x)).mean((2, 3), keepdim=True)).flatten(1))

    explanation = hp.explain(Shrinks(), pictures())
    assert explanation.layer == "act#1"
    assert hp.quick_checks(explanation).quick_checks is not None


def test_an_explanation_that_lost_its_model_says_so() -> None:
    explanation = dataclasses.replace(hp.explain(make("plain"), pictures()), origin=None)
    with pytest.raises(hp.HeatproofError, match="does not know its model any more"):
        hp.quick_checks(explanation)
