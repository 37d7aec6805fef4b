"""Identifiers: valid, reversible, once each; and memory that does not grow with the number of entries."""

import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.audit.sources.archives import tar

from heatproof.audit.entry import Entry
from heatproof.audit.sources._names import id_of, name_of
from heatproof.audit.sources._unique import Unique
from heatproof.audit.sources._walk import BLOCK

ANY_NAME = st.text(st.characters(categories=("L", "N", "P", "S", "Z", "C"))) | st.binary().map(
    lambda data: data.decode("utf-8", "surrogateescape")
)
LOOKALIKES = st.text("\\xu0ae9\n")


@settings(deadline=None)  # the first example imports
@given(ANY_NAME | LOOKALIKES)
def test_an_id_is_valid_and_leads_back(name):
    found = id_of(name)
    assert name_of(found) == name
    found.encode()
    assert not any(sign in found for sign in "\n\r\t\0")


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "a#2", "a#3", "a#2#2", "c"]) | st.text(max_size=2)))
def test_ids_occur_once_and_stay_what_they_are_where_they_can(names):
    names = [name.encode("utf-8", "replace").decode() for name in names]
    unique = Unique(lambda: iter([Entry(id=name, location=str(i)) for i, name in enumerate(names)]))
    found = [entry.id for entry in unique]
    assert len(set(found)) == len(names)
    assert [entry.id for entry in unique] == found
    counts = Counter(names)
    seen = set()
    for name, new in zip(names, found, strict=True):
        if counts[name] == 1 or name not in seen:
            assert new == name
        else:
            assert new.startswith(f"{name}#")
        seen.add(name)


PEAK = """
import sys, tracemalloc
from heatproof.audit.sources import open_source
for data in sys.argv[1:]:
    source = open_source(data)
    tracemalloc.start()
    count = sum(1 for _ in source)
    print(count, tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
"""


def peaks(*data):
    """Return (entries, bytes at the peak) of iterating each; in a process that checks no types, which takes long."""
    done = subprocess.run([sys.executable, "-c", PEAK, *data], capture_output=True, text=True, check=True)
    return [tuple(map(int, line.split())) for line in done.stdout.splitlines()]


def a_table(place, count):
    rows = "".join(f"images/{i:06d}.png,{i % 7},p{i // 3},{i % 5}\n" for i in range(count))
    (place / f"{count}.csv").write_text(f"path,label,patient_id,site\n{rows}")
    return str(place / f"{count}.csv")


def a_folder(place, count):
    root = place / str(count)
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
    (root / "a/0.png").write_bytes(b"x")
    for i in range(1, count):
        (root / "ab"[i % 2] / f"{i}.png").hardlink_to(root / "a/0.png")
    return str(root)


def an_archive(place, count):
    return str(tar(place / f"{count}.tar", ((f"{i:06d}.{end}", b"1") for i in range(count) for end in ("png", "cls"))))


# an entry that is kept takes about 600 bytes: 12 MB for 20,000
@pytest.mark.slow
@pytest.mark.parametrize(("make", "many"), [(a_table, 20_000), (a_folder, 20_000), (an_archive, 5_000)])
def test_memory_does_not_grow_with_the_entries(tmp_path, make, many):
    (few, small), (count, large) = peaks(make(tmp_path, 1_000), make(tmp_path, many))
    assert (few, count) == (1_000, many)
    held = 400 * many if make is a_folder else 40 * many  # the names of one folder are sorted, up to a block of them
    assert large - small < min(held, 400 * BLOCK)
