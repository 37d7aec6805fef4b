"""`heatproof check` and `heatproof checks`: what they print, write and refuse."""

import csv
import json
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from PIL import Image

import heatproof as hp
from heatproof import cli
from heatproof.checks import checks
from heatproof.cli import _output

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
import threading
import time
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


def boxes_csv(path, rows, head="file,x_min,y_min,x_max,y_max"):
    """Write a table of annotations."""
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def annotated(run_json, tiles, source):
    """Return the columns per input of a run with these annotations."""
    code, told = run_json("check", MODEL, tiles, "--check", "plausibility", "--annotations", source)
    assert code == 0
    return told["results"][0]["per_input"]


def test_every_form_of_one_annotation_is_the_same(run_json, tiles, masks, tmp_path):
    expected = annotated(run_json, tiles, masks)
    assert expected["area_share"] != [0, 0]
    table = boxes_csv(tmp_path / "boxes.csv", ["stained.png,4,8,20,24", "clean,30,8,46,24"])
    assert annotated(run_json, tiles, table) == expected
    boxes = {
        "clean.png": {"boxes": [[30, 8, 46, 24]]},
        "tiles/stained.png": {"boxes": [[4, 8, 20, 16], [4, 16, 20, 24]]},
    }
    (tmp_path / "boxes.json").write_text(json.dumps(boxes))
    assert annotated(run_json, tiles, tmp_path / "boxes.json") == expected
    paths = {name: f"masks/{name}.tif" for name in ("clean", "stained")}
    (tmp_path / "paths.json").write_text(json.dumps(paths))
    assert annotated(run_json, tiles, tmp_path / "paths.json") == expected
    rows = [f"{name},{path}" for name, path in paths.items()]
    assert annotated(run_json, tiles, boxes_csv(tmp_path / "paths.csv", rows, "file,mask")) == expected


def test_points_and_inputs_without_annotation(run_json, tiles, tmp_path):
    table = boxes_csv(tmp_path / "points.csv", ["stained.png,5,9", "stained.png,6,9", "clean.png,,"], "file,x,y")
    found = annotated(run_json, tiles, table)
    (tmp_path / "points.json").write_text('{"stained.png": {"points": [[5, 9], [6, 9]]}, "clean.png": null}')
    assert annotated(run_json, tiles, tmp_path / "points.json") == found
    assert found["relevance_rank"][0] is None
    assert found["relevance_rank"][1] is not None


def test_clusters_are_resampled_together(run_json, tiles, masks, tmp_path):
    table = boxes_csv(
        tmp_path / "who.csv", ["stained.png,7,p1", "clean.png,8,p1", "others.png,9,p2"], "file,age,patient_id"
    )
    code, told = run_json("check", MODEL, tiles, *FAST, "--cluster-by", "patient_id", "--table", table)
    assert code == 0
    assert (told["results"][0]["n"], told["results"][0]["unit"]) == (1, "patient_id")
    more = tiles / "more"
    more.mkdir()
    (tiles / "clean.png").rename(more / "clean.png")
    _, told = run_json("check", MODEL, tiles, *FAST, "--cluster-by", "parent")
    assert (told["results"][0]["n"], told["results"][0]["unit"]) == (2, "folder")


def test_equal_names_are_told_apart(run_json, tiles, tmp_path):
    for folder in ("a", "b"):
        (tiles / folder).mkdir()
    (tiles / "clean.png").rename(tiles / "a" / "x.png")
    (tiles / "stained.png").rename(tiles / "b" / "x.png")
    found = annotated(run_json, tiles, boxes_csv(tmp_path / "t.csv", ["a/x.png,0,0,9,9", "b/x,0,0,48,48"]))
    assert [name[-7:] for name in found["input"]] == ["a/x.png", "b/x.png"]
    assert found["area_share"][0] < found["area_share"][1] == 1


