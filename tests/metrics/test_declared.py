"""Every declared metric: what it says is kept, and what must not matter does not (batch, order, unit of the map)."""

import inspect
import re

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.metrics.toys import Toy, draw

from heatproof.errors import MethodError
from heatproof.metrics import metric, metrics
from heatproof.metrics._record import Measurement
from heatproof.metrics.imputers import noisy_linear

ALL = metrics()
LIKE_THE_SCORE = ("insertion", "deletion", "srg", "pixel_flipping", "road")


def measure(name, toy, **options):
    """Call a metric with whatever its signature asks for, and return its values (n, t)."""
    function = ALL[name].function
    asked = inspect.signature(function).parameters
    other = draw(5, *toy.maps.shape[1:], seed=77)[toy.labels] + 0.4 * toy.maps
    given = {
        "maps": toy.maps,
        "a": toy.maps,
        "b": other,
        "masks": other[:, :1] > 0.2,
        "inputs": toy.inputs,
        "score": toy.score,
        "explain": toy.explain,
        "cell": 1,
        "block": 2,
        "removed": (0.3, 0.6),
        "subsets": 20,
        **options,
    }
    found = function(**{key: value for key, value in given.items() if key in asked})
    return found.values if isinstance(found, Measurement) else found


def problem(seed=0, axes=2):
    toy = Toy(axes, n=5, t=2, seed=seed)
    toy.labels = torch.arange(5)
    return toy


def part(toy, keep):
    other = toy.part(keep)
    other.labels = toy.labels[keep]
    return other


def test_the_folder_lists_them_all():
    assert len(ALL) == 26
    for question in ("similarity", "insertion", "deletion", "srg", "road", "drop", "adcc", "correlation"):
        assert any(each.question == question for each in ALL.values()), question
    assert metric("srg") is ALL["srg"]
    with pytest.raises(MethodError, match="there is no metric 'instertion'; did you mean 'insertion'"):
        metric("instertion")


@pytest.mark.parametrize("name", ALL)
def test_each_says_what_it_is(name):
    each = ALL[name]
    assert each.name == name
    assert re.search(r"\b(18|19|20)\d\d\b", each.paper), "the paper has no year"
    assert each.title
    assert each.low < each.high
    assert each.chance != ""
    if not isinstance(each.chance, str):
        assert each.low <= each.chance <= each.high
    doc = inspect.getdoc(each.function)
    assert "NaN" in doc or "`average_drop`" in doc
    assert re.search(r"[Ss]ource|`faithfulness_correlation`", doc)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_values_are_float64_one_per_map_and_in_range(name, axes):
    toy = problem(axes=axes)
    if name == "hog_similarity" and axes != 2:
        with pytest.raises(MethodError, match="use spearman or ssim"):
            measure(name, toy)
        return
    found = measure(name, toy)
    assert found.shape == (5, 2)
    assert found.dtype == torch.float64
    known = found[~found.isnan()]
    if name == "ssim" and min(toy.maps.shape[2:]) < 3:
        assert not len(known)  # no window holds any structure
        return
    assert len(known) >= 5
    assert (known >= ALL[name].low - 1e-12).all()
    assert (known <= ALL[name].high + 1e-12).all()
    assert len(known.unique()) > 1


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(5)))
def test_neither_the_batch_nor_the_order_matters(name, seed, order):
    toy = problem(seed)
    whole = measure(name, toy)
    options = {"equal_nan": True, "atol": 1e-5, "rtol": 1e-5}
    torch.testing.assert_close(measure(name, part(toy, order)), whole[order], **options)
    torch.testing.assert_close(measure(name, toy, batch=1), whole, **options)
    torch.testing.assert_close(measure(name, toy, batch=3), whole, **options)
    singles = torch.cat([measure(name, part(toy, [i])) for i in range(5)])
    torch.testing.assert_close(singles, whole, **options)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6), factor=st.sampled_from([1e-30, 1e-5, 0.37, 3.0, 1e8]))
def test_the_unit_of_the_map_does_not_matter(name, seed, factor):
    toy = problem(seed)
    whole = measure(name, toy)
    asked = inspect.signature(ALL[name].function).parameters
    changed = {key: toy.maps * factor for key in ("maps", "a") if key in asked}
    if "b" in asked:
        changed["b"] = factor * (draw(5, *toy.maps.shape[1:], seed=77) + 0.4 * toy.maps)
    if "masks" in asked:
        changed["masks"] = (draw(5, *toy.maps.shape[1:], seed=77) + 0.4 * toy.maps)[:, :1] > 0.2
    if "explain" in asked:
        changed["explain"] = lambda inputs, rows: factor * toy.explain(inputs, rows)
    torch.testing.assert_close(measure(name, toy, **changed), whole, equal_nan=True, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", LIKE_THE_SCORE)
def test_values_are_in_the_units_of_the_score(name):
    toy = problem()
    whole = measure(name, toy, imputer=noisy_linear())
    milli = measure(name, toy, imputer=noisy_linear(), score=lambda x, rows: 1000 * toy.score(x, rows))
    torch.testing.assert_close(milli, 1000 * whole)


@pytest.mark.parametrize("name", ["srg", "road", "faithfulness_correlation", "mu_fidelity", "sensitivity_n"])
def test_the_opposite_map_has_the_opposite_value(name):
    toy = problem()
    torch.testing.assert_close(measure(name, toy, maps=-toy.maps), -measure(name, toy))


@pytest.mark.parametrize("name", [n for n in ALL if "maps" in inspect.signature(ALL[n].function).parameters])
def test_single_precision_and_whatever_is_recorded_do_not_leak(name):
    toy = problem()
    toy.maps.requires_grad_()
    maps, inputs = toy.maps.float(), toy.inputs.float()
    before = maps.detach().clone(), inputs.clone()
    found = measure(name, toy, maps=maps.detach(), inputs=inputs)
    assert found.dtype == torch.float64
    assert torch.equal(maps, before[0])
    assert torch.equal(inputs, before[1])


@pytest.mark.gpu
@pytest.mark.parametrize("name", ALL)
def test_the_device_of_the_maps_is_that_of_the_result(name):
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    toy = problem()
    whole = measure(name, toy)
    toy.maps, toy.inputs, toy.weights = toy.maps.cuda(), toy.inputs.cuda(), toy.weights.cuda()
    other = (draw(5, *toy.maps.shape[1:], seed=77) + 0.4 * toy.maps.cpu()).cuda()
    found = measure(name, problem(), maps=toy.maps, a=toy.maps, b=other, masks=other[:, :1] > 0.2, inputs=toy.inputs,
                    score=toy.score, explain=toy.explain)  # fmt: skip
    assert found.is_cuda
    torch.testing.assert_close(found.cpu(), whole, equal_nan=True, atol=1e-4, rtol=1e-4)
