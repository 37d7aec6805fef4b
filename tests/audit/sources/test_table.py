"""Tables: roles by the names of columns, types, paths, marks, and everything that is odd in a row."""

import hashlib
import json

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from tests.audit.sources.pictures import by_id, ids, png, put

from heatproof.audit.entry import Roles
from heatproof.audit.sources import open_source
from heatproof.errors import InputError, UsageError

ROWS = [
    {"path": "a.png", "label": "cat", "patient_id": "007", "site": "Köln", "age": 63, "ruler": True, "dose": 0.5},
    {"path": "sub/b.png", "label": "dog", "patient_id": "12", "site": None, "age": None, "ruler": False, "dose": 2.0},
]


def text(cell):
    return "" if cell is None else str(cell)


def csv(rows, separator=","):
    lines = [separator.join(rows[0]), *(separator.join(map(text, row.values())) for row in rows)]
    return "\n".join(lines) + "\n"


def write(path, rows):
    match path.suffix:
        case ".csv":
            path.write_text(csv(rows), encoding="utf-8-sig")
        case ".tsv":
            path.write_text(csv(rows, "\t"), encoding="utf-16")
        case ".jsonl":
            path.write_text("\n".join(map(json.dumps, rows)) + "\n\n")
        case ".json":
            path.write_text(json.dumps(rows))
        case ".parquet":
            pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".json", ".parquet"])
def test_every_form_says_the_same(tmp_path, suffix):
    for row in ROWS:
        put(tmp_path, row["path"])
    source = open_source(write(tmp_path / f"manifest{suffix}", ROWS))
    assert source.kind == "table"
    assert source.roles == Roles(path="path", label="label", cluster="patient_id")
    assert source.columns == ("site", "age", "ruler", "dose")
    one, two = source
    assert (one.id, one.label, one.cluster) == ("a.png", "cat", "007")
    assert dict(one.columns) == {"site": "Köln", "age": 63, "ruler": True, "dose": 0.5}
    assert (two.id, two.location) == ("sub/b.png", str(tmp_path / "sub/b.png"))
    assert dict(two.columns) == {"site": None, "age": None, "ruler": False, "dose": 2.0}
    assert [type(value) for value in one.columns.values()] == [str, int, bool, float]
    data = (tmp_path / "sub/b.png").read_bytes()
    assert source.read(two)[1] == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize(
    ("head", "roles"),
    [
        ("image,class,subject", Roles("image", "class", None, "subject")),
        ("File Name;Diagnosis;Patient;Split", Roles("File Name", "Diagnosis", None, "Patient", "Split")),
        ("url,target,mask_path", Roles("url", "target", "mask_path")),
        ("slide,label,annotation", Roles("slide", "label", "annotation")),
        ("file,name", Roles("file", "name")),
        ("name,file,y", Roles("file", "y")),
        ("file,xmin,ymin,xmax,ymax", Roles("file", None, "xmin,ymin,xmax,ymax")),
        ("file,x_min,y_min,z_min,x_max,y_max,z_max", Roles("file", None, "x_min,y_min,z_min,x_max,y_max,z_max")),
        ("file,x,y", Roles("file", None, "x,y")),
        ("file,label,x,y", Roles("file", "label", "x,y")),
    ],
)
def test_roles_are_found_by_the_columns_names(tmp_path, head, roles):
    table = tmp_path / "m.csv"
    cells = head.replace(",", ";").count(";") + 1
    table.write_text(head + "\n" + (";" if ";" in head else ",").join("1" * cells) + "\n")
    assert open_source(str(table)).roles == roles


def test_a_column_of_paths_is_found_by_what_is_in_it(tmp_path):
    table = put(tmp_path, "m.csv", b"number,which,label\n1,a.png,cat\n2,b.png,dog\n")
    assert open_source(str(table)).roles == Roles("which", "label")


