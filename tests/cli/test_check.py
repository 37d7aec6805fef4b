"""`heatproof check` and `heatproof checks`: what they print, write and refuse."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import heatproof as hp
from heatproof import cli
from heatproof.checks import checks

MODEL = "bundled:dab"
FAST = ("--check", "faithfulness", "--setting", "faithfulness.steps=3", "--setting", "faithfulness.subsets=8")
SETTINGS = {"faithfulness": {"steps": 3, "subsets": 8}}


@pytest.fixture
def masks(tiles, tmp_path):
    """A folder with a mask for each tile, in another format."""
    folder = tmp_path / "masks"
    folder.mkdir()
    for name, x in (("stained", 4), ("clean", 30)):
        mask = np.zeros((48, 48), np.uint8)
        mask[8:24, x : x + 16] = 255
        Image.fromarray(mask).save(folder / f"{name}.tif")
    return folder


def test_says_what_the_library_says(run_json, tiles, masks):
    words = ("--check", "plausibility", "--annotations", masks)
    code, told = run_json("check", MODEL, tiles, *FAST, *words, "--target", "DAB-positive", "--seed", 3)
    assert code == 0
    files = sorted(tiles.iterdir())
    marks = [masks / f"{file.stem}.tif" for file in files]
    expected = hp.check(
        hp.load(MODEL), files, ["faithfulness", "plausibility"],
        target="DAB-positive", annotations=marks, seed=3, settings=SETTINGS,
    )  # fmt: skip
    assert [one["check"] for one in told["results"]] == ["faithfulness", "plausibility"]
    for one, result in zip(told["results"], expected, strict=True):
        assert (one["verdict"], one["why"], one["n"]) == (result.verdict, result.why, result.n)
        assert one["value"]["estimate"] == pytest.approx(result.value.estimate)
        assert one["value"]["low"] == pytest.approx(result.value.low)
        assert one["per_input"]["input"] == ["clean.png", "stained.png"]
    assert (told["model"], told["method"], told["inputs"]) == ("dab", "gradcam", 2)


def test_prints_a_row_and_why_for_each_check(run, tiles):
    code, out, err = run("check", MODEL, tiles, *FAST)
    assert (code, err) == (0, "")
    head, row, why = out.splitlines()
    assert head.split() == ["check", "statistic", "null", "verdict", "n", "forwards"]
    assert row.startswith("faithfulness  superiority of the SRG")
    assert "inconclusive" in row
    assert why.startswith("    With 2 input(s)")


def test_writes_pictures_a_page_a_row_per_input_and_everything(run, tiles, tmp_path):
    out = tmp_path / "out"
    code, told, _ = run("check", MODEL, tiles, *FAST, "-o", out)
    assert code == 0
    assert told.splitlines()[-1] == f"-> {out}"
    names = {"checks.json", "faithfulness.png", "index.html", "per_input.csv"}
    assert {file.name for file in out.iterdir()} == names
    document = json.loads((out / "checks.json").read_text())
    (result,) = document["results"]
    with (out / "per_input.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["input"] for row in rows] == ["clean.png", "stained.png"]
    written = [float(row["faithfulness: superiority"]) for row in rows]
    assert written == result["per_input"]["superiority"]
    page = (out / "index.html").read_text()
    assert result["why"] in page
    assert 'src="faithfulness.png"' in page
    with Image.open(out / "faithfulness.png") as picture:
        assert picture.width > 600


def test_a_second_run_leaves_nothing_of_the_first(run, tiles, masks, tmp_path):
    out = tmp_path / "out"
    run("check", MODEL, tiles, *FAST, "-o", out)
    (out / "notes.txt").write_text("mine")
    run("check", MODEL, tiles, "--check", "plausibility", "--annotations", masks, "-o", out)
    names = {"checks.json", "plausibility.png", "index.html", "per_input.csv", "notes.txt"}
    assert {file.name for file in out.iterdir()} == names


@pytest.mark.parametrize(("verdict", "expected"), [("inconclusive", 1), ("undermines", 0), ("not-applicable", 0)])
def test_fail_on(run, tiles, verdict, expected):
    code, _, err = run("check", MODEL, tiles, *FAST, "--fail-on", verdict)
    assert code == expected
    assert ("failed: faithfulness is inconclusive" in err) == bool(expected)


def test_failing_outranks_skipping(run, tiles):
    (tiles / "empty.png").touch()
    code, _, err = run("check", MODEL, tiles, *FAST)
    assert code == cli.SOME_SKIPPED
    assert f"skipped {tiles / 'empty.png'}" in err
    code, _, err = run("check", MODEL, tiles, *FAST, "--fail-on", "inconclusive")
    assert code == cli.GATE_FAILED
    assert f"skipped {tiles / 'empty.png'}" in err


def test_lists_checks_without_torch():
    code = """
import sys
from heatproof.cli import main
for words in (["check", "--help"], ["checks"]):
    try:
        main(words)
    except SystemExit:
        pass
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *lines, imported = done.stdout.splitlines()
    assert imported == "False"
    text = " ".join(line.strip(" |") for line in lines)
    for name, check in checks().items():
        assert name in text
        assert check.summary.partition(": ")[2] in text


def test_shows_a_check_in_full(run):
    code, out, _ = run("checks", "localization")
    assert code == 0
    assert checks()["plausibility"].doc in out
    assert "Settings: margin=0.05" in out
    _, out, _ = run("checks", "--json")
    assert [one["name"] for one in json.loads(out)["checks"]] == list(checks())
