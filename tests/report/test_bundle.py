"""Bundles: whole or without a manifest, and true to the byte."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from heatproof.errors import InputError
from heatproof.report import bundle
from heatproof.report.bundle import overlay_names, plain, save_bundle
from heatproof.report.overlay import overlay
from heatproof.types import QuickChecks, Target


@pytest.fixture
def several(explanation):
    """Two inputs, two targets."""
    maps = np.random.default_rng(0).normal(size=(2, 2, 4, 5)).astype(np.float32)
    return explanation(maps, size=(20, 25), names=("tabby cat", "lynx/bobcat"))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_one_map(explanation, tmp_path):
    ex = explanation(np.eye(4), size=(20, 25))
    folder = save_bundle(ex, tmp_path / "new" / "out")
    assert folder == tmp_path / "new" / "out"
    assert sorted(contents(folder)) == ["manifest.json", "map.npz", "overlay.png"]
    with Image.open(folder / "overlay.png") as image:
        assert np.array_equal(np.asarray(image), np.asarray(overlay(ex)))


def test_several_maps_are_named_by_input_and_target(several, tmp_path):
    folder = save_bundle(several, tmp_path)
    assert sorted(contents(folder)) == [
        "manifest.json",
        "map.npz",
        "overlay_0_lynx-bobcat.png",
        "overlay_0_tabby-cat.png",
        "overlay_1_lynx-bobcat.png",
        "overlay_1_tabby-cat.png",
    ]


def test_names_that_would_collide_are_numbered(explanation):
    ex = explanation(np.ones((1, 3, 2, 2)), names=("a b", "A/B", "猫"))
    assert overlay_names(ex) == [["overlay_0_0-a-b.png", "overlay_0_1-A-B.png", "overlay_0_2-target.png"]]


def test_the_arrays_are_the_signed_maps(several, tmp_path):
    with np.load(save_bundle(several, tmp_path) / "map.npz", allow_pickle=False) as arrays:
        assert arrays["maps"].dtype == np.float32
        assert np.array_equal(arrays["maps"], several.maps.numpy())
        assert np.array_equal(arrays["scores"], several.scores.numpy())
        assert arrays["grid"].tolist() == [4, 5]
        assert arrays["spacing"].tolist() == [5.0, 5.0]
        assert arrays["targets"].tolist() == [["tabby cat", "lynx/bobcat"]] * 2
        assert arrays["scale"].tolist() == [[1.0, 1.0]] * 2


def test_the_manifest_describes_every_file_and_input(several, tmp_path):
    folder = save_bundle(several, tmp_path)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    files = contents(folder)
    del files["manifest.json"]
    assert manifest["files"] == {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()
    }
    first = manifest["inputs"][0]
    data = several.inputs[0].data.numpy().astype("<f4")
    assert first["sha256"] == hashlib.sha256(data.tobytes()).hexdigest()
    assert first["size"] == [20, 25]
    target = first["targets"][1]
    assert target["name"] == "lynx/bobcat"
    assert target["overlay"] == "overlay_0_lynx-bobcat.png"
    assert target["score"] == 11.25
    assert target["maximum"] == float(several.maps[0, 1].max())
    assert manifest["method"] == "gradcam"
    assert manifest["layer"] == "layer4"
    assert manifest["resolution"] == {"grid": [4, 5], "spacing": [5.0, 5.0], "receptive_field": None}
    assert manifest["provenance"] == {"seed": 0}
    assert manifest["versions"]["torch"] == torch.__version__


def test_quick_checks_and_flags_are_in_the_manifest(explanation, tmp_path):
    checks = QuickChecks(2.5, 0.5, 0.25, None, None, float("nan"), 9)
    ex = explanation(np.zeros((4, 4)), quick_checks=((checks,),), score=float("nan"))
    manifest = json.loads((save_bundle(ex, tmp_path) / "manifest.json").read_text(encoding="utf-8"))
    target = manifest["inputs"][0]["targets"][0]
    assert target["flags"] == ["blank"]
    assert target["score"] == "nan"  # JSON has no NaN
    assert target["quick_checks"]["drop_top"] == 2.5
    assert target["quick_checks"]["similarity_random"] == "nan"


def test_the_same_explanation_gives_the_same_bytes(several, tmp_path):
    assert contents(save_bundle(several, tmp_path / "a")) == contents(save_bundle(several, tmp_path / "b"))


def test_an_earlier_bundle_is_replaced_and_nothing_else(explanation, several, tmp_path):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "overlay_mine.png").write_bytes(b"mine too")
    save_bundle(several, tmp_path)
    save_bundle(explanation(np.eye(4)), tmp_path)
    assert sorted(contents(tmp_path)) == ["manifest.json", "map.npz", "notes.txt", "overlay.png", "overlay_mine.png"]


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "[]",
        '{"format": "heatproof explanation 1", "files": 3}',
        '{"format": "other", "files": {"notes.txt": {}}}',
    ],
)
def test_a_strange_manifest_deletes_nothing(explanation, tmp_path, text):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    save_bundle(explanation(np.eye(4)), tmp_path)
    assert (tmp_path / "notes.txt").exists()


def test_a_manifest_cannot_reach_beyond_its_folder(explanation, tmp_path):
    folder = save_bundle(explanation(np.eye(4)), tmp_path / "out")
    outside = tmp_path / "outside.txt"
    outside.write_text("mine", encoding="utf-8")
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    manifest["files"]["../outside.txt"] = {}
    manifest["files"][str(outside)] = {}
    manifest["files"][".."] = {}
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    save_bundle(explanation(np.eye(4)), folder)
    assert outside.exists()


@pytest.mark.parametrize("last", ["overlay_1_tabby-cat.png", "map.npz", "manifest.json"])
def test_a_crash_leaves_no_manifest_and_no_half_file(several, tmp_path, monkeypatch, last):
    """Whichever file the crash hits, the folder does not look like a bundle, though it was one before."""
    save_bundle(several, tmp_path)
    replace = bundle.Path.replace

    def crash(self, target):
        if bundle.Path(target).name == last:
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(bundle.Path, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            save_bundle(several, tmp_path)
    assert "manifest.json" not in contents(tmp_path)
    assert not [name for name in contents(tmp_path) if name.endswith(".part")]
    save_bundle(several, tmp_path)
    assert "manifest.json" in contents(tmp_path)


def test_the_manifest_is_written_last(several, tmp_path, monkeypatch):
    order = []
    write = bundle._write
    monkeypatch.setattr(bundle, "_write", lambda path, data: order.append(path.name) or write(path, data))
    save_bundle(several, tmp_path)
    assert order[-1] == "manifest.json"
    assert order.count("manifest.json") == 1
    assert len(order) == 6


def test_a_folder_that_is_a_file(explanation, tmp_path):
    (tmp_path / "out").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match="out is a file, so no results"):
        save_bundle(explanation(np.eye(4)), tmp_path / "out")


def test_a_folder_that_cannot_be_written(explanation, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(InputError, match=r"cannot be written \(.+\); name a folder that can be"):
        save_bundle(explanation(np.eye(4)), tmp_path / "file" / "out")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle.os, "fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        save_bundle(explanation(np.eye(4)), tmp_path / "out")
    assert contents(tmp_path / "out") == {}


def test_plain_values(tmp_path):
    given = {1: np.float32(0.5), "b": {3, 1}, "c": (tmp_path, torch.float32), "d": np.array([1.0, np.inf]), "e": None}
    assert plain(given) == {"1": 0.5, "b": [1, 3], "c": [str(tmp_path), "torch.float32"], "d": [1.0, "inf"], "e": None}


def test_a_targets_index_is_kept(explanation, tmp_path):
    ex = explanation(np.eye(4), targets=((Target("mask mean", function=lambda y: y),),))
    manifest = json.loads((save_bundle(ex, tmp_path) / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["inputs"][0]["targets"][0]["index"] is None


def test_names_that_are_not_utf8_come_back_as_they_were(explanation, tmp_path):
    made = explanation([[1.0, 0.0]], names=["a\udcffb"])
    made = replace(made, inputs=tuple(replace(one, name="x\udcff.png") for one in made.inputs))
    made.save(tmp_path)
    text = (tmp_path / "manifest.json").read_text(encoding="utf-8")
    (told,) = json.loads(text)["inputs"]
    assert told["name"] == "x\udcff.png"
    assert told["targets"][0]["name"] == "a\udcffb"
    assert made._repr_html_().encode()  # can be sent to a browser


@pytest.mark.parametrize(("name", "says"), [("x" * 300, "too long"), ("a\0b", "null character")])
def test_names_that_no_folder_can_have(explanation, tmp_path, name, says):
    with pytest.raises(InputError, match=says):
        explanation([[1.0, 0.0]]).save(tmp_path / name)