def test_roles_can_be_told(tmp_path):
    table = put(tmp_path, "m.csv", b"file,left,label,group\na.png,x/b.png,1,G\n")
    roles = Roles(path="left", label="group", cluster="")
    source = open_source(str(table), roles)
    assert [(entry.id, entry.label, entry.cluster) for entry in source] == [("x/b.png", "G", None)]
    assert source.columns == ("file", "label")
    source = open_source(str(table), Roles(path="left", label="parent", cluster="parent"))
    assert [(entry.label, entry.cluster) for entry in source] == [("x", "x")]
    for roles, sentence in [
        (Roles(label="lable"), r"label='lable' is no column of .*m\.csv, which has file, left.*did you mean 'label'"),
        (Roles(path="zzz"), "path='zzz' is no column"),
        (Roles(only="test"), "only='test' asks for one split, but .* say which with split="),
    ]:
        with pytest.raises(UsageError, match=sentence):
            open_source(str(table), roles)


def test_one_split_alone(tmp_path):
    table = put(tmp_path, "m.csv", b"file,split\na.png,train\nb.png,test\nc.png,test\n")
    assert ids(open_source(str(table))) == ["a.png", "b.png", "c.png"]
    source = open_source(str(table), Roles(only="test"))
    assert ids(source) == ["b.png", "c.png"]
    assert source.columns == ("split",)
    assert open_source(str(table)).fingerprint() != source.fingerprint()
    with pytest.raises(UsageError, match=r"only='tset'.*train, test"):
        open_source(str(table), Roles(only="tset"))


def test_types_hold_for_a_whole_column(tmp_path):
    table = put(tmp_path, "m.csv", b"file,a,b,c,d\na.png,1,1,007,NA\nb.png,x,1.5,8,3\nc.png,,,,\n")
    assert [tuple(entry.columns.values()) for entry in open_source(str(table))] == [
        ("1", 1.0, "007", None),
        ("x", 1.5, "8", 3),
        (None, None, None, None),
    ]


def test_labels_are_names_or_indices(tmp_path):
    table = put(tmp_path, "m.csv", b"file,label\na.png,3\nb.png,cat\nc.png,\nd.png,007\n")
    assert [entry.label for entry in open_source(str(table))] == [3, "cat", None, "007"]
    rows = [{"file": "a.png", "label": 1.0}, {"file": "b.png", "label": True}, {"file": "c.png", "label": 0.5}]
    assert [entry.label for entry in open_source(write(tmp_path / "m.jsonl", rows))] == ["1.0", "True", "0.5"]
    rows = [{"file": "a.png", "label": 1.0}, {"file": "b.png", "label": None}]
    assert [entry.label for entry in open_source(write(tmp_path / "m.parquet", rows))] == [1, None]


def test_what_is_wrong_with_one_row_stops_nothing(tmp_path):
    put(tmp_path, "a.png")
    table = put(tmp_path, "m.csv", b"file,label\na.png,1\na.png,1\nmissing.png,1\n,1\na.png#2,1\na.png,1\n")
    source = open_source(str(table))
    assert ids(source) == ["a.png", "a.png#3", "missing.png", "row 4", "a.png#2", "a.png#4"]
    entries = by_id(source)
    assert source.read(entries["a.png#3"])[0].size == (6, 8)
    with pytest.raises(InputError, match=r"^missing\.png does not exist"):
        source.read(entries["missing.png"])
    with pytest.raises(InputError, match="row 4 has nothing in the column 'file'"):
        source.read(entries["row 4"])


def test_ids_hold_no_secret_and_no_place_of_this_machine(tmp_path):
    absolute, elsewhere = put(tmp_path, "data/x.png"), "/data/hospital/scans/y.png"
    rows = [str(absolute), elsewhere, "https://me:secret@host/z.png?token=secret", "./w.png"]
    table = put(tmp_path, "data/m.csv", "\n".join(["path", *rows]).encode())
    source = open_source(str(table))
    assert ids(source) == ["x.png", "scans/y.png", "https://host/z.png", "./w.png"]
    assert source.read(next(iter(source)))[0].name == "x.png"


