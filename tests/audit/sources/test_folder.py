"""A folder of class folders: what is an input, what it is called, what it is labelled and what marks it."""

import hashlib
import json
import os

import numpy as np
import pytest
import torch
from PIL import Image
from tests.audit.sources.pictures import by_id, ids, pixels, png, put

from heatproof.audit.entry import Roles
from heatproof.audit.sources import _walk, open_source
from heatproof.errors import InputError, UsageError


@pytest.fixture
def classes(tmp_path):
    for name in ("dog/b.png", "cat/10.png", "cat/9.png", "cat/sub/a.png"):
        put(tmp_path, name)
    return tmp_path


def test_classes_are_the_names_of_the_folders(classes):
    source = open_source(str(classes))
    assert (source.kind, source.roles.label) == ("folder", "parent")
    # sorted by the bytes of the names, folder by folder
    assert [(entry.id, entry.label) for entry in source] == [
        ("cat/10.png", "cat"),
        ("cat/9.png", "cat"),
        ("cat/sub/a.png", "sub"),
        ("dog/b.png", "dog"),
    ]


def test_a_flat_folder_has_no_labels(tmp_path):
    put(tmp_path, "a.png")
    source = open_source(str(tmp_path))
    assert source.roles.label is None
    assert [entry.label for entry in source] == [None]


def test_files_beside_the_classes_have_no_label(classes):
    put(classes, "loose.png")
    assert by_id(open_source(str(classes)))["loose.png"].label is None


def test_reading_gives_the_picture_and_the_hash_of_its_bytes(tmp_path):
    data = png(3)
    put(tmp_path, "x/a.png", data)
    source = open_source(str(tmp_path))
    found, digest = source.read(next(iter(source)))
    assert digest == hashlib.sha256(data).hexdigest()
    assert (found.name, found.size) == ("x/a.png", (6, 8))
    assert torch.equal(found.data, torch.from_numpy(pixels(3)).movedim(-1, 0).float() / 255)


def test_what_is_no_input_is_told_from_what_is_broken(tmp_path):
    for name in ("x/README.txt", "x/Thumbs.db", "x/notes", "model.pt"):
        put(tmp_path, name, b"no picture")
    put(tmp_path, "labels.csv", b"file,label\nx/a.png,cat\n")
    put(tmp_path, "x/signal.csv", b"time,value\n0,1.5\n1,2.5\n")
    put(tmp_path, "x/empty.csv", b"")
    put(tmp_path, "x/broken.png", b"no picture")
    put(tmp_path, "x/photo.dat")  # a picture, whatever it is called
    put(tmp_path, "x/noname")
    put(tmp_path, ".hidden.png")
    put(tmp_path, ".cache/a.png")
    source = open_source(str(tmp_path))
    assert ids(source) == ["x/broken.png", "x/empty.csv", "x/noname", "x/photo.dat", "x/signal.csv"]
    assert sorted(name for name, _ in source.left_out()) == [
        "labels.csv", "model.pt", "x/README.txt", "x/Thumbs.db", "x/notes",
    ]  # fmt: skip
    read = by_id(source)
    assert source.read(read["x/photo.dat"])[0].size == (6, 8)
    assert source.read(read["x/signal.csv"])[0].data.tolist() == [[0.0, 1.0], [1.5, 2.5]]
    with pytest.raises(InputError, match="is not a picture that Pillow can read"):
        source.read(read["x/broken.png"])


def test_names_with_newlines_and_without_utf8(tmp_path):
    names = [b"a\nb.png", b"caf\xe9.png", b"back\\slash.png", "smile\u263a.png".encode(), b"\\xe9.png"]
    for name in names:
        put(tmp_path, os.fsdecode(name))
    source = open_source(str(tmp_path))
    found = ids(source)
    assert sorted(found) == sorted(
        ["a\\x0ab.png", "caf\\xe9.png", "back\\\\slash.png", "smile\u263a.png", "\\\\xe9.png"]
    )
    assert all(name.encode() for name in found)  # valid Unicode
    assert all(source.read(entry)[0].name == entry.id for entry in source)


