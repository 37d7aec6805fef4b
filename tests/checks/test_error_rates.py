"""The simulations behind docs/calibration.md, with fewer trials: rates hold on maps and numbers without a model."""

import pytest
from bench.error_rates import at_the_margin, covered, fresh_pairs, share, verdict


def test_unrelated_smooth_maps_are_not_called_similar_nor_is_a_shared_center_prior() -> None:
    told = [verdict(trial, center) for center in (0.0, 3.0) for trial in range(10)]
    assert "similar" not in told
    assert sum(one.startswith("supports") for one in told) >= 18


def test_what_all_maps_share_is_not_called_insane_but_insensitive() -> None:
    assert all("input-insensitive" in verdict(trial, 300.0) for trial in range(3))


@pytest.mark.parametrize("center", [0.0, 3.0])
def test_a_fresh_pair_is_as_alike_as_the_null_says(center: float) -> None:
    assert fresh_pairs(1000, center) == pytest.approx(0.05, abs=0.02)


def test_a_gap_of_the_margin_is_seldom_called_none() -> None:
    assert share(300, at_the_margin) <= 0.05


@pytest.mark.parametrize(("inputs", "seeds"), [(20, 20), (30, 2), (30, 5)])
def test_intervals_cover_where_inputs_and_seeds_vary_the_mean_equally(inputs: int, seeds: int) -> None:
    assert share(300, lambda trial: covered(inputs, seeds, 1, trial)) >= 0.92
