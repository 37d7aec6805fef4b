"""What every kind of data set must keep, whoever wrote it: a new plug-in needs one line in kinds.py."""

import hashlib
import json
import pickle
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from tests.audit.sources.kinds import DATA, LABELS, MAKERS

from heatproof.audit.describe import describe
from heatproof.audit.entry import Entry, Source
from heatproof.audit.sources import open_source, sources
from heatproof.errors import InputError, UsageError


def test_every_plugin_is_tested():
    assert {*MAKERS, "slides"} == set(sources())  # whose entries are parts of inputs: tests of its own


@pytest.fixture(params=sorted(MAKERS))
def kind(request):
    return request.param


@pytest.fixture
def data(kind, tmp_path):
    (tmp_path / "here").mkdir()
    return MAKERS[kind](tmp_path / "here")


def test_it_is_opened_by_its_kind_and_named_or_not(kind, data):
    source = open_source(data)
    assert isinstance(source, Source)
    assert source.kind == open_source(data, kind=kind).kind == kind
    assert source.data == data


def test_entries_are_the_same_each_time(kind, data):
    source = open_source(data)
    first = list(source)
    assert list(source) == first == list(open_source(data))
    assert len(first) == len({entry.id for entry in first}) == 7
    by_label = sorted(LABELS) if kind == "folder" else LABELS
    assert [entry.label for entry in first] == by_label
    for entry in first:
        assert isinstance(entry, Entry)
        entry.id.encode()
        assert str(data) not in entry.id
        assert set(entry.columns) == set(source.columns)
        assert all(value is None or isinstance(value, str | int | float | bool) for value in entry.columns.values())


def test_two_iterations_do_not_disturb_each_other(data):
    source = open_source(data)
    one, other = iter(source), iter(source)
    next(one)
    assert [next(one).id, *(entry.id for entry in one)] == [entry.id for entry in other][1:]


def test_reading_gives_the_picture_and_the_hash_of_its_bytes(data):
    source = open_source(data)
    wanted = {hashlib.sha256(one).hexdigest() for one in DATA[:6]}
    found, failed = set(), []
    for entry in source:
        try:
            one, digest = source.read(entry)
        except InputError as error:
            failed.append((entry.id, str(error)))
            continue
        assert one.name == entry.id
        assert one.size == (6, 8)
        found.add(digest)
    assert found == wanted
    ((name, sentence),) = failed
    assert re.match(rf"{re.escape(name)} is not a picture that Pillow can read", sentence)
    assert str(data) not in sentence


def test_reading_is_safe_in_threads(data):
    source = open_source(data)
    entries = list(source)[:6] * 20
    entries = [entry for entry in entries if "6" not in entry.id]
    serial = {entry.id: source.read(entry) for entry in entries}
    with ThreadPoolExecutor(8) as pool:
        for entry, (one, digest) in zip(entries, pool.map(source.read, entries), strict=True):
            assert digest == serial[entry.id][1]
            assert torch.equal(one.data, serial[entry.id][0].data)


def test_it_travels_to_another_process(data):
    source = open_source(data)
    entries = list(source)
    source.read(entries[0])
    there = pickle.loads(pickle.dumps(source))
    assert list(there) == entries
    assert there.read(entries[0])[1] == source.read(entries[0])[1]
    assert there.fingerprint() == source.fingerprint()


def test_marks(data):
    source = open_source(data)
    marked = {entry.id: source.annotation(entry) for entry in source if entry.annotation is not None}
    assert {"boxes": [[1, 1, 2, 2]]} in marked.values()


def test_ids_and_fingerprint_hold_on_another_machine(data, tmp_path):
    source = open_source(data)
    shutil.copytree(tmp_path / "here", tmp_path / "there/deeper")
    moved = open_source(data.replace(str(tmp_path / "here"), str(tmp_path / "there/deeper")))
    assert [(entry.id, entry.label) for entry in moved] == [(entry.id, entry.label) for entry in source]
    assert moved.fingerprint() == source.fingerprint()
    assert re.fullmatch("[0-9a-f]{64}", source.fingerprint())


def test_it_is_described_in_plain_values(kind, data):
    found = describe(open_source(data), rows=2)
    assert json.loads(json.dumps(found.document()))["kind"] == kind
    assert (found.n, found.labelled) == (7, 7)
    assert found.classes == {"dog": 4, "cat": 3}
    assert [row["label"] for row in found.rows] == (["cat", "cat"] if kind == "folder" else LABELS[:2])
    assert found.annotated >= 1
    assert found.clusters == (4 if kind == "table" else 0)


def test_a_kind_that_does_not_know_the_data_says_so(kind, tmp_path):
    (tmp_path / "x.bin").write_bytes(b"x")
    with pytest.raises(InputError, match=r"is no data set of a kind that is known"):
        open_source(str(tmp_path / "x.bin"), kind=kind)
    with pytest.raises(InputError, match=r"x\.bni does not exist; did you mean 'x\.bin'"):
        open_source(str(tmp_path / "x.bni"), kind=kind)


def test_a_kind_that_does_not_exist(tmp_path):
    with pytest.raises(UsageError, match="there is no source 'foldr'; did you mean 'folder'"):
        open_source(str(tmp_path), kind="foldr")
