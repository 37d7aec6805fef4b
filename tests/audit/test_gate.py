"""The gate lets through what reaches the policy, says why it stops the rest, and takes no policy with a slip in it."""

import json
import tomllib
from xml.etree import ElementTree

import pytest
from tests.audit.runs import answer, candidate, measure, row, write_run

from heatproof.audit.gate import as_json, as_junit, gate
from heatproof.audit.policy import policy_of, read_policy
from heatproof.cli import main
from heatproof.errors import InputError, UsageError

ROWS = [row(i, "benign", "benign") for i in range(4)]


@pytest.fixture
def run(tmp_path):
    results = [
        answer("sanity"),
        answer("faithfulness", "inconclusive"),
        answer("stability", "undermines", primary=False),
        answer("faithfulness", "undermines", primary=False, subgroup=("site", "B")),
        measure("accuracy", 0.91),
        measure("calibration error", 0.04),
        measure("accuracy", 0.95, subgroup=("site", "A")),
        measure("accuracy", 0.80, subgroup=("site", "B")),
        candidate("ruler", "confirmed"),
        candidate("hair", "not reliant"),
    ]
    return write_run(tmp_path / "run", ROWS, results, failures=1, manifest={"deviations": ["Stopped early."]})


def ruled(run, /, **told):
    return {one.name: one for one in gate(run, policy_of(told))}


def test_a_verdict_passes_only_if_the_policy_names_it(run):
    found = ruled(run, verdicts={"sanity": ["supports"], "faithfulness": ["supports"]})
    assert found["sanity"].passed
    assert not found["faithfulness"].passed
    assert found["faithfulness"].reason == (
        "faithfulness is inconclusive, and the policy takes supports: Why of faithfulness."
    )
    assert ruled(run, verdicts={"faithfulness": ["supports", "inconclusive"]})["faithfulness"].passed


def test_what_was_not_asked_or_not_planned_is_no_pass(run):
    for name in ("plausibility", "stability"):
        found = ruled(run, verdicts={name: ["supports", "undermines"]})[name]
        assert not found.passed
        assert found.reason.startswith(f"{name} is not asked, and the policy takes supports or undermines")
        assert ruled(run, verdicts={name: ["not asked"]})[name].passed


def test_the_gravest_candidate_answers_for_all(run):
    assert ruled(run, verdicts={"shortcuts": ["supports"]})["shortcuts"].reason.startswith("shortcuts is undermines")


def test_forbidden_shortcuts_are_named(run):
    found = ruled(run, shortcuts={"forbid": ["confirmed", "not asked"]})
    assert found["not asked"].passed
    assert not found["ruler"].passed
    assert found["ruler"].reason == "ruler is confirmed: Why of ruler."
    assert found["hair"].passed


def test_a_run_that_did_not_ask_about_shortcuts_is_stopped_if_the_policy_says_so(tmp_path):
    bare = write_run(tmp_path / "bare", ROWS, [answer("sanity")])
    assert not ruled(bare, shortcuts={"forbid": ["not asked"]})["not asked"].passed
    assert ruled(bare, shortcuts={"forbid": ["confirmed"]})["candidates"].passed


@pytest.mark.parametrize(
    ("bound", "judge", "passed"),
    [
        ({"least": 0.89}, "interval", True),  # the lower limit is 0.89
        ({"least": 0.90}, "interval", False),
        ({"least": 0.90}, "estimate", True),
        ({"least": 0.92}, "estimate", False),
        ({"most": 0.92}, "interval", False),  # the upper limit is 0.93
        ({"least": 0.5, "most": 0.94}, "interval", True),
    ],
)
def test_a_bound_is_held_by_the_far_end_of_the_interval_or_by_the_estimate(run, bound, judge, passed):
    assert ruled(run, performance={"accuracy": bound, "judge": judge})["accuracy"].passed is passed


def test_every_group_must_reach_its_bound(run):
    found = ruled(run, performance={"groups": {"site": {"accuracy": {"least": 0.9}}}})
    assert found["accuracy of site A"].passed
    assert not found["accuracy of site B"].passed
    assert found["accuracy of site B"].reason == (
        "accuracy of site B is 0.800 [0.780, 0.820], n = 40, and the policy takes 0.9 or more "
        "(judged by the far end of its interval)."
    )
    assert not ruled(run, performance={"groups": {"scanner": {"accuracy": {"least": 0.1}}}})[
        "accuracy by scanner"
    ].passed


def test_a_measure_that_the_run_does_not_have_is_no_pass(run):
    assert not ruled(run, performance={"AUROC": {"least": 0.1}})["AUROC"].passed


