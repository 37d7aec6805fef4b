"""How verdicts share alpha, and that an answer at another alpha is the one that a check at that alpha gives."""

import dataclasses

import pytest
import torch
from tests.audit.problem import picture, spots, write

import heatproof as hp
from heatproof.audit.plan import Ask, read_plan
from heatproof.audit.questions import alphas
from heatproof.audit.run import audit
from heatproof.audit.store import PLAN


def plan_with(tmp_path, *names):
    run = audit(spots(), write(tmp_path / "d", 30), tmp_path / "r", [], split="test")
    plan = read_plan(run.folder / PLAN)
    ask = {"statistic": "", "margin": 0.1, "needed": 9, "planned": 9, "forwards": 1.0, "seconds": 1.0}
    asks = tuple(Ask(question=name, primary=name != "stability", **ask) for name in names)
    return dataclasses.replace(plan, asks=asks, alpha=0.06)


def test_the_parts_add_up_to_alpha(tmp_path):
    plan = plan_with(tmp_path, "sanity", "faithfulness", "shortcuts", "stability")
    shares, own = alphas(plan)
    assert own == pytest.approx(0.02)  # a third for the shortcuts
    assert shares == pytest.approx({"1": 0.04, "2": 0.02})  # Holm: first half of the rest, then all of it
    alone, none = alphas(dataclasses.replace(plan, asks=plan.asks[:1]))
    assert alone == pytest.approx({"1": 0.06})
    assert none == pytest.approx(0.06)


@pytest.mark.parametrize("name", ["plausibility", "faithfulness", "sanity"])
def test_an_answer_again_is_that_of_a_check_at_that_alpha(name):
    torch.manual_seed(0)
    pictures = [picture(i, i % 2 == 1) for i in range(12)]
    inputs, masks = [p for p, _ in pictures], [m > 0 for _, m in pictures]
    settings = {"sanity": {"draws": 3, "cascades": ()}, "faithfulness": {"steps": 2, "nulls": (2, 2, 2), "subsets": 5}}

    def at(alpha):
        given = {name: settings[name]} if name in settings else None
        return hp.check(
            spots(), [*inputs, inputs[0]], name, annotations=[*masks, masks[0]], alpha=alpha, settings=given
        )[0]

    one, other = at(0.05), at(0.01)
    again = one.again(0.01)
    for what in ("value", "null", "ceiling", "verdict", "why", "alpha", "n", "n_needed", "forwards"):
        assert getattr(again, what) == getattr(other, what)
    assert again.value.level == pytest.approx(0.99)
    assert "is a copy" in again.why
    assert again.again(0.05).value == one.value
