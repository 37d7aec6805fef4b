"""Every form that docs/data.md shows can be opened as it stands there."""

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
from tests.audit.sources.archives import saved, tar
from tests.audit.sources.pictures import ids, png, put

from heatproof.audit.sources import open_source, sources

PAGE = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## ([^\n]+)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))


def block(text, language):
    return re.search(rf"```{language}\n(.*?)```", text, re.DOTALL)[1]


def run(text):
    space: dict[str, object] = {}
    exec(compile(block(PAGE, "python"), "docs/data.md", "exec"), space)  # the page's own code
    return eval(block(text, "python"), space)


def test_the_example_and_the_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = block(SECTIONS["Folder of class folders"], "text").split()
    for name in lines[1:]:
        put(tmp_path, lines[0] + name)
    exec(compile(block(PAGE, "python"), "docs/data.md", "exec"), {})  # the page's own code
    assert capsys.readouterr().out == "{'benign': 1, 'malignant': 1}\n"
    assert [entry.annotation for entry in open_source("cells")] == [None, "malignant/2.png"]


def test_the_table(tmp_path):
    source = open_source(str(put(tmp_path, "m.csv", block(SECTIONS["Table"], "csv").encode())))
    one, two = source
    assert (two.id, two.label, two.cluster, dict(two.columns)) == ("images/2.png", "malignant", "P2", {"site": "B"})
    assert source.annotation(one) == {"boxes": []}
    assert source.annotation(two) == {"boxes": [[2, 1, 5, 4]]}


def test_hugging_face_and_webdataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path, "cells/a.png")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved/dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    kinds = {"image": {"_type": "Image"}, "label": {"_type": "ClassLabel", "names": ["benign"]}}
    for split in ("train", "test"):
        saved(tmp_path / "saved" / split, pa.table({"image": pa.array([{"bytes": png()}]), "label": [0]}), kinds)
    assert [(entry.id, entry.label) for entry in run(SECTIONS["Hugging Face"])] == [("test/0", "benign")]
    for i in range(2):
        tar(tmp_path / f"shards/cells-00{i}.tar", [("17.jpg", png()), ("17.cls", b"1")])
    assert ids(run(SECTIONS["WebDataset"])) == ["cells-000/17", "cells-001/17"]


def test_coco_and_geojson(tmp_path):
    put(tmp_path, "1.png")
    source = open_source(str(put(tmp_path, "c.json", block(SECTIONS["COCO"], "json").encode())))
    assert [(entry.label, source.annotation(entry)) for entry in source] == [("mitosis", {"boxes": [[1, 2, 4, 4]]})]
    put(tmp_path, "f/malignant/2.png")
    put(tmp_path, "f/annotations/2.geojson", block(SECTIONS["GeoJSON"], "json").encode())
    source = open_source(str(tmp_path / "f"))
    wanted = np.zeros((6, 8), bool)
    wanted[1:4, 2:5] = True
    assert np.array_equal(source.annotation(next(iter(source))), wanted)


def test_every_kind_has_a_section():
    assert {plugin.title for plugin in sources().values()} - {"folder", "table"} <= set(SECTIONS)
