"""COCO: labels from the categories, masks from polygons and runs, boxes where there is no mask."""

import copy
import json

import numpy as np
import pytest
from tests.audit.sources.pictures import by_id, ids, png, put

from heatproof.audit.entry import Roles
from heatproof.audit.sources import open_source
from heatproof.audit.sources._runlength import runs_mask
from heatproof.errors import InputError, UsageError

CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 3, "name": "cat"}]


def thing(image, category, **more):
    return {"id": 1, "image_id": image, "category_id": category, **more}


def document():
    images = [
        {"id": 5, "file_name": "a.png", "height": 6, "width": 8, "patient_id": "p1"},
        {"id": 6, "file_name": "b.png", "height": 6, "width": 8, "patient_id": "p2"},
        {"id": 7, "file_name": "c.png", "height": 6, "width": 8, "patient_id": "p2"},
    ]
    objects = [
        # a box of 3 x 2 by its corners, and one sample by its runs: 2 columns of 6 unmarked, then 3 more, then 1 marked
        thing(5, 3, bbox=[1, 2, 3, 2], area=6, segmentation=[[1, 2, 4, 2, 4, 4, 1, 4]]),
        thing(5, 3, bbox=[2, 3, 1, 1], area=1, iscrowd=1, segmentation={"size": [6, 8], "counts": [15, 1, 32]}),
        thing(5, 18, bbox=[0, 0, 1, 1], area=1, segmentation=[]),
        thing(6, 18, bbox=[1, 1, 2, 3], area=6),
        thing(6, 18, bbox=[0, 0, 1, 1], area=1),
    ]
    return {"images": images, "annotations": objects, "categories": copy.deepcopy(CATEGORIES)}


def write(path, told):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(told))
    return str(path)


@pytest.fixture
def coco(tmp_path):
    for name in "abc":
        put(tmp_path, f"images/{name}.png")
    return write(tmp_path / "annotations/instances.json", document())


def test_images_with_the_category_that_covers_most(coco):
    source = open_source(coco)
    assert (source.kind, source.labels) == ("coco", ("cat", "dog"))
    assert source.roles == Roles("file_name", "categories", "annotations", "patient_id")
    assert source.columns == ("categories", "objects")
    assert [(e.id, e.label, e.cluster, dict(e.columns)) for e in source] == [
        ("a.png", "cat", "p1", {"categories": "cat, dog", "objects": 3}),
        ("b.png", "dog", "p2", {"categories": "dog", "objects": 2}),
        ("c.png", None, "p2", {"categories": "", "objects": 0}),
    ]
    assert all(source.read(entry)[0].size == (6, 8) for entry in source)


def test_masks_of_the_label_and_boxes_where_there_is_none(coco):
    source = open_source(coco)
    a, b, c = source
    wanted = np.zeros((6, 8), bool)
    wanted[2:4, 1:4] = True
    wanted[3, 2] = True  # number 15 down the columns of 6
    assert np.array_equal(source.annotation(a), wanted)
    assert source.annotation(b) == {"boxes": [[1, 1, 3, 4], [0, 0, 1, 1]]}
    assert source.annotation(c) == {"boxes": []}
    assert [entry.annotation for entry in open_source(coco, Roles(annotation=""))] == [None] * 3


@pytest.mark.parametrize(
    ("packed", "runs", "size"),
    # packed by pycocotools 2.0.11 from the masks that these runs say
    [
        ("1", [1], (1, 1)),
        ("01", [0, 1], (1, 1)),
        ("0150L0213ON14OI060J0", [0, 1, 5, 1, 1, 1, 3, 2, 6, 1, 4, 2, 8, 1, 1, 1, 7, 1, 1, 1], (6, 8)),
        ("73300000a0", [7, 3, 3, 3, 3, 3, 3, 3, 20], (6, 8)),
        ("0`1", [0, 48], (6, 8)),
        ("j<;m000000000000000000000000000000fm0", [410, *[11, 29] * 15, 11, 979], (40, 50)),
        ("0Pcj1", [0, 60000], (300, 200)),
    ],
)
def test_packed_runs(packed, runs, size):
    wanted = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(size, order="F")
    assert np.array_equal(runs_mask(packed, size, "x"), wanted)
    assert np.array_equal(runs_mask(packed.encode(), size, "x"), wanted)
    assert np.array_equal(runs_mask(runs, size, "x"), wanted)


