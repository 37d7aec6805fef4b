"""What the sanity check shows beside its verdict, against direct computations."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from scipy.stats import spearmanr
from tests.checks.seeker import Normed, Seeker, ask, pictures
from torch import Tensor, nn

import heatproof as hp
from heatproof.checks import sanity
from heatproof.checks._run import open_study
from heatproof.checks._shown import controls, data_randomization, literature, random_logit
from heatproof.explain import Explainer
from heatproof.models import Model
from heatproof.models.randomize import randomized


def rank_correlation(a: Tensor, b: Tensor) -> float:
    return float(spearmanr(a.detach().flatten().numpy(), b.detach().flatten().numpy())[0])


def zero_to_one(grid: Tensor, side: int) -> Tensor:
    shown = F.interpolate(grid.relu()[None, None].double(), size=(side, side), mode="bilinear")[0, 0]
    return (shown - shown.min()) / (shown.max() - shown.min())


def slow_ssim(a: Tensor, b: Tensor) -> float:
    """Wang et al. 2004, eq. 13: Gaussian windows of 11 x 11, sigma 1.5, K1 = 0.01, K2 = 0.03, values from 0 to 1."""
    line = torch.exp(-(torch.arange(-5.0, 6.0, dtype=torch.float64) ** 2) / (2 * 1.5**2))
    window = line[:, None] * line / line.sum() ** 2
    c1, c2, found = 0.01**2, 0.03**2, []
    for i in range(a.shape[0] - 10):
        for j in range(a.shape[1] - 10):
            x, y = a[i : i + 11, j : j + 11], b[i : i + 11, j : j + 11]
            mx, my = (window * x).sum(), (window * y).sum()
            vx, vy = (window * (x - mx) ** 2).sum(), (window * (y - my) ** 2).sum()
            cov = (window * (x - mx) * (y - my)).sum()
            found.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2)))
    return float(torch.stack(found).mean())


def slow_hog(image: Tensor, cell: int = 8) -> Tensor:
    """Dalal and Triggs 2005: nine unsigned orientations in cells of 8 x 8, blocks of 3 x 3, L2-Hys."""
    hog = pytest.importorskip("skimage.feature").hog
    return torch.from_numpy(hog(image.numpy(), orientations=9, pixels_per_cell=(cell, cell), cells_per_block=(3, 3)))


def test_the_literature_is_followed() -> None:
    draws = torch.Generator().manual_seed(0)
    maps, one, two = torch.randn(3, 3, 1, 5, 5, generator=draws).double()
    side = 40
    found = literature(maps, [one, two], (side, side))
    pairs = [(zero_to_one(maps[i, 0], side), zero_to_one(other[i, 0], side)) for other in (one, two) for i in range(3)]
    assert found["SSIM"] == pytest.approx(sum(slow_ssim(a, b) for a, b in pairs) / 6, abs=1e-6)
    assert found["Spearman"] == pytest.approx(sum(rank_correlation(a, b) for a, b in pairs) / 6, abs=1e-6)
    hogs = [(slow_hog(a), slow_hog(b)) for a, b in pairs]
    assert found["HOG"] == pytest.approx(sum(float(torch.corrcoef(torch.stack(h))[0, 1]) for h in hogs) / 6, abs=1e-3)


def test_the_literature_leaves_out_maps_without_positive_evidence() -> None:
    maps = torch.randn(3, 1, 5, 5, generator=torch.Generator().manual_seed(0)).double()
    dead = maps.clone()
    dead[1] = -1
    assert literature(dead, [maps], (30, 30)) == literature(maps[[0, 2]], [maps[[0, 2]]], (30, 30))
    assert "HOG" not in literature(maps, [maps], (20, 20))


@pytest.mark.parametrize("seed", [0, 1])
def test_another_class_is_drawn_for_every_input(seed: int) -> None:
    net, x = Normed(), pictures(6, side=9)
    study = open_study(Explainer(net, "block"), x, 1, seed=seed)
    found = random_logit(study, study.explainer, study.explanation.maps.double())
    assert found is not None
    step = torch.randint(1, 3, (6,), generator=torch.Generator().manual_seed(seed)).tolist()
    for i in range(6):
        other = (1 + step[i]) % 3
        assert other != 1
        ours, theirs = (hp.explain(net, x[i : i + 1], c, layer="block").maps for c in (1, other))
        assert float(found[i]) == pytest.approx(rank_correlation(ours, theirs), abs=1e-4)


def test_one_output_has_no_other_class() -> None:
    class Single(Seeker):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)[:, :1]

    assert "random logit" not in ask(Single(), pictures(3), {"draws": 2}).details
    assert "random logit" not in ask(Seeker(), pictures(3), {"draws": 2}, target=lambda out: out[0] - out[1]).details
    assert "random logit" in ask(Seeker(), pictures(3), {"draws": 2}).details


def test_a_fit_on_permuted_labels_is_compared() -> None:
    net, x = Normed(), pictures(4, side=9)
    study = open_study(Explainer(net, "block"), x, 1)
    permuted = randomized(net, 5)
    found = data_randomization(study, permuted)
    ours, theirs = (hp.explain(m, x, 1, layer="block").maps for m in (net, permuted))
    for i in range(4):
        assert float(found[i]) == pytest.approx(rank_correlation(ours[i], theirs[i]), abs=1e-4)
    torch.testing.assert_close(data_randomization(study, net), torch.ones(4, dtype=torch.float64))


def test_controls_equal_a_direct_computation() -> None:
    net, x = Normed(), pictures(3, side=12)
    study = open_study(Explainer(net, "block"), x, 1)
    twins = [randomized(net, seed) for seed in (0, 1)]
    found, _ = controls(study, [Model(twin) for twin in twins], (5, 5))
    assert set(found) == {"input_edges", "guided_backprop"}
    torch.testing.assert_close(found["input_edges"], torch.ones(3, 2, dtype=torch.float64))
    maps = [F.adaptive_avg_pool2d(hp.explain(m, x, 1, method="guided_backprop").maps, (5, 5)) for m in (net, *twins)]
    for s in range(2):
        for i in range(3):
            expected = rank_correlation(maps[0][i], maps[1 + s][i])
            assert float(found["guided_backprop"][i, s]) == pytest.approx(expected, abs=1e-3)


def test_guided_backprop_is_left_out_where_it_is_not_defined() -> None:
    class Smooth(Seeker):
        def __init__(self) -> None:
            super().__init__()
            self.act = nn.GELU()

    found = ask(Smooth(), pictures(3), {"draws": 2})
    assert set(found.details["controls"]) == {"input_edges"}


def test_what_each_level_says_is_in_the_table() -> None:
    found: Any = ask(Seeker(), pictures(3), {"draws": 2})
    assert found.check == "sanity"
    assert found.claim == sanity.CLAIM
    assert {"S_rand", "S_null", "S_ceil", "S_rand, head alone", "S_rand, input_edges"} <= set(found.per_input)
    assert all(len(column) == 3 for column in found.per_input.values())
