"""Average drop, increase in confidence, ADCC and max-sensitivity against loops from the papers, and by hand."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import pearsonr
from tests.metrics.toys import Toy, draw

from heatproof.errors import MethodError, UsageError
from heatproof.metrics.adcc import adcc, coherence, complexity
from heatproof.metrics.drop import average_drop, increase_in_confidence
from heatproof.metrics.imputers import constant
from heatproof.metrics.sensitivity import max_sensitivity

MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("batch", [1, 5, 64])
def test_equal_the_papers_one_input_at_a_time(axes, batch):
    toy = Toy(axes)
    toy.maps += 0.5  # so that none of these small maps is without positive evidence
    args = (toy.maps, toy.inputs)
    drop = average_drop(*args, toy.score, batch=batch)
    rise = increase_in_confidence(*args, toy.score, batch=batch)
    alike = coherence(*args, toy.explain, batch=batch)
    whole = adcc(*args, toy.score, toy.explain, batch=batch)
    for i, j in itertools.product(range(toy.n), range(toy.t)):
        cam = toy.maps[i, j].clamp(min=0)
        cam = cam / cam.max()
        large = F.interpolate(cam[None, None], size=toy.spatial, mode=MODES[axes], align_corners=False)
        row = torch.tensor([i])
        shown = toy.inputs[i : i + 1] * large
        before, after = (float(toy.score(x, row)[0, j]) for x in (toy.inputs[i : i + 1], shown))
        ad = max(0.0, before - after) / before
        again = toy.explain(shown, row)[0, j].clamp(min=0)
        coh = (pearsonr(cam.flatten(), again.flatten())[0] + 1) / 2
        com = float(cam.abs().sum()) / cam.numel()
        assert float(drop.values[i, j]) == pytest.approx(ad)
        assert float(rise.values[i, j]) == (after > before)
        assert float(alike.values[i, j]) == pytest.approx(coh)
        assert float(complexity(toy.maps)[i, j]) == pytest.approx(com)
        harmonic = 3 / (1 / coh + 1 / (1 - com) + 1 / (1 - ad)) if ad < 1 else 0.0
        assert float(whole.values[i, j]) == pytest.approx(harmonic)
        assert whole.parts[i, j].tolist() == pytest.approx([coh, com, ad])
    assert (drop.forwards, rise.forwards, alike.forwards, whole.forwards) == (3, 3, 2, 5)


def test_by_hand():
    """The score is the sum: keeping 1 and half of 2 of 1 + 2 + 3 leaves 2 of 6."""
    maps, inputs = torch.tensor([[[4.0, 2.0, -7.0]]]), torch.tensor([[[1.0, 2.0, 3.0]]])
    total = lambda x, rows: x.flatten(1).sum(-1, keepdim=True)  # noqa: E731  a sum needs no name of its own
    assert float(average_drop(maps, inputs, total).values) == pytest.approx(4 / 6)
    assert float(increase_in_confidence(maps, inputs, total).values) == 0
    assert float(average_drop(maps, inputs, total, imputer=constant(9.0)).values) == 0  # 1, 0.5 * 2 + 4.5 * 2, 9 ...
    assert float(increase_in_confidence(maps, inputs, total, imputer=constant(9.0)).values) == 1
    assert float(complexity(maps)) == pytest.approx(0.5)


def test_what_has_no_value():
    toy = Toy(2)
    assert average_drop(toy.maps, toy.inputs, lambda x, r: -toy.score(x, r)).values.isnan().all()
    assert adcc(toy.maps, toy.inputs, lambda x, r: 0 * toy.score(x, r), toy.explain).values.isnan().all()
    even = torch.ones_like(toy.maps)
    assert average_drop(even, toy.inputs, toy.score).values.abs().max() == 0
    assert increase_in_confidence(even, toy.inputs, toy.score).values.abs().max() == 0
    assert (complexity(even) == 1).all()
    assert (complexity(-even) == 0).all()
    assert coherence(even, toy.inputs, toy.explain).values.isnan().all()
    assert adcc(even, toy.inputs, toy.score, toy.explain).values.isnan().all()
    toy.maps[0, 1, 2, 2] = torch.nan
    for values in (
        average_drop(toy.maps, toy.inputs, toy.score).values,
        increase_in_confidence(toy.maps, toy.inputs, toy.score).values,
        coherence(toy.maps, toy.inputs, toy.explain).values,
        complexity(toy.maps),
        adcc(toy.maps, toy.inputs, toy.score, toy.explain).values,
        max_sensitivity(toy.maps, toy.inputs, toy.explain).values,
    ):
        assert values.isnan().tolist() == [[False, True], [False, False], [False, False]]


def test_a_drop_of_more_than_everything_makes_adcc_zero():
    maps, inputs = draw(1, 1, 4).abs(), torch.ones(1, 1, 4, dtype=torch.float64)
    found = adcc(maps, inputs, lambda x, rows: 2 * x.sum((1, 2))[:, None] - 7, lambda x, rows: x * maps)
    assert float(found.parts[..., 2]) > 1
    assert float(found.values) == 0


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_max_sensitivity_equals_the_slow_loop(axes):
    toy = Toy(axes)
    maps = toy.explain(toy.inputs, torch.arange(toy.n))
    noise = torch.rand(4, *toy.inputs.shape[1:], generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    found = max_sensitivity(maps, toy.inputs, toy.explain, radius=0.3, draws=4, seed=7, batch=5)
    assert found.forwards == 4
    for i, j in itertools.product(range(toy.n), range(toy.t)):
        here = maps[i, j].numpy()
        moved = []
        for change in noise:
            there = toy.explain(toy.inputs[i : i + 1] + 0.3 * (2 * change - 1), torch.tensor([i]))[0, j].numpy()
            moved.append(np.linalg.norm(there - here) / np.linalg.norm(here))
        assert float(found.values[i, j]) == pytest.approx(max(moved))
        assert found.parts[i, j].tolist() == pytest.approx(moved)


def test_max_sensitivity_at_its_ends():
    toy = Toy(2)
    still = max_sensitivity(toy.maps, toy.inputs, lambda x, rows: toy.maps[rows])
    assert still.values.abs().max() == 0
    assert max_sensitivity(0 * toy.maps, toy.inputs, toy.explain).values.isnan().all()
    tiny = max_sensitivity(toy.maps * 1e-30, toy.inputs, lambda x, rows: -2e-30 * toy.maps[rows])
    assert tiny.values.flatten().tolist() == pytest.approx([3.0] * 6)


def test_calls_that_cannot_be_meant_are_refused():
    toy = Toy(2)
    with pytest.raises(UsageError, match="radius is 0"):
        max_sensitivity(toy.maps, toy.inputs, toy.explain, radius=0.0)
    with pytest.raises(MethodError, match=r"explain returned shape \(6, 2, 12\) for 6 inputs; return \(6, 2, 3, 4\)"):
        coherence(toy.maps, toy.inputs, lambda x, rows: toy.explain(x, rows).flatten(2))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_no_number_without_a_number(bad):
    toy = Toy()

    def before(inputs, rows):
        return torch.where((inputs == toy.inputs[rows]).flatten(1).all(1)[:, None], bad, toy.score(inputs, rows))

    def after(inputs, rows):
        return torch.where((inputs == toy.inputs[rows]).flatten(1).all(1)[:, None], toy.score(inputs, rows), bad)

    for score in (before, after):
        for function in (average_drop, increase_in_confidence):
            assert function(toy.maps, toy.inputs, score).values.isnan().all()
