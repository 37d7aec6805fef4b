"""`heatproof wsi` from end to end, its estimate, and what it refuses."""

import numpy as np
import pytest
import zarr
from PIL import Image

from heatproof.synthetic.slides import write_slide


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return write_slide(tmp_path_factory.mktemp("slide") / "slide.tiff", (1300, 1100), spots=1, seed=3)


def test_a_slide_becomes_a_folder_and_goes_on_when_started_again(run, run_json, planted, tmp_path):
    words = ["wsi", "bundled:dab", planted.path, "--mpp", 1, "--target", "DAB-positive", "-o", tmp_path / "out"]
    code, out, err = run(*words)
    assert code == 0, err
    assert "tiles over" in out
    assert "seamless" in out
    assert "region 1:" in out
    code, told = run_json(*words, "--export", "none")
    assert code == 0
    assert told["mode"] == "seamless"
    assert told["regions"][0]["area_mm2"] > 0
    for name in ("overview.png", "map.ome.tif", "map.geojson", "regions.csv", "tiles.csv", "slide.json"):
        assert (tmp_path / "out" / name).is_file()
    with Image.open(tmp_path / "out" / "overview.png") as picture:
        assert min(picture.size) > 400
    assert np.isfinite(zarr.open_array(tmp_path / "out" / "map.ome.zarr" / "0", mode="r")[:]).any()


def test_the_estimate_alone_writes_nothing(run_json, planted, tmp_path):
    words = ("wsi", "bundled:dab", planted.path, "--mpp", 1, "--target", 1, "-o", tmp_path / "out", "--estimate")
    code, told = run_json(*words)
    assert code == 0
    assert told["tiles"] >= 1
    assert told["seconds"] > 0
    assert told["megabytes"] > 0
    assert not (tmp_path / "out").exists()


def test_a_given_mask_is_where_it_looks(run_json, planted, tmp_path):
    mask = np.zeros((110, 130), np.uint8)
    mask[50:80, 50:80] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    words = ("wsi", "bundled:dab", planted.path, "--mpp", 1, "--target", 1, "-o", tmp_path / "out")
    code, told = run_json(*words, "--tissue", tmp_path / "mask.png", "--export", "none")
    assert code == 0
    assert told["tissue_mm2"] == pytest.approx(0.15**2, rel=0.1)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--target", "1"], "--mpp is missing"),
        (["--mpp", "1"], "The network has 2 classes; name the one to explain"),
        (["--mpp", "1", "--target", "1", "--slide-mpp", "fine"], "--slide-mpp is 'fine'"),
        (["--mpp", "0.1", "--target", "1"], "but slide.tiff was scanned at 0.5"),
        (["--mpp", "1", "--target", "1", "--export", "svs"], "there is no export format 'svs'"),
        (["--mpp", "1", "--target", "lung"], "label 'lung' does not exist"),
    ],
)
def test_wrong_use_is_one_sentence(run, planted, tmp_path, words, sentence):
    code, _, err = run("wsi", "bundled:dab", planted.path, "-o", tmp_path / "out", *words)
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err


def test_a_blank_slide_is_refused(run, tmp_path):
    blank = write_slide(tmp_path / "blank.tiff", (1300, 1100), tissue=False)
    code, _, err = run("wsi", "bundled:dab", blank.path, "--mpp", 1, "--target", 1, "-o", tmp_path / "out")
    assert code == 2
    assert "blank.tiff shows no tissue" in err


def bag_model():
    """A network for python:tests.cli.test_wsi:bag_model."""
    import torch

    class Mean(torch.nn.Module):
        def forward(self, bag):
            weights = torch.softmax(bag[0, :, 0], 0)
            return (weights[:, None] * bag[0]).sum(0)[None]

    return Mean()


def test_a_bag_of_stored_features_is_asked_in_three_ways(run_json, planted, tmp_path):
    import h5py

    with h5py.File(tmp_path / "f.h5", "w") as file:
        file["features"] = np.random.default_rng(0).normal(size=(6, 2)).astype(np.float32)
        file["coords"] = [[256 * i, 256] for i in range(4)] + [[0, 512], [256, 512]]
        file["coords"].attrs["patch_size_level0"] = 256
    spec = "python:tests.cli.test_wsi:bag_model"
    words = ("wsi", planted.path, "--mil", spec, "--features", tmp_path / "f.h5", "--target", 1, "-o", tmp_path / "out")
    code, told = run_json(*words)
    assert code == 0
    assert told["ways"] == ["attention", "gradient", "perturbation"]
    assert told["patches"] == 6
    for way in told["ways"]:
        assert (tmp_path / "out" / way / "overview.png").is_file()
        assert (tmp_path / "out" / way / "map.geojson").is_file()
    assert len((tmp_path / "out" / "patches.csv").read_text().splitlines()) == 7


def test_scores_from_elsewhere_are_drawn(run_json, planted, tmp_path):
    (tmp_path / "s.csv").write_text("file,x,y,score\n" + "".join(f"a,{256 * i},256,{i}\n" for i in range(5)))
    code, told = run_json("wsi", planted.path, "--scores", tmp_path / "s.csv", "-o", tmp_path / "out")
    assert code == 0
    assert told["regions"][0]["peak"] == 4


def test_annotations_exclude_and_judge(run_json, run, planted, tmp_path):
    import json

    half = [[0, 0], [650, 0], [650, 1100], [0, 1100], [0, 0]]
    shape = {"type": "Polygon", "coordinates": [half]}
    feature = {"type": "Feature", "geometry": shape, "properties": {"classification": {"name": "left"}}}
    (tmp_path / "a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    words = ["wsi", "bundled:dab", planted.path, "--mpp", 1, "--target", 1, "--annotations", tmp_path / "a.geojson"]
    code, told = run_json(*words, "-o", tmp_path / "judged", "--export", "none")
    assert code == 0
    assert told["plausibility"]["share_of_tissue"] == pytest.approx(0.5, abs=0.15)
    code, cut = run_json(*words, "--exclude", "left", "-o", tmp_path / "cut", "--export", "none")
    assert cut["tissue_mm2"] == pytest.approx(
        told["tissue_mm2"] * (1 - told["plausibility"]["share_of_tissue"]), rel=0.1
    )
    code, _, err = run(*words[:-2], "--exclude", "left", "-o", tmp_path / "none")
    assert code == 2
    assert "--exclude names a class of outlines, but there are none" in err
