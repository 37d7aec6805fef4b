"""Faithfulness correlation, muFidelity, infidelity and sensitivity-n against loops; additive scores."""

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import pearsonr, spearmanr
from tests.metrics.toys import Toy, draw

from heatproof.errors import InputError, UsageError
from heatproof.metrics._subsets import drawn
from heatproof.metrics.correlation import faithfulness_correlation, mu_fidelity
from heatproof.metrics.imputers import constant, noise
from heatproof.metrics.infidelity import infidelity
from heatproof.metrics.sensitivity import sensitivity_n

ALL = (faithfulness_correlation, mu_fidelity, infidelity, sensitivity_n)


def slow(toy, i, j, imputer, subset):
    """What one subset holds of the map, and how far the score falls without it."""
    mask = toy.mask_of(subset.reshape(toy.grid))[None, None]
    row = torch.tensor([i])
    held = sum(float(v) for v, s in zip(toy.maps[i, j].flatten(), subset, strict=True) if s)
    before, after = toy.score(toy.inputs[i : i + 1], row), toy.score(imputer(toy.inputs[i : i + 1], mask), row)
    return held, float(before[0, j] - after[0, j])


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_equal_the_slow_loop(axes):
    toy, fill = Toy(axes), noise(1)
    total = toy.maps[0, 0].numel()
    subsets = drawn(total, max(1, round(0.4 * total)), 9, seed=5)
    call = {"imputer": fill, "subsets": 9, "seed": 5, "batch": 7}
    args = (toy.maps, toy.inputs, toy.score)
    found = {f: f(*args, share=0.4, **call) for f in ALL[:3]}
    raw = infidelity(*args, share=0.4, scaled=False, **call).values
    several = sensitivity_n(*args, sizes=[1, 3], **call)
    for i, j in itertools.product(range(toy.n), range(toy.t)):
        held, fallen = np.array([slow(toy, i, j, fill, s) for s in subsets]).T
        assert float(found[faithfulness_correlation].values[i, j]) == pytest.approx(pearsonr(held, fallen)[0])
        assert float(found[mu_fidelity].values[i, j]) == pytest.approx(spearmanr(held, fallen)[0])
        assert float(raw[i, j]) == pytest.approx(np.mean((held - fallen) ** 2))
        # the best factor by least squares
        beta = np.linalg.lstsq(held[:, None], fallen, rcond=None)[0][0]
        assert float(found[infidelity].values[i, j]) == pytest.approx(np.mean((beta * held - fallen) ** 2))
        for s, size in enumerate((1, 3)):
            pairs = np.array([slow(toy, i, j, fill, x) for x in drawn(total, size, 9, seed=5 + s)]).T
            assert float(several.parts[i, j, s]) == pytest.approx(pearsonr(*pairs)[0])
        assert float(several.values[i, j]) == pytest.approx(float(several.parts[i, j].mean()))
    assert several.steps.tolist() == pytest.approx([1 / total, 3 / total])


def additive(n=2, t=2):
    """Removal to zero costs exactly what the map holds."""
    maps, inputs = draw(n, t, 4, 5), torch.ones(n, 1, 4, 5, dtype=torch.float64)
    return maps, inputs, lambda x, rows: (maps[rows] * x).flatten(2).sum(-1)


@pytest.mark.parametrize("factor", [1.0, 1e-5, 1e-30])
def test_contributions_to_an_additive_score_are_perfect(factor):
    maps, inputs, score = additive()
    zero = {"imputer": constant(0.0)}
    for function in (faithfulness_correlation, mu_fidelity, sensitivity_n):
        assert function(maps * factor, inputs, score, **zero).values.flatten().tolist() == pytest.approx([1] * 4)
        assert function(-maps * factor, inputs, score, **zero).values.flatten().tolist() == pytest.approx([-1] * 4)
    assert infidelity(maps * factor, inputs, score, **zero).values.abs().max() < 1e-20
    assert infidelity(maps, inputs, score, scaled=False, **zero).values.abs().max() < 1e-20
    doubled = infidelity(2 * maps, inputs, score, scaled=False, **zero).values
    blank = infidelity(torch.zeros_like(maps), inputs, score, scaled=False, **zero).values
    torch.testing.assert_close(doubled, blank)  # off by the whole fall in both


