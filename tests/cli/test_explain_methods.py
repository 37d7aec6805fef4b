"""`heatproof explain` with several methods, settings and averaging."""

import json

import numpy as np
import pytest
import torch

import heatproof as hp

MODEL = "bundled:dab"


def test_several_methods_get_a_folder_each(run_json, tiles, tmp_path):
    words = ("--method", "gradcam", "--method", "EigenCAM", "--setting", "centered=true")
    code, told = run_json("explain", MODEL, tiles, "-o", tmp_path, *words)
    assert code == 0
    assert [one["method"] for one in told["results"]] == ["gradcam", "eigencam"] * 2
    assert (tmp_path / "stained" / "eigencam" / "overlay.png").is_file()
    manifest = json.loads((tmp_path / "clean" / "eigencam" / "manifest.json").read_text())
    assert manifest["provenance"]["settings"] == {"centered": True}


def test_all_says_what_was_left_out_and_why(run, tiles, tmp_path):
    code, _, err = run("explain", MODEL, tiles / "stained.png", "-o", tmp_path, "--method", "all")
    assert code == 0
    assert "left out attention: " in err
    assert (tmp_path / "stained" / "layercam" / "map.npz").is_file()
    assert not (tmp_path / "stained" / "attention").exists()


def test_averaging_reaches_the_result(run_json, tiles, tmp_path):
    words = ("--augment", "flip_x", "--noise", "0.1", "--samples", "2", "--seed", "4", "--no-quick-checks")
    _, told = run_json("explain", MODEL, tiles / "stained.png", "-o", tmp_path, *words)
    ex = hp.explain(hp.load(MODEL), tiles / "stained.png", augment="flip_x", noise=0.1, samples=2, seed=4)
    assert told["results"][0]["targets"][0]["score"] == pytest.approx(float(ex.scores[0, 0]), rel=1e-5)
    with np.load(tmp_path / "stained" / "map.npz") as saved:
        torch.testing.assert_close(torch.from_numpy(saved["maps"][0]), ex.maps[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--setting", "centered"), "write NAME=VALUE"),
        (("--setting", "centred=1"), "There is no argument 'centred'"),
        (("--setting", "layer=x"), "pass --layer"),
        (("--setting", "batch_size=4"), "pass --batch-size"),
        (("--combine", "median"), "combine is 'median'"),
        (("--augment", "turn"), "no augmentation 'turn'"),
        (("--method", "gradcam", "--method", "nothing"), "there is no method 'nothing'"),
    ],
)
def test_wrong_usage(run, tiles, tmp_path, words, told):
    code, _, err = run("explain", MODEL, tiles, "-o", tmp_path, *words)
    assert code == 2
    assert told in err.replace("\n", " ")