def test_a_rows_own_id(tmp_path):
    put(tmp_path, "a.png")
    table = put(tmp_path, "m.csv", b"ID,file\nA1,a.png\n,b.png\nA1,c.png\n")
    source = open_source(str(table))
    assert ids(source) == ["A1", "b.png", "A1#2"]
    assert source.read(next(iter(source)))[0].name == "A1"


def test_masks_boxes_and_points(tmp_path):
    mask = np.zeros((6, 8), np.uint8)
    mask[2, 3] = 1
    Image.fromarray(mask).save(put(tmp_path, "masks/m.png"))
    square = {"type": "Polygon", "coordinates": [[[3, 2], [4, 2], [4, 3], [3, 3]]]}
    (tmp_path / "masks/p.geojson").write_text(json.dumps(square))
    rows = [
        ("masks/m.png", mask > 0),
        ("masks/p.geojson", mask > 0),
        ([[1, 2, 3, 4], [0, 0, 1, 1]], {"boxes": [[1, 2, 3, 4], [0, 0, 1, 1]]}),
        ([1, 2, 3, 4], {"boxes": [[1, 2, 3, 4]]}),
        ([[3, 2]], {"points": [[3, 2]]}),
        ({"points": [[3, 2]]}, {"points": [[3, 2]]}),
        ([], {"boxes": []}),
        (None, None),
    ]
    put(tmp_path, "a.png")
    listed = [{"file": "a.png", "id": str(i), "annotation": cell} for i, (cell, _) in enumerate(rows)]
    as_json = open_source(write(tmp_path / "m.jsonl", listed))
    cells = [cell if isinstance(cell, str) or cell is None else json.dumps(cell) for cell, _ in rows]
    listed = [{"file": "a.png", "id": str(i), "annotation": cell} for i, cell in enumerate(cells)]
    for source in (as_json, open_source(write(tmp_path / "m.parquet", listed))):
        for entry, (_, wanted) in zip(source, rows, strict=True):
            found = source.annotation(entry)
            assert np.array_equal(found, wanted) if isinstance(wanted, np.ndarray) else found == wanted


def test_rows_that_differ_in_the_box_alone_are_one_input(tmp_path):
    lines = ["file,class,xmin,ymin,xmax,ymax", "a.png,cat,0,1,2,3", "a.png,cat,4,4,5,5", "a.png,dog,1,1,2,2"]
    lines += ["b.png,dog,,,,", "a.png,cat,1,x,2,2"]
    source = open_source(str(put(tmp_path, "m.csv", "\n".join(lines).encode())))
    assert [(entry.id, entry.label) for entry in source] == [
        ("a.png", "cat"), ("a.png#2", "dog"), ("b.png", "dog"), ("a.png#3", "cat"),
    ]  # fmt: skip
    one, two, nothing, odd = source
    assert source.annotation(one) == {"boxes": [[0, 1, 2, 3], [4, 4, 5, 5]]}
    assert source.annotation(two) == {"boxes": [[1, 1, 2, 2]]}
    assert source.annotation(nothing) == {"boxes": []}
    with pytest.raises(InputError, match=r"annotation of a\.png#3 says"):
        source.annotation(odd)


def test_points_in_columns(tmp_path):
    source = open_source(str(put(tmp_path, "m.csv", b"file,label,x,y\na.png,1,2,3\na.png,1,4,5\n")))
    assert [source.annotation(entry) for entry in source] == [{"points": [[2, 3], [4, 5]]}]


def test_annotations_that_cannot_be_used(tmp_path):
    put(tmp_path, "a.png")
    cells = ["[[1, 2", '"{""squares"": []}"', "gone.png", "b.png"]
    put(tmp_path, "b.png", b"no picture")
    lines = ["file;mask", *(f"a.png;{cell}" for cell in cells)]
    source = open_source(str(put(tmp_path, "m.csv", "\n".join(lines).encode())))
    for entry, sentence in zip(
        source,
        ["says .*unreadable", "says .*squares", "The annotation of a.png#3 does not exist", "b.png is not a picture"],
        strict=True,
    ):
        with pytest.raises(InputError, match=sentence):
            source.annotation(entry)


