"""WebDataset shards: files of one sample found by the headers, read by place, broken archives listed."""

import hashlib
import io
import json
import tarfile

import fsspec
import numpy as np
import pytest
from PIL import Image
from tests.audit.sources.archives import tar
from tests.audit.sources.pictures import by_id, ids, png

from heatproof.audit.entry import Roles
from heatproof.audit.sources import open_source
from heatproof.audit.sources._tar import shards
from heatproof.errors import InputError, UsageError


def sample(key, label, seed=0, **more):
    return [(f"{key}.jpg", png(seed, form="JPEG")), (f"{key}.cls", str(label).encode()), *_json(key, more)]


def _json(key, more):
    return [(f"{key}.json", json.dumps(more).encode())] if more else []


def test_samples_of_several_shards(tmp_path):
    tar(tmp_path / "s-000.tar", [*sample("x/0", 3, 1, site="A", patient="p"), *sample("x/1", "cat\n", 2)])
    tar(tmp_path / "s-001.tar", sample("x/0", 1, 3, site="B", age=4, more=[1]))
    source = open_source(str(tmp_path / "s-{000..001}.tar"))
    assert source.kind == "webdataset"
    assert source.roles == Roles("jpg", "cls", None, "patient")
    assert [(e.id, e.label, e.cluster, dict(e.columns)) for e in source] == [
        ("s-000/x/0", 3, "p", {"site": "A"}),
        ("s-000/x/1", "cat", None, {"site": None}),
        ("s-001/x/0", 1, None, {"site": "B"}),
    ]
    assert ids(open_source(str(tmp_path / "*.tar"))) == ids(open_source(str(tmp_path))) == ids(source)
    for entry, seed in zip(source, (1, 2, 3), strict=True):
        assert source.read(entry)[1] == hashlib.sha256(png(seed, form="JPEG")).hexdigest()
        assert source.read(entry)[0].name == entry.id


def test_labels_and_marks_in_json(tmp_path):
    mask = np.zeros((6, 8), np.uint8)
    mask[1, 2] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    files = [
        ("0.png", png(1)), ("0.json", b'{"label": "cat", "split": "test"}'),
        ("0.mask.png", (tmp_path / "m.png").read_bytes()),
        ("1.png", png(1)), ("1.json", b'{"label": "dog", "split": "train"}'),
    ]  # fmt: skip
    path = str(tar(tmp_path / "s.tar", files))
    source = open_source(path)
    assert source.roles == Roles("png", "label", "mask.png", None, "split")
    one, two = source
    assert (one.label, two.label) == ("cat", "dog")
    assert np.array_equal(source.annotation(one), mask > 0)
    assert source.annotation(two) is None
    assert ids(open_source(path, Roles(only="train"))) == ["s/1"]
    files = [("0.png", png(1)), ("0.json", b'{"boxes": [[1, 2, 3, 4]], "y": 2}')]
    source = open_source(str(tar(tmp_path / "b.tar", files)))
    assert [(entry.label, source.annotation(entry)) for entry in source] == [(2, {"boxes": [[1, 2, 3, 4]]})]
    files = [("0.png", png(1)), ("0.boxes.json", b"[[1, 2, 3, 4]]")]
    source = open_source(str(tar(tmp_path / "c.tar", files)))
    assert [source.annotation(entry) for entry in source] == [{"boxes": [[1, 2, 3, 4]]}]


def test_a_sample_that_comes_twice_stays_two(tmp_path):
    path = str(tar(tmp_path / "s.tar", [*sample("0", 1, 1), *sample("1", 1, 2), *sample("0", 2, 3)]))
    source = open_source(path)
    assert [(entry.id, entry.label) for entry in source] == [("s/0", 1), ("s/1", 1), ("s/0#2", 2)]
    assert source.read(by_id(source)["s/0#2"])[1] == hashlib.sha256(png(3, form="JPEG")).hexdigest()


def test_broken_archives_are_listed(tmp_path):
    good = tar(tmp_path / "s-0.tar", [*sample("0", 1, 1), *sample("1", 2, 2)])
    (tmp_path / "s-1.tar").write_bytes(b"no archive" * 100)
    data = good.read_bytes()
    (tmp_path / "s-2.tar").write_bytes(data[:600])  # within the first picture
    header = data.index(b"1.jpg")
    (tmp_path / "s-3.tar").write_bytes(data[:header] + b"\x01" * 512 + data[header + 512 :])
    source = open_source(str(tmp_path / "s-{0..4}.tar"))
    assert ids(source) == ["s-0/0", "s-0/1", "s-1.tar", "s-2/0", "s-2.tar", "s-3/0", "s-3.tar", "s-4.tar"]
    entries = by_id(source)
    for name, sentence in [
        ("s-1.tar", r"s-1\.tar is no intact tar archive"),
        ("s-2/0", r"s-2/0 is cut off: its archive ends after 88 of \d+ bytes"),
        ("s-2.tar", r"s-2\.tar is no intact tar archive"),
        ("s-3.tar", rf"s-3\.tar is damaged at byte {header}, so that the rest of it cannot be read"),
        ("s-4.tar", "does not exist"),
    ]:
        with pytest.raises(InputError, match=sentence):
            source.read(entries[name])


def test_a_sample_with_broken_json_fails_alone(tmp_path):
    path = str(tar(tmp_path / "s.tar", [*sample("0", 1, 1), ("1.jpg", png()), ("1.json", b"{")]))
    source = open_source(path)
    assert ids(source) == ["s/0", "s/1"]
    with pytest.raises(InputError, match="json of s/1 is no JSON object"):
        source.read(by_id(source)["s/1"])


def test_shards_at_urls():
    files = fsspec.filesystem("memory")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        about = tarfile.TarInfo("0.png")
        about.size = len(png(1))
        archive.addfile(about, io.BytesIO(png(1)))
    files.pipe("/wds/s-0.tar", out.getvalue())
    source = open_source("memory://wds/s-{0..0}.tar")
    assert [(entry.id, source.read(entry)[1]) for entry in source] == [("s-0/0", hashlib.sha256(png(1)).hexdigest())]


def test_patterns(tmp_path):
    assert shards("a-{8..11}.tar") == ["a-8.tar", "a-9.tar", "a-10.tar", "a-11.tar"]
    assert shards("{x,y}-{08..09}.tar") == ["x-08.tar", "x-09.tar", "y-08.tar", "y-09.tar"]
    with pytest.raises(InputError, match="matches nothing"):
        open_source(str(tmp_path / "*.tar"))


def test_what_cannot_be_opened(tmp_path):
    (tmp_path / "s.tar.gz").write_bytes(b"x")
    with pytest.raises(InputError, match=r"is compressed, .* unpack it to \.tar"):
        open_source(str(tmp_path / "s.tar.gz"))
    path = str(tar(tmp_path / "s.tar", [("0.txt", b"x")]))
    with pytest.raises(InputError, match=r"hold txt, none of which is a picture or array; say which with path="):
        open_source(path)
    with pytest.raises(InputError, match=r"hold nothing, none of which"):
        open_source(str(tar(tmp_path / "e.tar", [])))
    with pytest.raises(UsageError, match="label='lable' is no column"):
        open_source(str(tar(tmp_path / "l.tar", sample("0", 1))), Roles(label="lable"))
