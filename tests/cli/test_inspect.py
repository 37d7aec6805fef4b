"""`heatproof inspect`: what a person checks before believing a model's maps."""

import csv

import numpy as np
import pytest

import heatproof as hp
from heatproof import cli
from heatproof.cli.inspect import accuracy_against_chance

MODEL = "bundled:dab"


@pytest.fixture
def table(tiles):
    """A CSV that labels the two tiles, one by index and one by name."""
    file = tiles / "labels.csv"
    file.write_text("file,label\nstained.png,DAB-positive\nclean.png,0\n")
    return file


def test_tells_what_an_input_becomes_and_what_the_model_says(run, run_json, tiles):
    code, told = run_json("inspect", MODEL, tiles / "stained.png")
    assert code == 0
    assert told["input"]["prepared"] == [3, 48, 48]
    ex = hp.explain(hp.load(MODEL), tiles / "stained.png")
    first, second = told["top"]
    assert (first["index"], first["name"]) == (1, "DAB-positive")
    assert first["score"] == pytest.approx(float(ex.scores[0, 0]), rel=1e-5)
    assert first["probability"] == pytest.approx(1 / (1 + np.exp(second["score"] - first["score"])), rel=1e-5)
    chosen = told["layers"]["chosen"]
    assert (chosen["name"], tuple(chosen["grid"])) == (ex.layer, ex.resolution.grid)
    assert chosen["name"] not in {other["name"] for other in told["layers"]["alternatives"]}
    _, out, _ = run("inspect", MODEL, tiles / "stained.png")
    assert f"{ex.layer} (chosen)" in out
    assert "DAB-positive" in out


def test_without_data_tells_preprocessing_and_labels(run, run_json):
    code, told = run_json("inspect", MODEL)
    assert code == 0
    assert told["labels"] == {"count": 2, "first": ["DAB-negative", "DAB-positive"]}
    assert told["preprocess"]["mean"] == list(hp.load(MODEL).preprocess.mean)
    _, out, _ = run("inspect", MODEL)
    assert "need an input" in out


def test_without_data_looks_at_layers_on_noise_where_the_size_is_known(run_json, tmp_path):
    (tmp_path / "pre.json").write_text('{"crop": [96, 64], "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}')
    _, told = run_json("inspect", MODEL, "--preprocess", tmp_path / "pre.json")
    assert told["layers"]["on"] == "noise"
    assert told["layers"]["chosen"]["grid"] == [24, 16]


def test_accuracy_from_a_table(run, run_json, table):
    code, told = run_json("inspect", MODEL, table)
    assert code == 0
    assert (told["accuracy"]["n"], told["accuracy"]["accuracy"]) == (2, 1.0)
    _, out, _ = run("inspect", MODEL, table)
    assert "100.0% of 2" in out


def test_accuracy_from_class_folders(run_json, tiles, tmp_path):
    for name, label in (("stained", "DAB-positive"), ("clean", "DAB-negative")):
        (tmp_path / "classes" / label).mkdir(parents=True)
        (tiles / f"{name}.png").rename(tmp_path / "classes" / label / "tile.png")
    _, told = run_json("inspect", MODEL, tmp_path / "classes")
    assert (told["accuracy"]["n"], told["accuracy"]["accuracy"]) == (2, 1.0)


def test_swapped_labels_are_warned_about(run, tiles):
    (tiles / "labels.csv").write_text("file,label\nstained.png,0\nclean.png,1\n")
    code, out, err = run("inspect", MODEL, tiles / "labels.csv")
    assert code == 0
    assert "0.0% of 2" in out
    assert "not above chance" in err


def test_accuracy_leaves_out_what_cannot_be_read(run_json, table):
    with table.open("a") as file:
        file.write("absent.png,1\n")
    code, told = run_json("inspect", MODEL, table)
    assert code == cli.SOME_SKIPPED
    assert told["accuracy"]["n"] == 2
    assert set(told["skipped"]) == {str(table.parent / "absent.png")}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("file,label\n", "but no rows"),
        ("file,label\nstained.png,\n", "line 2"),
        ("file,label\nstained.png,DAB\n", "label 'DAB' does not exist"),
        ("file,label\nstained.png,2\n", "names class 2, but the model has 2 classes"),
    ],
)
def test_a_wrong_table_is_one_sentence(run, tiles, text, sentence):
    (tiles / "labels.csv").write_text(text)
    code, out, err = run("inspect", MODEL, tiles / "labels.csv")
    assert (code, out) == (cli.UNUSABLE, "")
    assert sentence in err
    assert err.count("\n") == 1


def test_an_unusable_input_is_skipped(run, tmp_path):
    (tmp_path / "empty.png").touch()
    code, _, err = run("inspect", MODEL, tmp_path / "empty.png")
    assert code == cli.UNUSABLE
    assert "0 bytes" in err


def test_interval_is_wilsons():
    # the upper and lower limits solve |p - share| = z sqrt(p (1 - p) / n)
    found = accuracy_against_chance(8, [0] * 5 + [1] * 5)
    for p in found["interval"]:
        assert abs(p - 0.8) == pytest.approx(1.959964 * (p * (1 - p) / 10) ** 0.5)
    assert found["chance"] == 0.5
    assert found["near_chance"]  # 8 of 10 is too few to tell from a coin
    assert not accuracy_against_chance(80, [0] * 50 + [1] * 50)["near_chance"]


@pytest.mark.real
def test_real_photographs_with_their_labels(run_json, data_folder, tmp_path):
    weights = data_folder / "weights"
    (tmp_path / "pre.json").write_text(
        '{"resize": 257, "crop": [225, 225], "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}'
    )
    with (data_folder / "photos/labels.csv").open() as file:
        rows = list(csv.DictReader(file))[:20]
    lines = [f"{data_folder / 'photos' / row['file']},{row['index']}" for row in rows]
    (tmp_path / "labels.csv").write_text("\n".join(["file,label", *lines]))
    code, told = run_json(
        *("inspect", f"file:{weights / 'mobilenet_v2.safetensors'}", tmp_path / "labels.csv"),
        *("--arch", "torchvision:mobilenet_v2", "--preprocess", tmp_path / "pre.json"),
        *("--labels", weights / "imagenet_labels.json"),
    )
    assert code == 0
    assert told["accuracy"]["n"] == 20
    assert told["accuracy"]["accuracy"] >= 0.7
    assert told["layers"]["chosen"]["name"] == "features"
