"""Degenerate maps are found, counted by kind, and judged by an interval that a share of none does not make certain."""

import math

import pytest
import torch
from tests.checks.additive import Additive, changed, exact, signals
from torch import Tensor, nn

import heatproof as hp
from heatproof.errors import UsageError
from heatproof.types import Capture, CheckResult


def degenerate(method, n: int = 50, axes: int = 2, target=0, **more) -> CheckResult:
    return hp.check(
        Additive(axes).eval(), signals(n, axes), "degenerate", target=target, method=method, layer="body", **more
    )[0]


def some(count: int, spoil):
    """A method that spoils the first maps of a batch."""

    def change(maps: Tensor) -> Tensor:
        spoilt = maps.clone()
        spoilt[:count] = spoil(maps[:count])
        return spoilt

    return changed(change)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_maps_that_say_something_are_supported(axes: int) -> None:
    found = degenerate(exact, axes=axes)
    assert found.verdict == "supports"
    assert found.value is not None
    # Clopper and Pearson's limits for none of 50
    assert (found.value.estimate, found.value.low) == (0.0, 0.0)
    assert found.value.high == pytest.approx(1 - 0.025 ** (1 / 50))


@pytest.mark.parametrize(
    ("name", "spoil"),
    [
        ("blank", torch.zeros_like),
        ("constant", torch.ones_like),
        ("non-finite", lambda maps: torch.full_like(maps, math.nan)),
        ("all-negative", lambda maps: -1 - maps.abs()),
    ],
)
def test_each_kind_is_counted_and_a_few_decide(name: str, spoil) -> None:
    found = degenerate(some(15, spoil))
    assert found.verdict == "undermines"
    assert found.value is not None
    assert found.value.estimate == 0.3
    assert found.per_input[name] == [True] * 15 + [False] * 35
    assert found.details["shares"][name].estimate == 0.3


def test_a_method_that_ignores_the_class_is_found() -> None:
    def first_activation(capture: Capture) -> Tensor:
        return capture.activations[:, :1].expand(-1, capture.scores.shape[1], *capture.activations.shape[2:])

    found = degenerate(first_activation)
    assert found.verdict == "undermines"
    assert found.details["shares"]["class-insensitive"].estimate == 1.0
    assert found.per_input["rho with other class"] == pytest.approx([1.0] * 50)
    assert set(found.per_input["other class"]) == {"class 1"}
    assert "class-insensitive 50" in found.why


def test_correlation_with_the_other_class_is_that_of_its_own_map() -> None:
    x, net = signals(10), Additive().eval()
    both = hp.explain(net, x, target=[[0, 1]] * 10, method=exact, layer="body").maps.flatten(2).double()
    order = both.argsort(-1).argsort(-1).double()
    expected = [float(torch.corrcoef(pair)[0, 1]) for pair in order]
    assert degenerate(exact, n=10).per_input["rho with other class"] == pytest.approx(expected, abs=1e-9)


def test_without_classes_the_question_is_not_asked_and_costs_nothing() -> None:
    found = degenerate(exact, target=lambda output: output[0])
    assert found.verdict == "supports"
    assert found.forwards == 0
    assert "not asked" in found.why
    single = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 1)).eval()
    found = hp.check(single, signals(10), "degenerate", target=0, layer="0")[0]
    assert "not asked" in found.why


def test_cost_is_what_ran() -> None:
    ran: list[int] = []
    net = Additive().eval()
    net.register_forward_pre_hook(lambda _module, given: ran.append(len(given[0])))
    explain_only = hp.explain(net, signals(12), target=0, method=exact, layer="body")
    before = sum(ran)
    assert len(explain_only) == 12
    ran.clear()
    found = hp.check(net, signals(12), "degenerate", target=0, method=exact, layer="body")[0]
    assert found.forwards == 2  # one forward and one backward
    assert sum(ran) - before == 12


def test_few_inputs_and_clusters() -> None:
    few = degenerate(exact, n=5)
    assert (few.verdict, few.n) == ("inconclusive", 5)
    assert few.n_needed is not None
    assert few.n_needed >= 10
    clustered = degenerate(exact, n=40, cluster_by=[i // 8 for i in range(40)], cluster_name="patient")
    assert (clustered.verdict, clustered.n, clustered.unit) == ("inconclusive", 5, "patient")
    assert clustered.value is not None
    assert clustered.value.high == pytest.approx(1 - 0.025 ** (1 / 5))


@pytest.mark.parametrize("settings", [{"alike": 0.0}, {"margin": 0.0}, {"margin": 1.0}])
def test_settings_out_of_range(settings) -> None:
    with pytest.raises(UsageError, match="out of range"):
        degenerate(exact, n=2, settings={"degenerate": settings})