def test_the_mean_over_unrelated_maps_is_chance():
    _, inputs, score = additive(n=1, t=1)
    maps = draw(1, 400, 4, 5, seed=9)
    for function in (faithfulness_correlation, mu_fidelity, sensitivity_n):
        values = function(maps, inputs, lambda x, r: score(x, r).expand(-1, 400), imputer=constant(0.0)).values
        assert abs(float(values.mean())) < 5 * float(values.std()) / 20


def test_a_map_or_score_without_differences_has_no_correlation():
    toy = Toy(2)
    even = torch.full_like(toy.maps, 0.1)
    for function in (faithfulness_correlation, mu_fidelity, sensitivity_n):
        assert function(even, toy.inputs, toy.score).values.isnan().all()
        deaf = function(toy.maps, toy.inputs, lambda x, rows: torch.full((len(x), 2), 0.3)).values
        assert deaf.isnan().all()
    broken = toy.maps.clone()
    broken[0, 1, 0, 0] = torch.nan
    for function in ALL:
        found = function(broken, toy.inputs, toy.score).values
        assert found.isnan().tolist() == [[False, True], [False, False], [False, False]]


def test_scaled_infidelity_of_a_constant_map_is_no_worse_than_a_blank_one():
    toy = Toy(2)
    blank, even, own = (infidelity(m, toy.inputs, toy.score).values for m in (0 * toy.maps, 0 * toy.maps + 1, toy.maps))
    assert (even <= blank + 1e-12).all()
    assert (own <= blank + 1e-12).all()


def test_subsets_are_exact_uniform_and_seeded():
    subsets = drawn(10, 3, 4000, seed=0)
    assert subsets.sum(-1).unique().tolist() == [3]
    assert (subsets.mean(0) - 0.3).abs().max() < 5 * (0.21 / 4000) ** 0.5
    assert torch.equal(drawn(10, 3, 4000, seed=0), subsets)
    assert not torch.equal(drawn(10, 3, 4000, seed=1), subsets)


def test_cost_does_not_grow_with_targets():
    toy = Toy(2)
    for function, options, wanted in (
        (faithfulness_correlation, {"subsets": 8}, 9),
        (mu_fidelity, {"subsets": 8}, 9),
        (infidelity, {"subsets": 8}, 9),
        (sensitivity_n, {"subsets": 4, "sizes": [2, 5]}, 9),
    ):
        toy.calls = 0
        assert function(toy.maps, toy.inputs, toy.score, **options).forwards == wanted
        assert toy.calls == wanted * toy.n


def test_calls_that_cannot_be_meant_are_refused():
    toy = Toy(2)
    args = (toy.maps, toy.inputs, toy.score)
    with pytest.raises(UsageError, match="12 of 12 positions leaves no choice"):
        mu_fidelity(*args, share=1.0)
    with pytest.raises(UsageError, match="1 subsets are too few"):
        infidelity(*args, subsets=1)
    with pytest.raises(UsageError, match="sizes is empty"):
        sensitivity_n(*args, sizes=[])


def test_mu_fidelity_does_not_hang_on_the_last_digit():
    """Falls that are the same but for the rounding of single precision are ties."""
    toy = Toy()

    def score(noise):
        def rounded(inputs, rows):
            found = (4 * toy.score(inputs, rows)).round() / 4 + 1  # many ties
            shake = torch.sin(1e6 * inputs.double().flatten(1).sum(1, keepdim=True) + noise)
            return found * (1 + 1e-8 * shake)

        return rounded

    one, other = (mu_fidelity(toy.maps, toy.inputs, score(noise)).values for noise in (0, 1))
    assert one.isfinite().any()
    torch.testing.assert_close(one, other, rtol=0, atol=1e-12, equal_nan=True)


def test_sensitivity_n_on_two_positions():
    found = sensitivity_n(draw(2, 1, 2), draw(2, 1, 8, seed=1), lambda x, _: x.flatten(1).mean(1, keepdim=True))
    assert found.steps.tolist() == [0.5]
    assert found.values.isfinite().all()


def test_no_inputs_are_refused_with_a_sentence():
    nothing = (torch.rand(0, 1, 4, 4), torch.rand(0, 1, 16, 16), lambda x, _: x.flatten(1).mean(1, keepdim=True))
    for function in (mu_fidelity, sensitivity_n, infidelity):
        with pytest.raises(InputError, match="give those of at least one input"):
            function(*nothing)