@pytest.mark.parametrize("place", ["{}", "images/{}", "../images/{}", "../val2017/{}", "val2017/{}", "../{}"])
def test_pictures_are_found_where_they_usually_lie(tmp_path, place):
    told = document()
    for image in told["images"]:
        put(tmp_path / "set/annotations", place.format(image["file_name"]))
    source = open_source(write(tmp_path / "set/annotations/instances_val2017.json", told))
    assert source.read(next(iter(source)))[0].size == (6, 8)


def test_the_folder_of_the_pictures_can_be_told(tmp_path, coco):
    put(tmp_path, "elsewhere/a.png", png(9, (3, 3)))
    source = open_source(coco, Roles(path=str(tmp_path / "elsewhere")))
    a, b, _ = source
    assert source.read(a)[0].size == (3, 3)
    with pytest.raises(InputError, match=r"^b\.png does not exist"):
        source.read(b)
    with pytest.raises(UsageError, match="path='nowhere' is no folder"):
        open_source(coco, Roles(path="nowhere"))


def test_fields_of_the_images_can_be_told(tmp_path):
    told = document()
    for image, site in zip(told["images"], "xyy", strict=True):
        image.update(site=site, fold=site, grade=2)
    path = write(tmp_path / "i.json", told)
    source = open_source(path, Roles(label="grade", cluster="site", split="fold", only="y"))
    assert [(entry.id, entry.label, entry.cluster) for entry in source] == [("b.png", 2, "y"), ("c.png", 2, "y")]
    with pytest.raises(UsageError, match="label='stage' is no column"):
        open_source(path, Roles(label="stage"))


@pytest.mark.parametrize(
    ("part", "change", "sentence"),
    [
        ("images", {"file_name": None}, "number 0 of its images has no 'file_name'"),
        ("annotations", {"category_id": None}, "number 0 of its annotations has no 'category_id'"),
        ("categories", {"name": None}, "number 0 of its categories has no 'name'"),
    ],
)
def test_files_that_lack_something(tmp_path, part, change, sentence):
    told = document()
    for key in change:
        del told[part][0][key]
    with pytest.raises(InputError, match=sentence):
        open_source(write(tmp_path / "i.json", told))


def test_no_images(tmp_path):
    with pytest.raises(InputError, match="lists no images"):
        open_source(write(tmp_path / "i.json", {"images": [], "annotations": []}))


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ({"segmentation": {"size": [6, 7], "counts": [42]}}, r"has size \(6, 7\), but the image \(6, 8\)"),
        ({"segmentation": {"size": [6, 8], "counts": [47]}}, "add up to 47, not to 6 x 8"),
        ({"segmentation": {"size": [6, 8], "counts": "~"}}, "has the sign '~'"),
        ({"segmentation": [[1, 2, 3]]}, "has 3 numbers, which are no pairs"),
        ({"segmentation": [[1, 2, 3, 4]]}, "has 2 finite points"),
        ({"segmentation": "runs"}, "has the segmentation runs"),
        ({"bbox": [1, 2]}, r"has the box \[1, 2\]"),
        ({}, "has the box None"),
    ],
)
def test_shapes_that_cannot_be_drawn(tmp_path, shape, sentence):
    put(tmp_path, "a.png")
    told = document()
    told["annotations"] = [thing(5, 3, **shape)]
    source = open_source(write(tmp_path / "i.json", told))
    with pytest.raises(InputError, match=sentence):
        source.annotation(by_id(source)["a.png"])


def test_a_name_twice_stays_two_images(tmp_path):
    told = document()
    told["images"][1]["file_name"] = "a.png"
    source = open_source(write(tmp_path / "i.json", told))
    assert ids(source) == ["a.png", "a.png#2", "c.png"]
    assert source.annotation(by_id(source)["a.png#2"]) == {"boxes": [[1, 1, 3, 4], [0, 0, 1, 1]]}


def test_the_fingerprint_is_of_the_file(coco, tmp_path):
    told = document()
    told["annotations"][0]["category_id"] = 18
    assert open_source(coco).fingerprint() != open_source(write(tmp_path / "i.json", told)).fingerprint()