def test_links_are_followed_and_loops_end(tmp_path):
    root, outside = tmp_path / "data", tmp_path / "outside"
    put(root, "cat/a.png")
    put(root, "dog/b.png")
    put(outside, "c.png")
    (root / "bird").symlink_to(outside)
    (root / "cat/up").symlink_to(root)
    (root / "dog/cats").symlink_to(root / "cat")
    (root / "cat/dogs").symlink_to(root / "dog")
    (outside / "again").symlink_to(outside)
    (root / "cat/self.png").symlink_to(root / "cat/self.png")
    (root / "cat/gone.png").symlink_to(root / "nothing.png")
    source = open_source(str(root))
    assert ids(source) == ["bird/c.png", "cat/a.png", "cat/gone.png", "cat/self.png", "dog/b.png"]
    entries = by_id(source)
    with pytest.raises(InputError, match=r"cat/gone\.png does not exist"):
        source.read(entries["cat/gone.png"])
    with pytest.raises(InputError, match=r"cat/self\.png cannot be opened \(Too many levels of symbolic links\)"):
        source.read(entries["cat/self.png"])
    assert {name for name, why in source.left_out() if "link" in why} == {
        "bird/again", "cat/dogs", "cat/up", "dog/cats",
    }  # fmt: skip


def test_a_folder_that_may_not_be_listed_is_an_entry_that_fails(classes, monkeypatch):
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("cat"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(_walk.os, "scandir", refuse)  # root may list everything
    source = open_source(str(classes))
    assert ids(source) == ["cat/", "dog/b.png"]
    with pytest.raises(InputError, match="The folder cat/ cannot be listed; check its permissions"):
        source.read(next(iter(source)))


def test_a_folder_larger_than_a_block_keeps_its_order(tmp_path, monkeypatch):
    for number in range(23):
        put(tmp_path, f"{number}.png", b"x")
    whole = ids(open_source(str(tmp_path)))
    for block in (1, 5, 23, 24):
        monkeypatch.setattr(_walk, "BLOCK", block)
        assert ids(open_source(str(tmp_path))) == whole == sorted(whole)


def test_splits_are_no_classes(tmp_path):
    for name in ("train/cat/a.png", "train/dog/b.png", "test/cat/a.png", "test/loose.png"):
        put(tmp_path, name)
    source = open_source(str(tmp_path))
    assert (source.roles.split, source.columns) == ("split", ("split",))
    assert [(entry.id, entry.label, entry.columns["split"]) for entry in source] == [
        ("test/cat/a.png", "cat", "test"),
        ("test/loose.png", None, "test"),
        ("train/cat/a.png", "cat", "train"),
        ("train/dog/b.png", "dog", "train"),
    ]
    assert ids(open_source(str(tmp_path), Roles(only="test"))) == ["test/cat/a.png", "test/loose.png"]
    assert open_source(str(tmp_path), Roles(split="")).columns == ()


def test_annotations_lie_beside(classes):
    mask = np.zeros((6, 8), np.uint8)
    mask[1:3, 2:5] = 255
    (classes / "annotations/cat").mkdir(parents=True)
    Image.fromarray(mask).save(classes / "annotations/cat/10.png")
    (classes / "annotations/b.json").write_text(json.dumps({"boxes": [[1, 2, 3, 4]]}))
    square = [[2, 1], [5, 1], [5, 3], [2, 3], [2, 1]]
    features = [
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [square]},
         "properties": {"classification": {"name": "sub"}}},
        {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [8, 0], [8, 6]]]},
         "properties": {"classification": {"name": "other"}}},
    ]  # fmt: skip
    (classes / "annotations/a.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    source = open_source(str(classes))
    entries = by_id(source)
    assert source.roles.annotation == "annotations"
    assert list(entries) == ["cat/10.png", "cat/9.png", "cat/sub/a.png", "dog/b.png"]
    assert np.array_equal(source.annotation(entries["cat/10.png"]), mask > 0)
    assert source.annotation(entries["cat/9.png"]) is None
    assert np.array_equal(source.annotation(entries["cat/sub/a.png"]), mask > 0)
    assert source.annotation(entries["dog/b.png"]) == {"boxes": [[1, 2, 3, 4]]}
    assert all(entry.annotation is None for entry in open_source(str(classes), Roles(annotation="")))


def test_annotations_in_one_file(classes, tmp_path):
    (classes / "marks.csv").write_text("file,x_min,y_min,x_max,y_max\nb.png,0,0,2,2\ncat/9,1,1,2,2\nb.png,3,3,4,4\n")
    source = open_source(str(classes), Roles(annotation="marks.csv"))
    assert {entry.id: source.annotation(entry) for entry in source} == {
        "cat/10.png": None,
        "cat/9.png": {"boxes": [[1, 1, 2, 2]]},
        "cat/sub/a.png": None,
        "dog/b.png": {"boxes": [[0, 0, 2, 2], [3, 3, 4, 4]]},
    }
    Image.fromarray(np.eye(6, 8, dtype=np.uint8)).save(classes / ".m.png")
    (classes / "marks.json").write_text(json.dumps({"9.png": ".m.png", "10.png": None, "a": {"points": [[1, 2]]}}))
    source = open_source(str(classes), Roles(annotation=str(classes / "marks.json")))
    entries = by_id(source)
    assert np.array_equal(source.annotation(entries["cat/9.png"]), np.eye(6, 8) > 0)
    assert source.annotation(entries["cat/10.png"]) is None
    assert source.annotation(entries["cat/sub/a.png"]) == {"points": [[1, 2]]}


def test_annotations_that_cannot_be_used(classes):
    folder = classes / "annotations"
    folder.mkdir()
    (folder / "10.json").write_text("{")
    (folder / "9.json").write_text('{"squares": []}')
    Image.fromarray(np.arange(256, dtype=np.uint8).reshape(16, 16)).save(folder / "a.png")
    (folder / "b.geojson").write_text('{"type": "Point", "coordinates": [1, 2]}')
    source = open_source(str(classes))
    for name, sentence in [
        ("cat/10.png", r"annotation of cat/10\.png cannot be read .*; give \{'boxes'"),
        ("cat/9.png", r"annotation of cat/9\.png says .*squares.*; give \{'boxes'"),
        ("cat/sub/a.png", r"annotation of cat/sub/a\.png cannot be used: The mask of a\.png holds 256 values"),
        ("dog/b.png", r"annotation of dog/b\.png has the GeoJSON type 'Point'; give polygons"),
    ]:
        with pytest.raises(InputError, match=sentence):
            source.annotation(by_id(source)[name])


@pytest.mark.parametrize(
    ("roles", "sentence"),
    [
        (Roles(path="file"), "path='file' is for tables"),
        (Roles(label="class"), "label='class' is for tables; .* can be 'parent' alone"),
        (Roles(cluster="patient"), "cluster='patient' is for tables"),
        (Roles(split="split"), "has no folders named train, val or test"),
        (Roles(only="test"), "only='test' asks for one split, but .* has no folders named train"),
        (Roles(annotation="marks"), "annotation='marks' is no folder or file"),
    ],
)
def test_roles_that_a_folder_does_not_have(classes, roles, sentence):
    with pytest.raises(UsageError, match=sentence):
        open_source(str(classes), roles)


def test_clusters_are_folders(classes):
    assert [entry.cluster for entry in open_source(str(classes), Roles(cluster="parent"))] == [
        "cat", "cat", "cat/sub", "dog",
    ]  # fmt: skip


def test_the_fingerprint_knows_names_sizes_and_labels(classes):
    before = open_source(str(classes)).fingerprint()
    assert open_source(str(classes)).fingerprint() == before
    (classes / "cat/9.png").rename(classes / "dog/9.png")
    moved = open_source(str(classes)).fingerprint()
    put(classes, "dog/9.png", png(1, (20, 20)))
    other = open_source(str(classes)).fingerprint()
    put(classes, "dog/new.png")
    assert len({before, moved, other, open_source(str(classes)).fingerprint()}) == 4


def test_nothing_there_and_nothing_in_it(tmp_path):
    put(tmp_path, "data/README.txt", b"x")
    with pytest.raises(InputError, match="does not exist; did you mean 'data'"):
        open_source(str(tmp_path / "dta"))
    with pytest.raises(InputError, match="is no data set of a kind that is known"):
        open_source(str(tmp_path / "data"))


def test_a_folder_called_images_is_no_class(tmp_path):
    for name in ("cat/images/a.png", "images/b.png"):
        put(tmp_path, name)
    assert [entry.label for entry in open_source(str(tmp_path))] == ["cat", None]