def test_failures_and_deviations_can_stop_a_run(run):
    assert ruled(run, run={"most_failures": 0.2})["most_failures"].passed  # 1 of 5
    assert not ruled(run, run={"most_failures": 0.19})["most_failures"].passed
    assert not ruled(run, run={"deviations": False})["deviations"].passed


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({}, "The policy asks for nothing"),
        ({"verdict": {}}, "has 'verdict', which is not known; did you mean 'verdicts'"),
        ({"verdicts": {"sanity": ["suports"]}}, "has 'suports', which is no verdict; did you mean 'supports'"),
        ({"verdicts": {"sanity": 3}}, "sanity of the policy is 3; give a list"),
        ({"shortcuts": {"forbid": ["confirm"]}}, "did you mean 'confirmed'"),
        ({"performance": {"acuracy": {"least": 1}}}, "did you mean 'accuracy'"),
        ({"performance": {"accuracy": 0.9}}, "write { least = 0.9 }"),
        ({"performance": {"accuracy": {"min": 0.9}}}, "write { least = 0.9 }"),
        ({"performance": {"judge": "mean", "accuracy": {"least": 1}}}, "judge is 'mean'"),
        ({"performance": {"groups": {"site": {"AUC": {"least": 1}}}}}, "'AUC', which is not known"),
        ({"run": {"most_failures": 5}}, "most_failures is 5; give a share"),
        ({"run": {"deviations": "no"}}, "deviations is 'no'; write true or false"),
        ({"verdicts": ["sanity"]}, "it must be a table"),
    ],
)
def test_a_slip_in_the_policy_is_an_error_and_never_a_pass(told, said):
    with pytest.raises(UsageError, match=said.replace("{", r"\{").replace("}", r"\}")):
        policy_of(told)


def test_a_check_that_does_not_exist_is_an_error(run):
    with pytest.raises(UsageError, match="'sanitty', which is no question and no check; did you mean 'sanity'"):
        ruled(run, verdicts={"sanitty": ["supports"]})


def test_files_that_are_no_policy_or_no_run_are_told_in_a_sentence(tmp_path, run):
    with pytest.raises(InputError, match="cannot be read"):
        read_policy(tmp_path / "absent.toml")
    (tmp_path / "bad.toml").write_text("verdicts = [")
    with pytest.raises(InputError, match="is no TOML"):
        read_policy(tmp_path / "bad.toml")
    policy = policy_of({"verdicts": {"sanity": ["supports"]}})
    with pytest.raises(InputError, match="is no run folder"):
        gate(tmp_path, policy)
    (run / "manifest.json").unlink()
    with pytest.raises(InputError, match="is not finished"):
        gate(run, policy)


def test_junit_and_json_say_the_same(run):
    rulings = gate(run, policy_of({"verdicts": {"sanity": ["supports"], "faithfulness": ["supports"]}}))
    suite = ElementTree.fromstring(as_junit(rulings)).find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    cases = {one.get("name"): one for one in suite}
    assert cases["sanity"].find("failure") is None
    assert "inconclusive" in cases["faithfulness"].find("failure").get("message")
    told = json.loads(as_json(rulings, "run", "policy.toml"))
    assert told["passed"] is False
    assert [one["passed"] for one in told["rulings"]] == [True, False]


def test_names_that_xml_cannot_hold_do_not_break_the_junit_file(tmp_path):
    nasty = write_run(tmp_path / "run", ROWS, [candidate('a\x01b<"&>', "confirmed")])
    text = as_junit(gate(nasty, policy_of({"shortcuts": {"forbid": ["confirmed"]}})))
    assert ElementTree.fromstring(text).find("testsuite")[0].get("name") == 'a\ufffdb<"&>'


def test_the_command_exits_with_one_and_the_reasons(run, tmp_path, capsys):
    (tmp_path / "policy.toml").write_text('[verdicts]\nfaithfulness = ["supports"]\n')
    words = ["gate", str(run), "--policy", str(tmp_path / "policy.toml"), "--junit", str(tmp_path / "junit.xml")]
    with pytest.raises(SystemExit) as stopped:
        main([*words, "-o", str(tmp_path / "gate.json")])
    assert stopped.value.code == 1
    said = capsys.readouterr()
    assert "failed  faithfulness is inconclusive, and the policy takes supports" in said.out
    assert "1 of 1 demands of policy.toml are not met." in said.err
    assert ElementTree.parse(tmp_path / "junit.xml").getroot().get("failures") == "1"
    assert json.loads((tmp_path / "gate.json").read_text())["passed"] is False
    (tmp_path / "policy.toml").write_text('[verdicts]\nfaithfulness = ["inconclusive"]\n')
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--json"])
    assert stopped.value.code == 0
    assert json.loads(capsys.readouterr().out)["passed"] is True


def test_the_policy_of_the_docs_is_read_and_its_workflow_runs_the_gate():
    from pathlib import Path

    text = (Path(__file__).parents[2] / "docs/gate.md").read_text(encoding="utf-8")
    policy = policy_of(tomllib.loads(text.split("```toml\n")[1].split("```")[0]))
    assert policy.verdicts["plausibility"] == ("supports", "inconclusive", "not asked")
    assert policy.groups["site"]["accuracy"].least == 0.85
    workflow = text.split("```yaml\n")[1].split("```")[0]
    assert "heatproof gate runs/candidate --policy policy.toml --junit gate.xml" in workflow
    assert "\t" not in workflow
