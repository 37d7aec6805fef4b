"""Intervals that hold what they promise, by simulation, and numbers worked out by hand."""

import math
import time
from itertools import product
from statistics import NormalDist

import numpy as np
import pytest
import torch
from scipy.stats import bootstrap as scipys
from scipy.stats import t
from torch import Tensor

from heatproof.checks import _stats
from heatproof.checks._stats import (
    bootstrap,
    crossed_bootstrap,
    decide,
    holm,
    n_needed,
    pair_values,
    share_alpha,
)
from heatproof.errors import UsageError
from heatproof.types import Interval

NAN = math.nan
TABLE = torch.tensor([[0.1, 0.2, 0.3], [0.2, 0.4, NAN], [0.3, 0.3, 0.3], [0.0, NAN, 0.2]])
"""Four inputs, three seeds: 10 values that sum to 2.3."""


def test_four_inputs_three_seeds_by_hand() -> None:
    found = crossed_bootstrap(TABLE, seed=1, draws=40_000)
    assert found.estimate == pytest.approx(2.3 / 10)
    # residuals from 0.23: row sums -0.09, 0.14, 0.21, -0.26; column sums -0.32, 0.21, 0.11
    rows = (0.09**2 + 0.14**2 + 0.21**2 + 0.26**2) / 100
    columns = (0.32**2 + 0.21**2 + 0.11**2) / 100
    fair = (rows * 4 / 3, columns * 3 / 2)
    free = sum(fair) ** 2 / (fair[0] ** 2 / 3 + fair[1] ** 2 / 2)
    share = NormalDist().cdf(t.ppf(0.025, free) * math.sqrt(sum(fair) / (rows + columns)))
    # every one of the 4^4 * 3^3 resamples, as loops
    means: list[float] = []
    for chosen_rows in product(range(4), repeat=4):
        for chosen_columns in product(range(3), repeat=3):
            values = [float(TABLE[i, j]) for i in chosen_rows for j in chosen_columns]
            values = [v for v in values if v == v]
            means += [sum(values) / len(values)] if values else []
    assert found.low == pytest.approx(np.quantile(means, share), abs=0.006)
    assert found.high == pytest.approx(np.quantile(means, 1 - share), abs=0.006)


