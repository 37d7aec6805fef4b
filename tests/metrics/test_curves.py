"""Insertion, deletion, SRG, pixel flipping and ROAD against a loop over inputs, targets and steps; ties; cost."""

import itertools
from functools import partial

import pytest
import torch
from tests.metrics.toys import Toy, draw

from heatproof.errors import InputError, MethodError, UsageError
from heatproof.metrics._fields import require_fit
from heatproof.metrics._order import broken, counts, taken
from heatproof.metrics.deletion import deletion
from heatproof.metrics.imputers import constant, mean, noise
from heatproof.metrics.insertion import insertion
from heatproof.metrics.pixel_flipping import pixel_flipping
from heatproof.metrics.road import road
from heatproof.metrics.srg import srg

CURVES = (insertion, deletion, srg, pixel_flipping, road)


def removal(toy, i, j, imputer, k, most_first):
    """The score after k positions are gone: the slow way, one input, one target, one step."""
    values = toy.maps[i, j].flatten().tolist()
    order = sorted(range(len(values)), key=lambda p: values[p], reverse=most_first)
    gone = torch.zeros(len(values), dtype=torch.float64)
    gone[order[:k]] = 1
    mask = toy.mask_of(gone.reshape(toy.grid))[None, None]
    return float(toy.score(imputer(toy.inputs[i : i + 1], mask), torch.tensor([i]))[0, j])


def area(heights, at):
    steps = zip(itertools.pairwise(at), itertools.pairwise(heights), strict=True)
    return sum((b - a) * (f + g) / 2 for (a, b), (f, g) in steps)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_equal_the_slow_loop(axes, batch):
    toy = Toy(axes)
    total = toy.maps[0, 0].numel()
    gone = sorted({round(total * s / 4) for s in range(5)})
    at = [k / total for k in gone]
    part = [round(s * total) for s in (0.3, 0.6)]
    call = {"imputer": noise(1), "batch": batch}
    found = {f: f(toy.maps, toy.inputs, toy.score, steps=4, **call) for f in CURVES[:4]}
    found[road] = road(toy.maps, toy.inputs, toy.score, removed=(0.3, 0.6), **call)
    for i, j in itertools.product(range(toy.n), range(toy.t)):
        slow = partial(removal, toy, i, j, noise(1))
        most, least = ([slow(k, first) for k in gone] for first in (True, False))
        shown = least[::-1]  # the k first are in when the others are out
        wanted = {
            deletion: area(most, at),
            insertion: area(shown, [1 - a for a in at[::-1]]),
            srg: area(least, at) - area(most, at),
            pixel_flipping: sum(most[0] - y for y in most) / len(most),
            road: sum(slow(k, False) - slow(k, True) for k in part) / len(part) / 2,
        }
        for function, value in wanted.items():
            assert float(found[function].values[i, j]) == pytest.approx(value, abs=1e-9), function.__name__
        assert found[srg].most_first[i, j].tolist() == pytest.approx(most)
        assert found[srg].least_first[i, j].tolist() == pytest.approx(least)
    assert found[srg].steps.tolist() == pytest.approx(at)


def test_by_hand():
    """An additive score with weights 3, 1, -2; the map is these weights; removal sets to zero."""
    weights = torch.tensor([3.0, 1.0, -2.0])
    maps, inputs = weights.reshape(1, 1, 3), torch.ones(1, 1, 3)
    args = (maps, inputs, lambda x, rows: (x[:, 0] @ weights)[:, None])
    zero = {"imputer": constant(0.0), "steps": 3}
    # most first: 2, -1, -2, 0; least first: 2, 4, 3, 0
    assert float(deletion(*args, **zero).values) == pytest.approx((1 - 1 - 2 + 0) / 3)
    assert float(insertion(*args, **zero).values) == pytest.approx((1 + 4 + 3 + 0) / 3)
    assert float(srg(*args, **zero).values) == pytest.approx(10 / 3)
    assert float(pixel_flipping(*args, **zero).values) == pytest.approx((0 + 3 + 4 + 2) / 4)
    found = road(*args, imputer=constant(0.0), removed=(1 / 3, 2 / 3))
    assert float(found.values) == pytest.approx(((4 - -1) + (3 - -2)) / 4)
    assert float(srg(-maps, *args[1:], **zero).values) == pytest.approx(-10 / 3)


def test_cost_is_what_the_model_was_asked():
    toy = Toy(2)  # 3 inputs, 2 targets, 12 positions
    for function, wanted in ((deletion, 2 + 2 * 5), (insertion, 12), (pixel_flipping, 12), (srg, 2 + 2 * 2 * 5)):
        toy.calls = 0
        assert function(toy.maps, toy.inputs, toy.score, imputer=mean, steps=6).forwards == wanted
        assert toy.calls == wanted * toy.n, function.__name__
    toy.calls = 0
    # 0.0 and 1.0 are scored once for all; 0.50 and 0.51 are the same 6 positions
    assert road(toy.maps, toy.inputs, toy.score, removed=(0.0, 0.5, 0.51, 1.0)).forwards == 2 + 2 * 2
    assert toy.calls == 6 * toy.n


@pytest.mark.parametrize("function", [srg, road])
@pytest.mark.parametrize("value", [0.0, 0.1, -3.0])
def test_a_constant_map_is_exactly_at_chance(function, value):
    toy = Toy(2)
    assert function(torch.full_like(toy.maps, value), toy.inputs, toy.score).values.abs().max() == 0


