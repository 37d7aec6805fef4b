"""Faithfulness on networks whose exact contributions are known: who is called faithful, and what must not matter."""

import math

import pytest
import torch
from tests.checks.additive import Additive, changed, exact, random_map, signals
from torch import Tensor

import heatproof as hp
from heatproof.errors import UsageError
from heatproof.types import CheckResult

LESS = {"subsets": 10}
"""Draws of what carries no verdict."""


def faithfulness(method, axes: int = 2, n: int = 24, x: Tensor | None = None, **settings) -> CheckResult:
    net = Additive(axes).eval()
    inputs = signals(n, axes) if x is None else x
    given = {"faithfulness": {**LESS, **settings}}
    return hp.check(net, inputs, "faithfulness", target=0, method=method, layer="body", settings=given)[0]


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_exact_contributions_are_faithful_and_their_opposites_are_not(axes: int) -> None:
    right, wrong = faithfulness(exact, axes), faithfulness(changed(lambda maps: -maps), axes)
    assert (right.verdict, wrong.verdict) == ("supports", "undermines")
    assert right.value is not None
    assert right.value.low > 0.9
    assert wrong.value is not None
    assert wrong.value.high < 0.1
    for name, column in right.per_input.items():
        if name.startswith("SRG, "):
            assert sum(column) > 0 > sum(wrong.per_input[name])


@pytest.mark.parametrize("seed", [4, 5])
def test_smooth_random_maps_never_count_as_faithful(seed: int) -> None:
    found = faithfulness(random_map(seed))
    assert found.verdict != "supports"
    assert found.value is not None
    assert 0.3 < found.value.estimate < 0.7


def test_constant_maps_are_at_the_null() -> None:
    found = faithfulness(changed(torch.ones_like))
    assert found.value is not None
    assert (found.value.estimate, found.value.low, found.value.high) == (0.5, 0.5, 0.5)
    assert found.verdict == "undermines"


def test_scale_and_batches_do_not_matter_and_a_seed_makes_it_again() -> None:
    first = faithfulness(exact, n=10)
    for other in (
        faithfulness(changed(lambda maps: 1e4 * maps), n=10),
        faithfulness(exact, n=10, batch=5),
        faithfulness(exact, n=10),
    ):
        assert other.value == first.value
        for name, column in first.per_input.items():
            if name not in ("input", "target"):
                assert other.per_input[name] == pytest.approx(column, abs=1e-5)


def test_what_is_not_finite_is_left_out_and_too_much_of_it_decides_nothing() -> None:
    def spoiled(share: float):
        def change(maps: Tensor) -> Tensor:
            spoilt = maps.clone()
            spoilt[: int(share * len(maps))] = math.nan
            return spoilt

        return changed(change)

    some, most = faithfulness(spoiled(0.05), n=20), faithfulness(spoiled(0.5), n=20)
    assert (some.verdict, some.n) == ("supports", 19)
    assert "1 of 20 inputs are left out" in some.why
    assert most.verdict == "inconclusive"


def test_few_inputs_are_inconclusive_and_told_how_many_it_takes() -> None:
    for n in (1, 6):
        found = faithfulness(exact, n=n)
        assert (found.verdict, found.n) == ("inconclusive", n)
        assert found.n_needed is not None
        assert found.n_needed >= 10


def test_imputers_that_disagree_decide_nothing() -> None:
    def keep(inputs: Tensor, _weights: Tensor) -> Tensor:
        return inputs

    def against(inputs: Tensor, weights: Tensor) -> Tensor:
        """Removing a position puts twice its evidence there."""
        return inputs * (1 + weights)

    found = faithfulness(exact, imputers={"keep": keep})
    assert found.verdict == "inconclusive"
    assert "No removal changes any score" in found.why
    found = faithfulness(exact, imputers=["mean", against])
    assert found.verdict == "inconclusive"
    assert "disagree" in found.why


def test_a_score_that_nothing_changes_decides_nothing() -> None:
    class Deaf(Additive):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 0 + 1

    given = {"faithfulness": LESS}
    found = hp.check(
        Deaf().eval(), signals(12), "faithfulness", target=0, method=random_map(0), layer="body", settings=given
    )[0]
    assert found.verdict == "inconclusive"


def test_settings_that_make_no_sense_are_refused() -> None:
    with pytest.raises(UsageError, match="nulls is"):
        faithfulness(exact, n=4, nulls=(0, 0, 2))
    with pytest.raises(UsageError, match="There is no imputer 'blurr'"):
        faithfulness(exact, n=4, imputers=["blurr"])
    with pytest.raises(UsageError, match="for signals"):
        faithfulness(exact, n=4, imputers=["continuum"])
