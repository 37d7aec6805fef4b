"""Hugging Face data sets on disk: folders as the library writes them, Parquet, classes by name, pictures in cells."""

import hashlib
import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from tests.audit.sources.archives import parquet, saved
from tests.audit.sources.pictures import ids, png, put

from heatproof.audit.entry import Roles
from heatproof.audit.sources import open_source
from heatproof.errors import InputError, UsageError

KINDS = {
    "image": {"_type": "Image"},
    "label": {"_type": "ClassLabel", "names": ["cat", "dog"]},
    "site": {"_type": "Value", "dtype": "string"},
}


def cell(data, path=None):
    return {"bytes": data, "path": path}


def pictures(cells):
    return pa.array(cells, pa.struct({"bytes": pa.binary(), "path": pa.string()}))


def table(count=5, first=0, **more):
    rows = range(first, first + count)
    return pa.table({
        "image": pictures([cell(png(i), f"{i}.png") for i in rows]),
        "label": [i % 3 - 1 for i in rows],
        "site": [f"s{i}" for i in rows],
        **more,
    })  # fmt: skip


def forms(tmp_path):
    yield saved(tmp_path / "saved", table(), KINDS)
    yield parquet(tmp_path / "one.parquet", table(), KINDS)
    parquet(tmp_path / "parts/b.parquet", table(2, 3), KINDS)
    yield parquet(tmp_path / "parts/a.parquet", table(3), KINDS).parent


def test_every_form_says_the_same(tmp_path):
    for place in forms(tmp_path):
        source = open_source(str(place))
        assert (source.kind, source.labels) == ("huggingface", ("cat", "dog"))
        assert source.roles == Roles("image", "label")
        assert [(entry.id, entry.label, dict(entry.columns)) for entry in source] == [
            (str(i), [None, "cat", "dog"][i % 3], {"site": f"s{i}"}) for i in range(5)
        ]
        for i, entry in enumerate(source):
            found, digest = source.read(entry)
            assert digest == hashlib.sha256(png(i)).hexdigest()
            assert (found.name, found.size) == (entry.id, (6, 8))


def test_splits(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    saved(tmp_path / "d/train", table(3), KINDS)
    saved(tmp_path / "d/test", table(2, 3), KINDS)
    parquet(tmp_path / "p/data/train-00000-of-00002.parquet", table(1), KINDS)
    parquet(tmp_path / "p/data/train-00001-of-00002.parquet", table(2, 1), KINDS)
    parquet(tmp_path / "p/data/test-00000-of-00001.parquet", table(2, 3), KINDS)
    for place in ("d", "p"):
        source = open_source(str(tmp_path / place))
        assert sorted(ids(source)) == ["test/0", "test/1", "train/0", "train/1", "train/2"]
        assert source.columns == ("site", "split")
        one = open_source(str(tmp_path / place), Roles(only="test"))
        assert [(entry.id, entry.columns) for entry in one] == [
            ("test/0", {"site": "s3", "split": "test"}),
            ("test/1", {"site": "s4", "split": "test"}),
        ]
        assert one.read(next(iter(one)))[1] == hashlib.sha256(png(3)).hexdigest()
        with pytest.raises(UsageError, match=r"only='val' is no split of .*, which has .*train"):
            open_source(str(tmp_path / place), Roles(only="val"))


def test_pictures_beside_the_files(tmp_path):
    put(tmp_path, "saved/pictures/a.png", png(1))
    data = pa.table({"image": pictures([cell(None, "pictures/a.png"), cell(None, "gone.png"), cell(None)])})
    source = open_source(str(saved(tmp_path / "saved", data, {"image": {"_type": "Image"}})), kind="hf")
    one, gone, nothing = source
    assert source.read(one)[1] == hashlib.sha256(png(1)).hexdigest()
    with pytest.raises(InputError, match=r"^1 does not exist"):
        source.read(gone)
    with pytest.raises(InputError, match=r"2 has nothing in the column 'image'"):
        source.read(nothing)


def test_marks_ids_and_clusters(tmp_path):
    mask = np.zeros((6, 8), np.uint8)
    mask[1, 2] = 1
    out = io.BytesIO()
    Image.fromarray(mask).save(out, "PNG")
    masks = pictures([cell(out.getvalue()), cell(None)])
    data = table(2, 0, mask=masks, id=["A", "A"], patient_id=[7, 8], taken=pa.array([0, 1], pa.timestamp("s")))
    source = open_source(str(saved(tmp_path / "saved", data, KINDS)))
    assert source.roles == Roles("image", "label", "mask", "patient_id")
    one, two = source
    assert [(e.id, e.cluster, e.columns["taken"]) for e in (one, two)] == [
        ("A", "7", "1970-01-01 00:00:00"), ("A#2", "8", "1970-01-01 00:00:01"),
    ]  # fmt: skip
    assert np.array_equal(source.annotation(one), mask > 0)
    assert source.annotation(two) is None
    objects = [{"bbox": [[1.0, 2.0, 3.0, 4.0]], "category": [1]}, {"bbox": [], "category": []}]
    source = open_source(str(saved(tmp_path / "objects", table(2, 0, objects=objects), KINDS)))
    assert [source.annotation(entry) for entry in source] == [{"boxes": [[1, 2, 4, 6]]}, {"boxes": []}]


def test_a_parquet_file_that_names_files_is_a_table(tmp_path):
    plain = pa.table({"file": ["a.png"], "label": [1]})
    assert open_source(str(parquet(tmp_path / "m.parquet", plain, {}))).kind == "table"


def test_broken_files(tmp_path):
    folder = saved(tmp_path / "saved", table(), KINDS)
    source = open_source(str(folder))
    entry = next(iter(source))
    last = next(folder.glob("data-00002*"))
    last.write_bytes(b"x")
    with pytest.raises(InputError, match=r"data-00002-of-00003\.arrow is no intact Arrow or Parquet file"):
        list(open_source(str(folder)))
    assert source.read(entry)[0].size == (6, 8)
    last.unlink()
    with pytest.raises(InputError, match=r"is missing, though the data set's state\.json names it"):
        open_source(str(folder))
    (folder / "state.json").write_text("{")
    with pytest.raises(InputError, match="cannot be read"):
        open_source(str(folder))
    with pytest.raises(InputError, match="is no intact Arrow or Parquet file"):
        open_source(str(put(tmp_path, "x.parquet", b"x")))


def test_no_column_of_pictures(tmp_path):
    with pytest.raises(InputError, match="has the columns a, none of which is known to hold pictures"):
        open_source(str(parquet(tmp_path / "p/m.parquet", pa.table({"a": [1]}), {}).parent))


def test_the_fingerprint_knows_labels(tmp_path):
    one = open_source(str(saved(tmp_path / "a", table(), KINDS))).fingerprint()
    assert open_source(str(saved(tmp_path / "b", table(), KINDS))).fingerprint() == one
    other = table().set_column(1, "label", pa.array([0] * 5))
    assert open_source(str(saved(tmp_path / "c", other, KINDS))).fingerprint() != one
