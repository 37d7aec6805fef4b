"""Plans: what is fixed, how it is written, what makes two of them differ, what a budget takes away."""

import dataclasses

import pytest
from tests.audit.problem import spots

from heatproof.audit import power
from heatproof.audit.entry import Roles
from heatproof.audit.look import Counts, Look
from heatproof.audit.plan import difference, read_plan, write_plan
from heatproof.audit.planning import Wishes, make_plan
from heatproof.errors import InputError, UsageError
from heatproof.explain import Explainer
from heatproof.types import Resolution


class Data:
    kind, data, columns, labels = "table", "some/where/data.csv", ("site",), None

    def __init__(self, roles=None):
        self.roles = roles or Roles(label="diagnosis")

    def __iter__(self):
        raise AssertionError("a plan reads nothing")

    read = annotation = __iter__

    def fingerprint(self):
        return "f" * 64


COUNTS = Counts(1000, 1000, 600, 300, {"red": 400, "blue": 600}, {"site": "string"})
SEEN = Look((8, 8), (32, 32), Resolution((8, 8), (4.0, 4.0)), 3, "relu", "score", 2, 2, 10.0)


def plan_of(counts=COUNTS, earlier=None, **wishes):
    return make_plan(Wishes(**wishes), Explainer(spots()), Data(), counts, SEEN, earlier)


def test_a_plan_is_read_as_it_was_written(tmp_path):
    plan = plan_of(settings={"faithfulness": {"steps": 4}}, artifacts={"site": "site"}, budget=1e6)
    write_plan(tmp_path / "plan.toml", plan)
    again = read_plan(tmp_path / "plan.toml")
    assert again == plan
    assert difference(again, plan) == []


def test_what_was_measured_makes_no_other_plan():
    plan = plan_of()
    slower = make_plan(Wishes(), Explainer(spots()), Data(), COUNTS, dataclasses.replace(SEEN, forward_ms=99.0))
    assert difference(plan, slower) == []
    assert difference(plan, plan_of(alpha=0.01))[0] == "alpha is 0.05 there and 0.01 now"


def test_sample_sizes_are_those_of_the_normal_approximation():
    asks = {ask.question: ask for ask in plan_of().asks}
    # (z(1 - 0.05 / 8) + z(0.9))^2 spread^2 / gap^2, with four primary verdicts
    z = 2.4977 + 1.2816
    assert asks["sanity"].needed == pytest.approx((z * 0.25 / 0.15) ** 2, abs=1)
    assert asks["faithfulness"].planned == pytest.approx((z * 0.30 / 0.15) ** 2, abs=1)
    assert asks["shortcuts"].planned == power.SHORTCUTS
    assert power.units_needed("sanity", 0.05, 1) < power.units_needed("sanity", 0.05, 4)


def test_too_little_data_is_said_before_anything_runs():
    few = Counts(20, 20, 0, 20, {"red": 10, "blue": 10}, {})
    plan = plan_of(few)
    assert {ask.question: ask.planned for ask in plan.asks} == {"sanity": 20, "faithfulness": 20, "shortcuts": 20}
    assert plan.not_asked == {"plausibility": "there are no annotations"}
    assert any("sanity needs about" in sentence for sentence in plan.warnings)


def test_questions_that_the_data_cannot_answer():
    one_class = Counts(50, 50, 0, 50, {"red": 50}, {})
    assert plan_of(one_class).not_asked["shortcuts"] == "all labels are the same"
    with pytest.raises(UsageError, match="plausibility cannot be asked of this data: there are no annotations"):
        plan_of(one_class, checks=["plausibility"])
    assert plan_of(checks=["sanity"]).not_asked["faithfulness"] == "it was not asked for"
    with pytest.raises(UsageError, match="no check 'sanitty'"):
        plan_of(checks=["sanitty"])


def test_a_check_beyond_the_four_is_exploratory():
    asks = {ask.question: ask.primary for ask in plan_of(checks=["stability", "sanity"]).asks}
    assert asks == {"sanity": True, "stability": False}


def test_a_budget_takes_from_the_costliest_first_and_says_so():
    whole = plan_of()
    half = plan_of(budget=whole.cost.seconds / 2)
    assert half.cost.seconds <= whole.cost.seconds / 2
    assert half.budget.given_up
    planned = {ask.question: ask.planned for ask in half.asks}
    before = {ask.question: ask.planned for ask in whole.asks}
    costliest = max(whole.asks, key=lambda ask: ask.seconds).question
    assert planned[costliest] < before[costliest]
    assert planned["plausibility"] == before["plausibility"]
    nothing = plan_of(budget=0.5)
    assert set(nothing.not_asked) >= {"sanity", "faithfulness", "shortcuts"}
    assert any("more than the budget" in sentence for sentence in nothing.budget.given_up)


def test_going_on_with_a_trimmed_run_trims_alike():
    """The time of a forward is measured anew at each call; the plan that is there decides."""
    first = plan_of(budget=600.0)
    again = make_plan(
        Wishes(budget=600.0), Explainer(spots()), Data(), COUNTS, dataclasses.replace(SEEN, forward_ms=33.0), first
    )
    assert difference(first, again) == []
    assert [ask.planned for ask in first.asks] == [ask.planned for ask in again.asks]


def test_training_data_and_silence_are_warned_of():
    warned = plan_of(split="train").warnings
    assert any("learned from" in sentence for sentence in warned)
    assert any("which split" in sentence for sentence in plan_of().warnings)
    assert any("meant for" in sentence for sentence in warned)
    assert any("who made the annotations" in sentence for sentence in warned)
    told = plan_of(split="test", intended_use="triage", annotations_from="two dermatologists").warnings
    assert told == ()


def test_wishes_out_of_range():
    for wrong in ({"alpha": 1.5}, {"batch_size": 0}, {"seed": -1}, {"dtype": "int8"}, {"sample": 0}, {"budget": -1.0}):
        with pytest.raises(UsageError):
            plan_of(**wrong)


def test_a_plan_that_is_none(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text("format = 'else'\n")
    with pytest.raises(InputError, match="'else'"):
        read_plan(path)
    path.write_text("= broken")
    with pytest.raises(InputError, match="cannot be read as a plan"):
        read_plan(path)
    write_plan(path, plan_of())
    path.write_text(path.read_text().replace("weights_sha256", "weight"))
    with pytest.raises(InputError, match="changed by hand"):
        read_plan(path)
