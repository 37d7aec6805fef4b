"""`heatproof shortcuts`: the ruler problem from files, rightly and wrongly."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from tests.shortcuts.blobs import Reads, blobs

from heatproof.cli import main
from heatproof.cli.shortcuts import _what
from heatproof.errors import InputError


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    """Pictures, a table, masks of the object and the patch, and a network that reads the patch."""
    folder = tmp_path_factory.mktemp("ruler")
    data = blobs(60)
    for name in ("pictures", "objects", "patches"):
        (folder / name).mkdir()
    with (folder / "table.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "patient_id", "has_ruler"])
        for i, picture in enumerate(data.pictures):
            pixels = (picture.permute(1, 2, 0) * 255).round().byte().numpy()
            Image.fromarray(pixels).save(folder / "pictures" / f"{i:03d}.png")
            for name, mask in (("objects", data.blob[i]), ("patches", data.patch[i])):
                Image.fromarray((mask.numpy() * 255).astype(np.uint8)).save(folder / name / f"{i:03d}.png")
            writer.writerow(
                [f"{i:03d}.png", ["benign", "malignant"][int(data.labels[i])], f"p{i // 2}", bool(data.has[i])]
            )
    (folder / "names.txt").write_text("benign\nmalignant\n")
    net = Reads(blue=20.0, dark=2.0, offset=0.3)
    example = torch.zeros(2, 3, 32, 32)
    torch.export.save(
        torch.export.export(net.eval(), (example,), dynamic_shapes=({0: torch.export.Dim("n", min=1)},)),
        folder / "net.pt2",
    )
    return folder


def run(capsys, *words):
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    printed = capsys.readouterr()
    return stop.value.code, printed.out, printed.err


def words(problem, *more):
    return (
        "shortcuts", f"file:{problem / 'net.pt2'}", problem / "pictures", "--table", problem / "table.csv",
        "--labels", problem / "names.txt", "--annotations", problem / "objects", *more,
    )  # fmt: skip


def test_what_is_found_is_confirmed_and_told(problem, tmp_path, capsys):
    out = tmp_path / "run"
    code, printed, _ = run(capsys, *words(problem, "-o", out, "--fail-on", "confirmed"))
    assert code == 1
    assert "confirmed" in printed
    page = (out / "index.html").read_text()
    assert "CONFIRMED" in page
    assert page.count("<img") >= 5
    told = json.loads((out / "shortcuts.json").read_text())
    assert told["findings"][0]["verdict"] == "confirmed"
    assert set(told["files"]) <= {path.name for path in out.iterdir()}
    rows = list(csv.DictReader((out / "per_input.csv").read_text().splitlines()))
    assert len(rows) == 60
    assert rows[0]["label"] == "benign"


def test_what_is_named_is_tested(problem, capsys):
    code, printed, _ = run(
        capsys,
        *words(problem, "--artifact", f"ruler={problem / 'patches'}", "--artifact", "blue=hsv:h=0.5-0.7,s=0.4-1"),
        "--artifact", "has_ruler", "--no-discover", "--cluster-by", "patient_id", "--json",
    )  # fmt: skip
    assert code == 0
    found = {one["name"]: one["verdict"] for one in json.loads(printed)["findings"]}
    assert found == {"ruler": "confirmed", "blue": "confirmed", "has_ruler": "confirmed"}


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (("--artifact", "has_rulr"), "'has_rulr' is no column and no cue"),
        (("--artifact", "blue=hsv:h=x"), "holds 'h=x', which is no range"),
        (("--label", "diagnose"), "--label diagnose: the table has the columns label, patient_id, has_ruler"),
        (("--cluster-by", "patient"), "patient_id"),
        (("--fail-on", "confirm"), "--fail-on is 'confirm', which is no verdict"),
        (("--no-discover",), "There is nothing to test"),
        (("--alpha", "2"), "--alpha is 2"),
        (("--imputer", "telea"), "There is no imputer 'telea'"),
    ],
)
def test_wrong_words_get_a_sentence(problem, capsys, more, sentence):
    code, _, error = run(capsys, *words(problem, *more))
    assert code == 2
    assert sentence in error
    assert "Traceback" not in error


def test_a_spoiled_file_is_skipped_and_told(problem, capsys):
    spoiled = problem / "pictures" / "zzz.png"
    spoiled.write_bytes(b"no picture")
    table = problem / "table.csv"
    before = table.read_text()
    table.write_text(before + "zzz.png,benign,p99,False\n")
    mask = problem / "objects" / "zzz.png"
    mask.write_bytes((problem / "objects" / "000.png").read_bytes())
    try:
        code, _, error = run(capsys, *words(problem, "--json"))
    finally:
        spoiled.unlink()
        mask.unlink()
        table.write_text(before)
    assert code == 3
    assert "zzz.png" in error


def test_a_value_of_a_column_with_a_dot_is_no_file(tmp_path):
    assert _what("strong", "field=1.5T", [tmp_path / "a.png"], ["field"]) == "field=1.5T"
    with pytest.raises(InputError, match=r"field=1\.5T does not exist"):
        _what("strong", "field=1.5T", [tmp_path / "a.png"], ["site"])
