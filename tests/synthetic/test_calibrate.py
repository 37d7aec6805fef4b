"""Confusion tables and bounds, by hand; and the command."""

import json
import math
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from heatproof.cli import commands
from heatproof.errors import UsageError
from heatproof.synthetic import families
from heatproof.synthetic._calibrate import Confusion, calibrate, problems, upper_bound
from heatproof.synthetic._instance import Answer, Instance
from heatproof.types import Verdict


def instance(answer: str, what: str = "it") -> Instance:
    known = "good" if answer == "good" else "bad"
    return Instance("plausibility", known, what, torch.nn.Identity(), torch.zeros(1, 1, 2, 2), 0, "gradcam")


def test_bounds_by_hand() -> None:
    # without an error in n, (1 - p)^n = 0.05
    assert upper_bound(0, 59) == pytest.approx(1 - 0.05 ** (1 / 59))
    assert upper_bound(0, 59) < 0.05 < upper_bound(0, 58)
    p = upper_bound(1, 10)
    assert (1 - p) ** 10 + 10 * p * (1 - p) ** 9 == pytest.approx(0.05)
    assert upper_bound(3, 3) == upper_bound(0, 0) == 1.0


def test_a_confusion_table_by_hand() -> None:
    found = Confusion("plausibility")
    assert math.isnan(found.decided())
    told: list[tuple[Answer, Verdict]] = [
        ("good", "supports"),
        ("good", "undermines"),
        ("good", "inconclusive"),
        ("bad", "undermines"),
        ("bad", "supports"),
        ("bad", "supports"),
    ]
    for answer, verdict in told:
        found.add(instance(answer), "family", verdict)
    assert (found.total("good"), found.total("bad")) == (3, 3)
    assert found.decided() == 5 / 6
    assert found.wrong("good") == (1, upper_bound(1, 3))
    assert found.wrong("bad")[0] == 2
    assert found.mistakes == {"family: it": 3}


def test_problems_are_drawn_in_turn_until_each_check_has_enough() -> None:
    chosen = [families()["centered"], families()["additive"]]
    drawn = list(problems(chosen, ["plausibility", "faithfulness"], 7, 3))
    names = [one.check for _, one in drawn]
    assert (names.count("plausibility"), names.count("faithfulness")) == (7, 7)
    made = [(id(one.model), one.check, one.answer) for _, one in drawn]
    assert len(set(made)) == len(made), "one problem per network and known answer"
    with pytest.raises(UsageError, match="No family of planted problems is for shortcuts"):
        list(problems(chosen, ["shortcuts"], 3, 0))


def test_plausibility_is_right_on_a_few_problems() -> None:
    found = calibrate(problems([families()["textures"]], ["plausibility"], 6, 0))["plausibility"]
    assert found.total("good") == 3
    assert (found.wrong("good")[0], found.wrong("bad")[0], found.decided()) == (0, 0, 1.0)


def test_the_command_prints_a_table_and_writes_it(tmp_path: Path) -> None:
    import typer

    import heatproof.cli.calibrate as calibrating

    app = typer.Typer()
    app.command()(calibrating.command)
    file = tmp_path / "table.md"
    arguments = ["--check", "symmetry", "-n", "4", "--seed", "1"]
    found = CliRunner().invoke(app, [*arguments, "--json", "--out", str(file)])
    assert found.exit_code == 0, found.output
    rows = json.loads(found.stdout)["rows"]
    assert [row["known answer"] for row in rows] == ["good", "bad"]
    assert sum(row[v] for row in rows for v in ("supports", "inconclusive", "undermines")) == 4
    assert file.read_text().count("\n") == 4
    told = CliRunner().invoke(app, arguments).stdout
    assert "synthetic problems" in told
    assert "calibrate" in commands()
