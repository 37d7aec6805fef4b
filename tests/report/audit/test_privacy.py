"""Paths, URLs and headers: what goes, what stays."""

import pytest

from heatproof.report.audit.privacy import ATTRIBUTES, allowed, hashed, redact


@pytest.mark.parametrize(
    ("text", "hidden", "named"),
    [
        ("/srv/data/a.png cannot be read", "[path] cannot be read", "a.png cannot be read"),
        ("/srv/Jane Smith/scan one.png", "[path]", "scan one.png"),
        ("'/srv/Jane Smith/b c' is a file", "'[path]' is a file", "'b c' is a file"),
        (r"C:\Users\Jane\a.dcm is cut", "[path] is cut", "a.dcm is cut"),
        (r"see \\server\share\a.dcm", "see [path]", "see a.dcm"),
        ("~/scans/a.png and /x/b.png", "[path] and [path]", "a.png and b.png"),
        ("file:/srv/m/best.ckpt", "file:[path]", "file:best.ckpt"),
        ("https://user:pw@host/a/b.png?token=1 failed", "[path] failed", "b.png failed"),
        ("relative/a.png stays", "relative/a.png stays", "relative/a.png stays"),
        ("timm:resnet50, 3/4 of 1 / 2, and/or", *["timm:resnet50, 3/4 of 1 / 2, and/or"] * 2),
        ("", "", ""),
    ],
)  # fmt: skip
def test_paths_and_urls_are_taken_out_of_texts(text, hidden, named):
    assert redact(text, keep_names=False) == hidden
    assert redact(text, keep_names=True) == named


def test_paths_are_taken_out_of_whatever_holds_them():
    told = {"/a/b.png": ["/c/d.png", 3, None, {"x": ("/e/f",)}]}
    assert redact(told, keep_names=False) == {"[path]": ["[path]", 3, None, {"x": ["[path]"]}]}


def test_a_hash_stands_for_a_name_and_depends_on_the_salt():
    # sha256 of a zero byte and "a", by hand: printf '\\0a' | sha256sum
    assert hashed("a") == "022a6979e6"
    assert hashed("a") != hashed("b")
    assert hashed("a", "salt") != hashed("a")
    assert len(hashed("name\udcff\nwith a newline")) == 10


def test_no_attribute_on_the_list_says_who_where_or_when():
    forbidden = (
        "Patient",
        "Name",
        "Date",
        "Time",
        "UID",
        "Institution",
        "Physician",
        "Operator",
        "Serial",
        "Accession",
    )
    allowed_anyway = {"ManufacturerModelName", "SequenceName"}
    assert not [one for one in ATTRIBUTES if any(word in one for word in forbidden) and one not in allowed_anyway]
    assert allowed({"KVP": 90, "Modality": "DX", "PatientID": "1"}) == {"Modality": "DX", "KVP": "90"}