def _simulated(n: int, s: int, per: int, repeats: int = 400) -> float:
    """Return how often the interval holds the true mean 0 where clusters and seeds vary the mean equally."""
    generator = torch.Generator().manual_seed(n * 100 + s)
    hits = 0
    for repeat in range(repeats):
        of_cluster = torch.randn(n // per, 1, generator=generator).repeat_interleave(per, 0)
        of_seed = torch.randn(1, s, generator=generator) * math.sqrt(s * per / n)
        values = of_cluster + of_seed + torch.randn(n, s, generator=generator)
        clusters = [i // per for i in range(n)]
        found = crossed_bootstrap(values, clusters, seed=repeat, draws=800)
        hits += found.low < 0 < found.high
    return hits / repeats


@pytest.mark.parametrize(("n", "s", "per"), [(20, 20, 1), (50, 20, 1), (8, 20, 1), (60, 20, 4)])
def test_crossed_intervals_cover(n: int, s: int, per: int) -> None:
    assert _simulated(n, s, per) >= 0.92


def test_clusters_taken_for_inputs_would_not_cover() -> None:
    """The simulation can fail: patients with ten equal pictures each, resampled by picture."""
    generator = torch.Generator().manual_seed(0)
    hits = whole = 0
    for repeat in range(600):
        values = torch.randn(12, generator=generator).repeat_interleave(10)
        found = bootstrap(values, seed=repeat, draws=500)
        hits += found.low < 0 < found.high
        found = bootstrap(values, [i // 10 for i in range(120)], seed=repeat, draws=500)
        whole += found.low < 0 < found.high
    assert hits / 600 < 0.6
    assert whole / 600 >= 0.92


def test_one_factor_intervals_cover_also_skewed_values() -> None:
    generator = torch.Generator().manual_seed(5)
    normal = skewed = 0
    for repeat in range(400):
        found = bootstrap(torch.randn(15, generator=generator), seed=repeat, draws=800)
        normal += found.low < 0 < found.high
        found = bootstrap(torch.empty(40).exponential_(generator=generator), seed=repeat, draws=800)
        skewed += found.low < 1 < found.high
    assert normal / 400 >= 0.92
    assert skewed / 400 >= 0.92


def test_one_factor_against_scipy() -> None:
    values = torch.empty(200).exponential_(generator=torch.Generator().manual_seed(2))
    found = bootstrap(values, draws=20_000)
    theirs = scipys((values.double().numpy(),), lambda x, axis: x.mean(axis), n_resamples=20_000, random_state=0)
    assert found.estimate == pytest.approx(float(values.double().mean()))
    assert found.low == pytest.approx(theirs.confidence_interval.low, abs=0.01)
    assert found.high == pytest.approx(theirs.confidence_interval.high, abs=0.01)


def test_missing_values_are_left_out_not_counted() -> None:
    assert bootstrap(torch.tensor([0.2, NAN, 0.4])).estimate == pytest.approx(0.3)
    everything = torch.rand(6, 5, generator=torch.Generator().manual_seed(0))
    padded = torch.cat([everything, torch.full((3, 5), NAN)])
    padded = torch.cat([padded, torch.full((9, 2), NAN)], 1)
    assert crossed_bootstrap(padded) == crossed_bootstrap(everything)


def test_without_spread_there_is_no_width() -> None:
    assert bootstrap(torch.full((4,), 0.5)) == Interval(0.5, 0.5, 0.5)
    found = crossed_bootstrap(torch.ones(4, 3))
    assert (found.estimate, found.low, found.high) == (1, 1, 1)


@pytest.mark.parametrize("values", [torch.tensor([[0.3, 0.5]]), torch.tensor([[0.3], [0.5]])])
def test_one_unit_tells_nothing_of_others(values: Tensor) -> None:
    found = crossed_bootstrap(values)
    assert found.estimate == pytest.approx(0.4)
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert not decide(crossed_bootstrap(values), 0.1).decided
    assert bootstrap(torch.tensor([0.3, 0.5]), ["a", "a"]).low == -math.inf


def test_no_value_at_all() -> None:
    for found in (
        crossed_bootstrap(torch.full((3, 3), NAN)),
        bootstrap(torch.full((3,), NAN)),
        bootstrap(torch.ones(0)),
    ):
        assert math.isnan(found.estimate)
        assert not decide(found, 0.1).decided


def test_seeds_and_the_global_generator() -> None:
    values, state = torch.rand(9, 4), torch.get_rng_state()
    assert crossed_bootstrap(values, seed=3) == crossed_bootstrap(values, seed=3)
    assert crossed_bootstrap(values, seed=3) != crossed_bootstrap(values, seed=4)
    assert torch.equal(torch.get_rng_state(), state)


def test_mean_pair_by_hand() -> None:
    pairs = torch.tensor([[NAN, 0.1, 0.2], [0.1, NAN, 0.6], [0.2, 0.6, NAN]])
    means, values = pair_values(pairs)
    assert means.tolist() == pytest.approx([0.15, 0.35, 0.4])
    # U = 0.3; U + 2 * 3 / 6 * (row sum - 2 U)
    assert values.tolist() == pytest.approx([0.0, 0.4, 0.5], abs=1e-6)
    means, values = pair_values(pairs, ["a", "a", "b"])
    assert means.tolist() == pytest.approx([0.2, 0.6, 0.4])
    assert float(values.mean()) == pytest.approx(0.4)
    alone = pair_values(torch.ones(1, 1))
    assert all(t.isnan().all() for t in alone)


def test_intervals_of_the_mean_pair_cover_and_those_of_row_means_do_not() -> None:
    generator = torch.Generator().manual_seed(3)
    right = wrong = 0
    for repeat in range(300):
        x = torch.randn(25, generator=generator) + 1
        means, values = pair_values(x.unsqueeze(0) + x.unsqueeze(1))  # the mean pair is 2 in the long run
        found, naive = bootstrap(values, seed=repeat, draws=500), bootstrap(means, seed=repeat, draws=500)
        right += found.low < 2 < found.high
        wrong += naive.low < 2 < naive.high
    assert right / 300 >= 0.92
    assert wrong / 300 < 0.8


@pytest.mark.parametrize(
    ("low", "high", "beyond", "within", "at_most"),
    [
        (0.2, 0.4, True, False, False),
        (-0.05, 0.05, False, True, True),
        (-0.4, -0.2, False, False, True),
        (0.05, 0.2, False, False, False),
        (-0.2, 0.2, False, False, False),
        (NAN, NAN, False, False, False),
    ],
)
def test_rules(low: float, high: float, beyond: bool, within: bool, at_most: bool) -> None:
    found = decide(Interval((low + high) / 2, low, high), 0.1)
    assert (found.beyond, found.within, found.at_most) == (beyond, within, at_most)
    assert found.decided == (beyond or at_most)


def test_how_many_are_needed() -> None:
    # the lower arm 0.4 has to shrink to 0.2: four times as many
    assert n_needed(Interval(0.3, -0.1, 0.7), 0.1, 10) == 40
    assert n_needed(Interval(0.0, -0.3, 0.2), 0.1, 10) == 40  # toward "none" the upper arm counts
    assert n_needed(Interval(0.5, 0.4, 0.6), 0.1, 10) == 10
    assert n_needed(Interval(0.1, 0.0, 0.2), 0.1, 10) is None
    assert n_needed(Interval(0.4, -math.inf, math.inf), 0.1, 1) is None


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, NAN]) == [1.0, 1.0]
    assert holm([]) == []


def test_alpha_is_shared_until_nothing_more_is_decided() -> None:
    def test(p: float):
        return lambda alpha: p <= alpha

    assert share_alpha([test(0.02), test(0.04)], 0.05, bool) == [(True, 0.025), (True, 0.05)]
    assert share_alpha([test(0.03), test(0.04)], 0.05, bool) == [(False, 0.025), (False, 0.025)]
    assert share_alpha([test(0.2), test(0.01)], 0.05, bool) == [(False, 0.05), (True, 0.025)]


def test_refusals() -> None:
    with pytest.raises(UsageError, match="2 clusters for 3 inputs"):
        bootstrap(torch.ones(3), ["a", "b"])
    with pytest.raises(UsageError, match="level is 95"):
        bootstrap(torch.ones(3), level=95.0)
    with pytest.raises(UsageError, match="cannot be negative"):
        decide(Interval(0.0, 0.0, 0.0), -0.1)


def test_fast_enough_to_be_used_everywhere() -> None:
    begin = time.perf_counter()
    crossed_bootstrap(torch.rand(500, 20))
    assert time.perf_counter() - begin < 1
    assert _stats.DRAWS >= 2000
