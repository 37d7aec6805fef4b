"""`heatproof methods`: the list, one in full, BibTeX and JSON."""

import json

import pytest

from heatproof.cam import methods
from heatproof.cli import main


def run(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["methods", *words])
    told = capsys.readouterr()
    return stop.value.code, told.out, told.err


def test_lists_every_method(capsys):
    code, out, err = run([], capsys)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()[1:]]
    assert [row[0] for row in rows] == list(methods())


def test_shows_one_in_full_in_any_spelling(capsys):
    code, out, _ = run(["GradCAM++"], capsys)
    assert code == 0
    assert methods()["gradcam_plusplus"].doc in out


def test_bibtex_holds_every_papers_entry_once(capsys):
    _, out, _ = run(["--bibtex"], capsys)
    entries = [one.bibtex for one in methods().values() if one.bibtex]
    assert out.strip() == "\n\n".join(entries)
    _, out, _ = run(["hirescam", "--bibtex"], capsys)
    assert out.strip() == methods()["hirescam"].bibtex


def test_json_is_one_document(capsys):
    _, out, _ = run(["--json"], capsys)
    told = json.loads(out)["methods"]
    assert [one["name"] for one in told] == list(methods())
    assert told[0].keys() == {"name", "title", "aliases", "tier", "summary", "doc", "bibtex"}


def test_unknown_method_is_unusable_and_names_the_nearest(capsys):
    code, out, err = run(["hirecam"], capsys)
    assert (code, out) == (2, "")
    assert "there is no CAM method 'hirecam'" in err
    assert "hirescam" in err
