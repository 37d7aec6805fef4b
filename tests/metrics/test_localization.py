"""Agreement with masks: numbers worked out by hand, slow loops from the papers, scikit-learn, ties and empty masks."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from heatproof.errors import UsageError
from heatproof.metrics.localization import (
    area_share,
    average_precision,
    iou,
    iou_threshold,
    pointing_game,
    relevance_mass,
    relevance_rank,
    to_grid,
)

ALL = (pointing_game, relevance_mass, relevance_rank, iou, average_precision)


def one(values, mask, function, **options):
    maps = torch.tensor(values, dtype=torch.float32)[None, None]
    masks = torch.tensor(mask, dtype=torch.bool)[None, None]
    return float(function(maps, masks, **options))


def test_by_hand():
    values, mask = [4.0, -3.0, 3.0, 1.0], [1, 0, 0, 1]
    assert one(values, mask, pointing_game) == 1
    assert one(values, mask, relevance_mass) == pytest.approx(5 / 8)  # negative evidence does not count
    assert one(values, mask, relevance_rank) == 0.5  # the two largest: 4 inside, 3 outside
    assert one(values, mask, iou, threshold=0.5) == pytest.approx(1 / 3)  # {4, 3} with {4, 1}
    assert one(values, mask, iou, threshold=0.15) == pytest.approx(2 / 3)
    assert one(values, mask, average_precision) == pytest.approx((1 + 2 / 3) / 2)


def test_ties_by_hand():
    assert one([2.0, 2.0, 2.0, 0.0], [1, 0, 0, 1], pointing_game) == pytest.approx(1 / 3)
    # K = 2: one place for 5, the other shared by three 2s, one of which lies inside
    assert one([5.0, 2.0, 2.0, 2.0], [1, 1, 0, 0], relevance_rank) == pytest.approx((1 + 1 / 3) / 2)
    # one positive at 5 (precision 1), one among the tied (precision 2/4)
    assert one([5.0, 2.0, 2.0, 2.0], [1, 1, 0, 0], average_precision) == pytest.approx((1 + 1 / 2) / 2)


@pytest.mark.parametrize("function", ALL)
@pytest.mark.parametrize("value", [0.0, 2.5, -1.0, 1e-30])
def test_a_constant_map_scores_at_chance(function, value):
    masks = torch.zeros(1, 1, 4, 5, dtype=torch.bool)
    masks[..., :2, 1:4] = True
    assert float(function(torch.full((1, 1, 4, 5), value), masks)) == pytest.approx(float(area_share(masks)))
    assert float(area_share(masks)) == 0.3


@pytest.mark.parametrize("function", ALL)
def test_an_empty_mask_and_a_broken_map_are_nan_and_harm_no_neighbor(function):
    maps = torch.randn(3, 2, 4, generator=torch.Generator().manual_seed(0))
    masks = torch.tensor([[[1, 0, 0, 1]], [[0, 0, 0, 0]], [[0, 1, 0, 0]]], dtype=torch.bool)
    whole = function(maps, masks)
    maps[2, 1, 3] = torch.nan
    found = function(maps, masks)
    assert found.isnan().tolist() == [[False, False], [True, True], [False, True]]
    assert torch.equal(found[0], whole[0])
    assert found[2, 0] == whole[2, 0]


@pytest.mark.parametrize("function", [relevance_mass, relevance_rank, average_precision, pointing_game])
def test_the_mean_over_random_maps_is_chance(function):
    """Independent maps, so the mean over 4,000 lies within 5 standard errors of the area."""
    maps = torch.randn(4000, 1, 5, 5, generator=torch.Generator().manual_seed(1))
    masks = torch.zeros(4000, 1, 5, 5, dtype=torch.bool)
    masks[:, :, 1:3, 2:5] = True
    found = function(maps, masks)
    chance = 6 / 25
    if function is average_precision:  # its mean over orders is a little above the area: sum over ranks k, by hand
        h = sum(1 / k for k in range(1, 26)) / 25
        chance = (5 / 24) * (1 - h) + h
    assert abs(float(found.mean()) - chance) < 5 * float(found.std()) / math.sqrt(4000)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    grid=st.sampled_from([(6,), (3, 5), (2, 3, 3)]),
    levels=st.sampled_from([2, 4, 1000]),
)
def test_equals_slow_loops(seed, grid, levels):
    draws = np.random.default_rng(seed)
    maps = (draws.integers(0, levels, (2, 2, *grid)) - levels // 3).astype(np.float32)
    masks = draws.random((2, 2, *grid)) < 0.4
    masks[..., 0] = True
    found = {f: f(torch.tensor(maps), torch.tensor(masks)) for f in ALL}
    for i, j in itertools.product(range(2), range(2)):
        v, inside = maps[i, j].ravel().astype(float), masks[i, j].ravel()
        wanted = {
            pointing_game: slow_pointing(v, inside),
            relevance_mass: slow_mass(v, inside),
            relevance_rank: slow_rank(v, inside),
            iou: slow_iou(v, inside, 0.15),
            average_precision: average_precision_score(inside, v),
        }
        for function, value in wanted.items():
            assert float(found[function][i, j]) == pytest.approx(value, abs=1e-12), function.__name__


def slow_pointing(v, inside):
    best = [p for p in range(len(v)) if v[p] == max(v)]
    return sum(bool(inside[p]) for p in best) / len(best)


def slow_mass(v, inside):
    positive = [max(0.0, value) for value in v]
    if sum(positive) == 0:
        return inside.mean()
    return sum(value for value, into in zip(positive, inside, strict=True) if into) / sum(positive)


def slow_rank(v, inside):
    """Take the K largest one level at a time; a level that does not fit whole counts by its share inside."""
    left = size = int(inside.sum())
    hits = 0.0
    for level in sorted(set(v), reverse=True):
        group = v == level
        here = min(left, int(group.sum()))
        hits += here * inside[group].mean()
        left -= here
    return hits / size


def slow_iou(v, inside, threshold):
    positive = np.maximum(v, 0)
    marked = positive >= threshold * positive.max()
    return (marked & inside).sum() / (marked | inside).sum()


@pytest.mark.parametrize("tolerance", [0.0, 1.0, 1.5, 2.3, 30.0])
def test_tolerance_is_a_distance_on_the_grid(tolerance):
    masks = torch.zeros(1, 1, 6, 7, dtype=torch.bool)
    masks[0, 0, 0, 0] = masks[0, 0, 4, 5] = True
    for y, x in itertools.product(range(6), range(7)):
        maps = torch.zeros(1, 1, 6, 7)
        maps[0, 0, y, x] = 1
        near = min(math.dist((y, x), (0, 0)), math.dist((y, x), (4, 5))) <= tolerance
        assert float(pointing_game(maps, masks, tolerance)) == near


def test_masks_come_to_the_grid_by_area_and_small_ones_do_not_vanish():
    masks = torch.zeros(4, 1, 8, dtype=torch.bool)
    masks[0, 0, 1:4] = True  # half of the first position, all of the second
    masks[1, 0, 5:6] = True  # half of the third position
    masks[2, 0, 3:5] = True
    found = to_grid(masks, (4,))
    assert found[:, 0].int().tolist() == [[1, 1, 0, 0], [0, 0, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert to_grid(masks, (2,))[:, 0].int().tolist() == [[1, 0], [0, 1], [1, 1], [0, 0]]
    assert to_grid(masks, (4,), share=1.0)[0, 0].int().tolist() == [0, 1, 0, 0]
    with pytest.raises(UsageError, match=r"size \(8,\) do not fit a grid of \(9,\)"):
        to_grid(masks, (9,))


def test_the_threshold_is_chosen_by_mean_iou():
    maps = torch.tensor([[[10.0, 6.0, 3.0, 0.0]]])
    masks = torch.tensor([[[1, 1, 0, 0]]], dtype=torch.bool)
    assert iou_threshold(maps, masks) == 0.35  # the lowest that leaves 3 out and 6 in
    with pytest.raises(UsageError, match="annotated tuning data"):
        iou_threshold(maps, torch.zeros_like(masks))
    with pytest.raises(UsageError, match=r"threshold is 1\.5"):
        iou(maps, masks, 1.5)


def test_masks_that_do_not_fit_are_refused():
    with pytest.raises(UsageError, match=r"Masks of shape \(2, 3, 4\) do not fit maps of shape \(2, 2, 4\)"):
        relevance_mass(torch.ones(2, 2, 4), torch.ones(2, 3, 4, dtype=torch.bool))
    with pytest.raises(UsageError, match="to_grid"):
        relevance_rank(torch.ones(2, 2, 4), torch.ones(2, 1, 8, dtype=torch.bool))
