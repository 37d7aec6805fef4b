"""`heatproof explain`: real tiles, the bundled network, and everything that can be wrong with an input or the call."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import heatproof as hp
from heatproof import cli
from heatproof.cli import explain

MODEL = "bundled:dab"


def test_explains_a_folder_and_says_where(run, tiles, tmp_path):
    code, out, err = run("explain", MODEL, tiles, "-o", tmp_path / "out")
    assert (code, err) == (0, "")
    assert f"{tiles / 'stained.png'} -> {tmp_path / 'out' / 'stained'}" in out
    assert "masking the top" in out
    for name in ("stained", "clean"):
        folder = tmp_path / "out" / name
        assert {file.name for file in folder.iterdir()} == {"overlay.png", "map.npz", "manifest.json"}


def test_writes_what_the_library_computes(run_json, tiles, tmp_path):
    code, told = run_json("explain", MODEL, tiles, "-o", tmp_path / "out", "--no-quick-checks")
    assert code == 0
    files = sorted(tiles.iterdir())
    ex = hp.explain(hp.load(MODEL), files)
    assert [one["input"] for one in told["results"]] == [str(file) for file in files]
    for index, one in enumerate(told["results"]):
        (target,) = one["targets"]
        assert target["name"] == ex.targets[index][0].name == f"DAB-{['negative', 'positive'][index]}"
        assert target["score"] == pytest.approx(float(ex.scores[index, 0]), rel=1e-5)
        assert target["quick_checks"] is None
        with np.load(tmp_path / "out" / files[index].stem / "map.npz") as saved:
            np.testing.assert_allclose(saved["maps"][0], ex.to_numpy()[index], rtol=1e-4, atol=1e-5)


def test_quick_checks_are_made_unless_declined(run_json, tiles, tmp_path):
    _, told = run_json("explain", MODEL, tiles / "stained.png", "-o", tmp_path)
    (target,) = told["results"][0]["targets"]
    assert target["quick_checks"]["runner_up"] == "DAB-negative"
    assert 0 < target["quick_checks"]["forwards"] <= 10
    manifest = json.loads((tmp_path / "stained" / "manifest.json").read_text())
    assert manifest["inputs"][0]["targets"][0]["quick_checks"] == target["quick_checks"]


def test_several_targets_by_index_and_label(run_json, tiles, tmp_path):
    words = ("--target", "1", "--target", "dab-negative")
    code, told = run_json("explain", MODEL, tiles / "stained.png", "-o", tmp_path, *words)
    assert code == 0
    assert [t["index"] for t in told["results"][0]["targets"]] == [1, 0]
    assert len(list((tmp_path / "stained").glob("overlay*.png"))) == 2


def test_top_k_are_the_highest_scores_in_order(run_json, tiles, tmp_path):
    _, told = run_json("explain", MODEL, tiles, "-o", tmp_path, "--top-k", 2, "--no-quick-checks")
    assert [[t["index"] for t in one["targets"]] for one in told["results"]] == [[0, 1], [1, 0]]
    for one in told["results"]:
        scores = [t["score"] for t in one["targets"]]
        assert scores == sorted(scores, reverse=True)


def test_signed_adds_a_picture_that_differs(run, tiles, tmp_path):
    code, _, _ = run("explain", MODEL, tiles / "stained.png", "-o", tmp_path, "--signed", "--no-quick-checks")
    assert code == 0
    with Image.open(tmp_path / "stained/signed_0.png") as signed, Image.open(tmp_path / "stained/overlay.png") as plain:
        assert signed.tobytes() != plain.tobytes()


def test_method_and_layer_reach_the_result(run_json, tiles, tmp_path):
    words = ("--method", "HiResCAM", "--layer", "features.3", "--no-quick-checks")
    _, told = run_json("explain", MODEL, tiles / "stained.png", "-o", tmp_path, *words)
    (one,) = told["results"]
    assert (one["method"], one["layer"], one["grid"]) == ("hirescam", "features.3", [24, 24])


def test_bad_inputs_are_listed_and_the_rest_is_done(run, run_json, tiles, tmp_path):
    (tiles / "empty.png").touch()
    (tiles / "text.jpg").write_text("no picture")
    words = ("explain", MODEL, tiles, tiles / "absent.png", tmp_path / "*.tif", "-o", tmp_path / "out")
    code, out, err = run(*words, "--no-quick-checks")
    assert code == cli.SOME_SKIPPED
    assert out.count(" -> ") == 2
    lines = err.splitlines()
    assert len(lines) == 4
    assert all(line.startswith("skipped ") for line in lines)
    _, told = run_json(*words, "--no-quick-checks")
    bad = [tiles / "empty.png", tiles / "text.jpg", tiles / "absent.png", tmp_path / "*.tif"]
    assert set(told["skipped"]) == {str(path) for path in bad}
    assert "0 bytes" in told["skipped"][str(tiles / "empty.png")]


def test_an_input_that_the_model_cannot_take_is_skipped(run_json, tiles, tmp_path):
    np.save(tiles / "odd.npy", np.zeros((5, 48, 48), np.float32))
    code, told = run_json("explain", MODEL, tiles, "-o", tmp_path / "out", "--no-quick-checks")
    assert code == cli.SOME_SKIPPED
    assert len(told["results"]) == 2
    assert set(told["skipped"]) == {str(tiles / "odd.npy")}


def test_an_input_that_makes_the_network_fail_is_skipped(run_json, tiles, tmp_path, monkeypatch):
    class Picky(torch.nn.Module):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def forward(self, x):
            if x.shape[-1] != 48:
                raise RuntimeError("expected 48\ncolumns")
            return self.net(x)

    model = hp.load(MODEL)
    monkeypatch.setattr(hp, "load", lambda *_, **__: hp.Model(Picky(model.net), model.preprocess, model.labels))
    with Image.open(tiles / "clean.png") as picture:
        picture.resize((64, 64)).save(tiles / "another.png")
    code, told = run_json("explain", MODEL, tiles, "-o", tmp_path / "out", "--no-quick-checks")
    assert code == cli.SOME_SKIPPED
    assert told["skipped"] == {str(tiles / "another.png"): "the model failed on it: expected 48 columns"}
    assert len(told["results"]) == 2


def test_nothing_but_bad_inputs_is_unusable(run_json, tmp_path):
    (tmp_path / "empty.png").touch()
    code, told = run_json("explain", MODEL, tmp_path / "empty.png", "-o", tmp_path / "out")
    assert code == cli.UNUSABLE
    assert told["results"] == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--target", "dab-positiv"), "label 'dab-positiv' does not exist"),
        (("--target", "2"), "Class 2 does not exist"),
        (("--target=-1",), "Class -1 does not exist"),
        (("--layer", "feature"), "There is no layer 'feature'"),
        (("--method", "gradcan"), "there is no method 'gradcan'"),
        (("--target", "1", "--top-k", "2"), "--target and --top-k"),
        (("--top-k", "3"), "--top-k is 3, but the model has 2 classes"),
        (("--batch-size", "many"), "--batch-size is 'many'"),
        (("--batch-size", "0"), "--batch-size is '0'"),
        (("--device", "abacus"), "there is no device 'abacus'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
def test_a_wrong_call_is_one_sentence_and_writes_nothing(run, tiles, tmp_path, words, sentence):
    code, out, err = run("explain", MODEL, tiles, "-o", tmp_path / "out", *words)
    assert (code, out) == (cli.UNUSABLE, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_unknown_model_is_one_sentence(run, tiles):
    code, out, err = run("explain", "bundled:dba", tiles)
    assert (code, out) == (cli.UNUSABLE, "")
    assert "'dba'" in err


def test_an_output_folder_that_is_a_file_is_one_sentence(run, tiles, tmp_path):
    (tmp_path / "out").touch()
    code, _, err = run("explain", MODEL, tiles, "-o", tmp_path / "out", "--no-quick-checks")
    assert code == cli.UNUSABLE
    assert str(tmp_path / "out") in err


def test_equal_names_get_folders_of_their_own(run_json, tiles, tmp_path):
    (tiles / "more").mkdir()
    shutil.copy(tiles / "stained.png", tiles / "more" / "STAINED.png")
    _, told = run_json("explain", MODEL, tiles, "-o", tmp_path / "out", "--no-quick-checks")
    folders = [one["folder"] for one in told["results"]]
    assert len({folder.casefold() for folder in folders}) == len(folders) == 3


def test_a_number_never_takes_another_inputs_name(tmp_path):
    taken: set[str] = set()
    names = [explain._folder_name(tmp_path / name, taken) for name in ("a-2.png", "a.png", "A.jpg", "a.tif")]
    assert names == ["a-2", "a", "A-3", "a-4"]


@pytest.mark.parametrize("size", [1, 2, "auto"])
def test_batch_size_changes_nothing(run_json, tiles, tmp_path, size):
    _, told = run_json("explain", MODEL, tiles, "-o", tmp_path, "--batch-size", size, "--no-quick-checks")
    ex = hp.explain(hp.load(MODEL), sorted(tiles.iterdir()))
    scores = [one["targets"][0]["score"] for one in told["results"]]
    assert scores == pytest.approx(ex.scores[:, 0].tolist(), rel=1e-5)
