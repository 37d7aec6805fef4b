"""A folder of inputs, many of them spoiled in every way that is known: the rest is explained."""

import io
import os
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest
from PIL import Image
from tests.audit.problem import LABELS, picture
from tests.audit.sources.pictures import put
from tests.audit.sources.test_spoiled import BAD, GOOD

from heatproof.audit.store import FAILURES, INPUTS, read_maps
from heatproof.audit.tables import rows_of
from heatproof.cli import main

SPOILED, ODD, WHOLE = 120, 60, 400


def name_of(name, number, label):
    """Return the name of a copy: a number goes before what says the form."""
    return f"{label}/{number:03} {name}"


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory):
    """Bad files of each known kind, odd but good ones, and plain ones."""
    folder = tmp_path_factory.mktemp("spoiled")
    for number in range(SPOILED - 1):
        name, (data, _) = list(BAD.items())[number % len(BAD)]
        put(folder, name_of(name, number, LABELS[number % 2]), data)
    (folder / LABELS[0] / "loop.png").symlink_to("loop.png")
    for number in range(ODD):
        name, (data, _) = list(GOOD.items())[number % len(GOOD)]
        put(folder, name_of(name, SPOILED + number, LABELS[number % 2]), data)
    for number in range(SPOILED + ODD, WHOLE):
        pixels, _ = picture(number, number % 2 == 1)
        Image.fromarray(pixels).save(folder / LABELS[number % 2] / f"{number:03}.bmp")
    return folder


@pytest.mark.slow
def test_every_good_one_is_explained_and_every_bad_one_listed_with_its_reason(spoiled, tmp_path):
    assert sum(len(files) for _, _, files in os.walk(spoiled)) == WHOLE
    out = tmp_path / "run"
    words = [
        "audit",
        "python:tests.audit.problem:resized",
        spoiled,
        "-o",
        out,
        "--check",
        "degenerate",
        "--split",
        "test",
    ]
    printed, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(printed), redirect_stderr(errors), pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    assert stop.value.code == 3, errors.getvalue()[-300:]
    assert "Traceback" not in errors.getvalue()
    failures, rows = list(rows_of(out / FAILURES)), list(rows_of(out / INPUTS))
    assert (len(failures), len(rows)) == (SPOILED, WHOLE - SPOILED)
    assert len({one["id"] for one in failures} | {one["id"] for one in rows}) == WHOLE
    bad = {f"{number:03}" for number in range(SPOILED - 1)} | {"loop.png"}
    assert {one["id"].partition("/")[2].split(" ")[0] for one in failures} == bad
    for one in failures:
        assert one["reason"].endswith(".")
        assert str(spoiled) not in one["reason"]
    maps, _ = read_maps(out)
    there = np.isfinite(np.asarray(maps[:])).reshape(WHOLE, -1).all(1)
    assert sorted(np.flatnonzero(there)) == sorted(one["map_row"] for one in rows)
    page = (out / "report.html").read_text(encoding="utf-8")
    assert str(spoiled) not in page
    assert not any(name in page for name in ("truncated.png", "zero.png", "loop.png")), "names may be of persons"