def test_tied_positions_go_in_equal_parts():
    """As the mean over all orders of the ties."""
    values = torch.tensor([2.0, 5.0, 2.0, 2.0, -1.0, -1.0])
    orders = [
        order
        for order in itertools.permutations(range(6))
        if all(values[a] >= values[b] for a, b in itertools.pairwise(order))
    ]
    assert len(orders) == 12
    for k in range(7):
        share = [sum(p in order[:k] for order in orders) / 12 for p in range(6)]
        assert taken(*counts(values), torch.tensor([k])).tolist() == pytest.approx(share)


def test_a_seed_breaks_ties_alike_for_all_maps_and_only_ties():
    values = torch.stack([torch.zeros(40), torch.ones(40), torch.arange(40.0), torch.arange(40.0) // 10])
    greater, equal = broken(values, seed=3)
    assert (equal == 1).all()
    assert greater.sort(-1).values.tolist() == [list(range(40))] * 4
    assert torch.equal(greater[0], greater[1])
    assert not torch.equal(greater[0], broken(values, seed=4)[0][0])
    assert greater[2].tolist() == list(range(39, -1, -1))
    assert (greater[3] // 10).tolist() == [3 - p // 10 for p in range(40)]
    assert torch.equal(broken(values[3:], seed=3)[0][0], greater[3])


def test_with_a_seed_nothing_is_removed_in_part():
    toy = Toy(2)
    seen = []

    def watch(x, w):
        seen.append(w)
        return mean(x, w)

    flat = toy.maps.round().clamp(0, 1)
    first = srg(flat, toy.inputs, toy.score, imputer=watch, ties=0).values
    assert set(torch.cat(seen).flatten().tolist()) == {0.0, 1.0}
    assert not torch.equal(first, srg(flat, toy.inputs, toy.score, imputer=mean, ties=1).values)
    distinct = srg(toy.maps, toy.inputs, toy.score, imputer=mean).values
    torch.testing.assert_close(srg(toy.maps, toy.inputs, toy.score, imputer=mean, ties=1).values, distinct)


@pytest.mark.parametrize("function", CURVES)
def test_a_broken_map_is_nan_and_harms_no_neighbor(function):
    toy = Toy(2)
    whole = function(toy.maps, toy.inputs, toy.score).values
    toy.maps[1, 0, 0, 0] = torch.inf
    found = function(toy.maps, toy.inputs, toy.score).values
    assert found.isnan().tolist() == [[False, False], [True, False], [False, False]]
    assert torch.equal(found[~found.isnan()], whole[~found.isnan()])


def test_calls_that_cannot_be_meant_are_refused():
    toy = Toy(2)
    maps, inputs, score = toy.maps, toy.inputs, toy.score
    with pytest.raises(InputError, match=r"grid of \(12,\) do not fit inputs of size \(7, 9\)"):
        deletion(maps.flatten(2), inputs, score)
    with pytest.raises(InputError, match=r"grid \(3, 4\) is finer than the input \(2, 9\)"):
        deletion(maps, inputs[:, :, :2], score)
    with pytest.raises(InputError, match="3 rows of maps for 2 inputs"):
        require_fit(maps, inputs[:2])
    with pytest.raises(UsageError, match="steps is 0"):
        srg(maps, inputs, score, steps=0)
    with pytest.raises(UsageError, match="batch is 0"):
        srg(maps, inputs, score, batch=0)
    with pytest.raises(UsageError, match=r"removed is \(1\.2,\)"):
        road(maps, inputs, score, removed=(1.2,))
    with pytest.raises(MethodError, match=r"score returned shape \(3,\) for 3 inputs"):
        deletion(maps, inputs, lambda x, rows: draw(len(x)))


@pytest.mark.parametrize(("side", "batch", "largest"), [(224, 64, 8), (224, 3, 3), (600, 64, 1), (32, 64, 64)])
def test_calls_on_a_cpu_hold_no_more_than_its_caches(side, batch, largest):
    sizes = []

    def score(changed, rows):
        sizes.append(len(changed))
        return changed.mean((1, 2, 3)).unsqueeze(1)

    inputs = torch.zeros(2, 3, 1, 1).expand(2, 3, side, side)
    deletion(draw(2, 1, 7, 7), inputs, score, imputer=constant(1.0), steps=40, batch=batch)
    assert max(sizes) == largest
    assert sum(sizes) == 2 * 41


@pytest.mark.parametrize("function", CURVES)
def test_an_infinite_score_has_no_area(function):
    toy = Toy()

    def score(inputs, rows):
        return torch.where(rows[:, None] == 1, torch.inf, toy.score(inputs, rows))

    expected = function(toy.maps, toy.inputs, toy.score).values
    found = function(toy.maps, toy.inputs, score).values
    assert found[1].isnan().all()
    assert torch.equal(found[[0, 2]], expected[[0, 2]])


@pytest.mark.parametrize("function", CURVES)
def test_no_inputs_are_refused_with_a_sentence(function):
    with pytest.raises(InputError, match="give those of at least one input"):
        function(torch.rand(0, 1, 4, 4), torch.rand(0, 1, 16, 16), lambda x, _: x.flatten(1).mean(1, keepdim=True))
