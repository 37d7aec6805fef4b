"""The table of advice: every row can be reached, every situation gets a step, and the conclusions are in order."""

from dataclasses import replace
from itertools import product

import pytest
from tests.report.audit.made import document, performance, shortcut

from heatproof.report.audit.advice import RULES, _step, advise
from heatproof.report.audit.questions import questions
from heatproof.types import Interval

VERDICTS = ("supports", "undermines", "inconclusive", None)
SHORTCUTS = ("confirmed", "relies but relevance unclear", "inconclusive", "not reliant", "", None)


def everything():
    for sanity, faithfulness, plausibility, leans in product(VERDICTS, VERDICTS, VERDICTS, SHORTCUTS):
        yield document(".", sanity, faithfulness, plausibility, leans)


def test_every_situation_but_a_clear_one_gets_a_step_and_no_brace_is_left():
    for told in everything():
        advice = advise(told)
        assert advice.steps
        assert "{" not in "".join((advice.headline, advice.because, *advice.steps))
        states = {one.state for one in questions(told)}
        assert (advice.level == "clear") is (states == {"good"})


def test_every_rule_is_reached(monkeypatch):
    reached = set()
    for told in everything():
        asked = {one.name: one for one in questions(told)}
        given = {_step(asked, name) for name in asked}
        reached |= {number for number, rule in enumerate(RULES) if any(one and fits(rule.step, one) for one in given)}
    # a candidate that was judged by rules of another name than ours has no verdict of its own
    assert {n for n in range(len(RULES)) if n not in reached} <= {1}


def fits(step, given):
    return given.startswith(step.split("{")[0]) and given.endswith(step.split("}")[-1])


@pytest.mark.parametrize(
    ("verdicts", "level", "headline"),
    [
        (("supports", "supports", "supports", "confirmed"), "stop", "Reject this model as it stands."),
        (("undermines", "undermines", "undermines", "confirmed"), "stop", "Reject this model as it stands."),
        (("undermines", "supports", "supports", "not reliant"), "hold", "Do not read these maps"),
        (("supports", "undermines", "supports", "not reliant"), "hold", "Do not rely on these maps"),
        (("supports", "supports", "undermines", "not reliant"), "hold", "Not rejected, and not cleared"),
        (("supports", "inconclusive", "undermines", "not reliant"), "open", "No reason found to reject"),
        (("supports", "supports", "supports", "relies but relevance unclear"), "hold", "A person must decide"),
        (("supports", "supports", None, "not reliant"), "open", "No reason found to reject"),
        (("supports", "supports", "supports", ""), "open", "No reason found to reject"),
        (("supports", "supports", "supports", "not reliant"), "clear", "Nothing found against"),
    ],
)
def test_the_gravest_finding_is_the_headline(verdicts, level, headline):
    advice = advise(document(".", *verdicts))
    assert (advice.level, advice.headline[: len(headline)]) == (level, headline)


def test_a_confirmed_shortcut_is_named_with_what_it_does_and_where_accuracy_falls():
    advice = advise(document(shortcuts="confirmed"))
    assert advice.headline == "Reject this model as it stands. It takes a shortcut: “ruler”."
    assert advice.because == (
        "Its accuracy of 97% does not speak for it. It is right on 99% of the inputs with the feature and on 61% of "
        "those without. In experiments, adding that feature alone changes 90% of decisions (the same edit elsewhere: "
        "23%) and taking away that feature alone changes 82% of decisions (the same edit elsewhere: 0%)."
    )
    assert advice.steps[0].startswith("Do not put this model to use. Get data in which “ruler” does not go with “malig")


def test_a_faithful_map_in_the_wrong_place_speaks_against_the_model_an_unfaithful_one_does_not():
    suspect = advise(document(plausibility="undermines")).steps
    assert any("suspect the model, not the map" in one for one in suspect)
    silent = advise(document(faithfulness="inconclusive", plausibility="undermines")).steps
    assert any("says nothing of the model yet" in one for one in silent)
    assert not any("suspect the model" in one for one in silent)


def test_the_number_of_inputs_that_a_verdict_needs_is_told():
    steps = advise(document(faithfulness="inconclusive")).steps
    assert "Ask about faithfulness again with about 70 inputs." in steps


def test_a_model_at_chance_is_rejected_first():
    whole = performance().whole
    chance = replace(whole, measures={**whole.measures, "AUROC": Interval(0.55, 0.5, 0.6)})
    told = document(performance=performance(whole=chance), shortcuts="confirmed")
    assert advise(told).headline.startswith("Reject this model: it is no better than chance")
    assert advise(told).steps[0].startswith("Mend the model first")


def test_groups_whose_intervals_do_not_meet_and_bad_calibration_are_pointed_at():
    groups = performance().groups
    low = replace(groups[1], measures={"accuracy": Interval(0.7, 0.6, 0.8)})
    whole = performance().whole
    bad = replace(whole, measures={**whole.measures, "calibration error": Interval(0.2, 0.15, 0.25)})
    steps = advise(document(performance=performance(groups=(groups[0], low), whole=bad))).steps
    assert "Look into site “B”: accuracy 70% [60%, 80%] against 96% [91%, 98%] in “A”." in steps
    assert any("calibrate it" in one for one in steps)
    assert not any("Look into" in one for one in advise(document()).steps)


def test_one_name_of_a_shortcut_cannot_write_the_advice():
    told = replace(document(), shortcuts=[shortcut("confirmed", "{needed} {0} {")])
    assert "“{needed} {0} {”" in advise(told).headline