def test_urls_and_tables_at_urls():
    files = fsspec.filesystem("memory")
    files.pipe(
        {"/set/pictures/a.png": png(1), "/set/m.csv": b"file,label\npictures/a.png,1\nmemory://set/gone.png,1\n"}
    )
    source = open_source("memory://set/m.csv")
    one, gone = source
    assert source.read(one)[1] == hashlib.sha256(png(1)).hexdigest()
    assert source.read(one)[0].source is None
    assert one.location == "memory://set/pictures/a.png"
    with pytest.raises(InputError, match=r"gone\.png does not exist; check the URL"):
        source.read(gone)
    assert len(source.fingerprint()) == 64


def test_a_protocol_whose_package_is_missing(tmp_path):
    table = put(tmp_path, "m.csv", b"url\nsftp://host/a.png\nnonsense://host/a.png\nhttps://host.invalid/a.png\n")
    source = open_source(str(table))
    for entry, sentence in zip(
        source, ["needs a package that opens sftp:// and is not installed: .*paramiko", "nonsense", "host"], strict=True
    ):
        with pytest.raises(InputError, match=sentence):
            source.read(entry)


@pytest.mark.parametrize(
    ("name", "data", "sentence"),
    [
        ("m.csv", b"file,label\na.png,1,2\n", r"Line 2 of .*m\.csv has 3 values for 2 columns; mend it"),
        ("m.csv", b"file,file\na.png,1\n", "has several columns 'file'"),
        ("m.csv", b"file,label\n", "has no rows"),
        ("m.csv", b"", "has no rows"),
        ("m.csv", b"height,width\n1,2\n", "has the columns height, width, and none is known to name the inputs"),
        ("m.jsonl", b'{"file": "a.png"}\n{"file"\n', r"Line 2 of .* is no JSON"),
        ("m.jsonl", b"[1]\n", "Line 1 of .* is no object"),
        ("m.json", b"[1]", "is no list of objects"),
        ("m.json", b"[", "is no JSON"),
        ("m.parquet", b"no parquet", "is no intact Parquet file"),
    ],
)
def test_tables_that_are_broken(tmp_path, name, data, sentence):
    with pytest.raises(InputError, match=sentence):
        open_source(str(put(tmp_path, name, data)), kind="table")


def test_names_in_another_encoding_find_their_files(tmp_path):
    (tmp_path / "caf\udce9.png").write_bytes(png())
    table = put(tmp_path, "m.csv", b"file,site\ncaf\xe9.png,K\xf6ln\n")
    source = open_source(str(table))
    (entry,) = source
    assert (entry.id, dict(entry.columns)) == ("caf\\xe9.png", {"site": "K\\xf6ln"})
    assert source.read(entry)[0].size == (6, 8)


def test_the_fingerprint_is_of_the_table(tmp_path):
    table = put(tmp_path, "m.csv", b"file,label\na.png,1\n")
    before = open_source(str(table)).fingerprint()
    put(tmp_path, "a.png")
    assert open_source(str(table)).fingerprint() == before
    put(tmp_path, "m.csv", b"file,label\na.png,0\n")
    assert open_source(str(table)).fingerprint() != before


@pytest.mark.parametrize("place", ["", "images/", "../images/", "../"])
def test_pictures_are_found_beside_the_table(tmp_path, place):
    put(tmp_path / "set/tables", f"{place}b.png")
    source = open_source(str(put(tmp_path, "set/tables/m.csv", b"file\na.png\nb.png\n")))
    assert ids(source) == ["a.png", "b.png"]
    assert source.read(by_id(source)["b.png"])[0].size == (6, 8)