def test_settings_reach_the_check_and_the_method(run_json, tiles):
    words = ("--method", "eigencam", "--setting", "centered=true", "--setting", "faithfulness.margin=0.2")
    code, told = run_json("check", MODEL, tiles, *FAST, *words, "--layer", "features.3")
    assert code == 0
    (result,) = told["results"]
    assert (result["settings"]["margin"], result["settings"]["steps"]) == (0.2, 3)
    assert (told["method"], told["layer"]) == ("eigencam", "features.3")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--check", "santy"), "there is no check 'santy'; did you mean 'sanity'"),
        (("--check", "plausibility"), "add --annotations"),
        (("--fail-on", "undermine"), "no verdict; did you mean 'undermines'"),
        (("--alpha", "5"), "--alpha is 5"),
        (("--setting", "faithfulness.step=3"), "faithfulness has no setting 'step'"),
        (("--setting", "faithfulness.steps=many"), "setting steps is 'many'; give a whole number"),
        (("--setting", "faithfulness.steps=0"), "steps is 0"),
        (("--setting", "faith.steps=3"), "there is no check 'faith'"),
        (("--setting", "plausibility.margin=0.1"), "not among the checks asked for"),
        (("--setting", "faithfulness.steps"), "--setting is "),
        (("--setting", "layer=x"), "pass --layer"),
        (("--setting", "centered=true"), "centered"),
        (("--method", "gradcan"), "there is no method 'gradcan'"),
        (("--layer", "feature"), "There is no layer 'feature'"),
        (("--target", "dab-positiv"), "label 'dab-positiv' does not exist"),
        (("--cluster-by", "patient_id"), "--table FILE.csv"),
        (("--table", "who.csv"), "add --cluster-by COLUMN"),
        (
            ("--cluster-by", "patient", "--table", "who.csv"),
            "no 'patient' after the file names; did you mean 'patient_id'",
        ),
        (
            ("--cluster-by", "patient_id", "--table", "who.csv"),
            "1 of 2 inputs have no patient_id in who.csv (clean.png)",
        ),
        (("--cluster-by", "site", "--table", "none.csv"), "none.csv cannot be read"),
        (("--annotations", "none"), "--annotations none does not exist"),
        (("--annotations", "who.txt"), "has the suffix '.txt'"),
        (("--annotations", "who.csv"), "has the columns file, patient_id"),
        (("--annotations", "missing.csv"), "1 of 2 inputs have no annotation in missing.csv (clean.png)"),
        (("--annotations", "unknown.csv"), "names 'stain.png', but no input is called so; did you mean 'stained.png'"),
        (("--annotations", "words.csv"), "give 4 numbers"),
        (("--annotations", "short.csv"), "Row 2 of short.csv has 3 values for 5 columns"),
        (("--annotations", "bad.json"), "bad.json is not JSON"),
        (("--annotations", "list.json"), "holds a list"),
        (("--annotations", "flat.json"), "of 'stained.png'; write {'boxes'"),
        (("--annotations", "size.json"), "has size (8, 8), the original (48, 48)"),
        (("--annotations", "twice"), "both are masks of stained.png"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_wrong_call_is_one_sentence_and_writes_nothing(run, tiles, tmp_path, monkeypatch, words, sentence):
    monkeypatch.chdir(tmp_path)
    boxes_csv(tmp_path / "who.csv", ["stained.png,p1"], "file,patient_id")
    boxes_csv(tmp_path / "who.txt", ["stained.png,p1"])
    boxes_csv(tmp_path / "missing.csv", ["stained.png,0,0,9,9"])
    boxes_csv(tmp_path / "unknown.csv", ["stain.png,0,0,9,9"])
    boxes_csv(tmp_path / "words.csv", ["stained.png,0,0,9,right"])
    boxes_csv(tmp_path / "short.csv", ["stained.png,0,0"])
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "flat.json").write_text('{"stained.png": [0, 0, 9, 9], "clean.png": null}')
    (tmp_path / "size.json").write_text('{"stained.png": "twice/stained.png", "clean.png": null}')
    (tmp_path / "twice").mkdir()
    for name in ("stained.png", "stained.tif"):
        Image.new("L", (8, 8), 255).save(tmp_path / "twice" / name)
    if words[0] == "--annotations":
        words = ("--check", "plausibility", *words)
    elif "--check" not in words:
        words = ("--check", "faithfulness", *words)
    code, out, err = run("check", MODEL, "tiles", "-o", "out", *words)
    assert (code, out) == (cli.UNUSABLE, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_is_a_file_is_told_before_the_work(run, tiles, tmp_path):
    (tmp_path / "out").touch()
    code, _, err = run("check", "bundled:none", tiles, "-o", tmp_path / "out")
    assert code == cli.UNUSABLE
    assert f"--out {tmp_path / 'out'} is a file" in err


def test_nothing_but_bad_inputs_is_unusable(run, tmp_path):
    (tmp_path / "empty.png").touch()
    code, out, err = run("check", MODEL, tmp_path / "empty.png", "-o", tmp_path / "out")
    assert (code, out) == (cli.UNUSABLE, "")
    assert "0 bytes" in err
    assert not (tmp_path / "out").exists()


def test_a_bad_input_takes_its_annotation_with_it(run_json, tiles, masks, tmp_path):
    expected = annotated(run_json, tiles, masks)
    (tiles / "broken.png").write_text("no picture")
    (masks / "broken.tif").write_bytes((masks / "clean.tif").read_bytes())
    code, told = run_json("check", MODEL, tiles, "--check", "plausibility", "--annotations", masks)
    assert code == cli.SOME_SKIPPED
    assert told["results"][0]["per_input"] == expected
    assert list(told["skipped"]) == [str(tiles / "broken.png")]


def test_one_input_is_inconclusive_and_says_how_many_are_needed(run_json, tiles):
    code, told = run_json("check", MODEL, tiles / "stained.png", "--check", "faithfulness")
    assert code == 0
    (result,) = told["results"]
    assert result["verdict"] == "inconclusive"
    assert result["n_needed"] >= 10


def test_a_bar_names_the_check_that_is_running_once_it_takes_long(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with _output.steps(2) as begin:
        begin("sanity")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(_output, "_PATIENCE", 0.0)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with _output.steps(2) as begin:
        begin("sanity")
        begin("faithfulness")
        time.sleep(0.3)
    told = capsys.readouterr().err
    assert "faithfulness" in told
    assert "1 of 2" in told


def test_the_bar_goes_away_when_a_check_fails(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    before = threading.active_count()

    def fail():
        with _output.steps(1):
            raise ValueError("oh")

    with pytest.raises(ValueError, match="oh"):
        fail()
    assert threading.active_count() <= before  # threads of earlier tests may have ended
