"""`heatproof methods`: the list, one in full, BibTeX and JSON."""

import json

from heatproof import attribution, cam


def methods():
    """Every method, the CAMs first."""
    return {**cam.methods(), **attribution.methods()}


def test_lists_every_method(run):
    code, out, err = run("methods")
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()[1:]]
    assert [row[0] for row in rows] == list(methods())


def test_shows_one_in_full_in_any_spelling(run):
    code, out, _ = run("methods", "GradCAM++")
    assert code == 0
    assert methods()["gradcam_plusplus"].doc in out


def test_bibtex_holds_every_papers_entry_once(run):
    _, out, _ = run("methods", "--bibtex")
    entries = dict.fromkeys(one.bibtex for one in methods().values() if one.bibtex)
    assert out.strip() == "\n\n".join(entries)
    _, out, _ = run("methods", "hirescam", "--bibtex")
    assert out.strip() == methods()["hirescam"].bibtex


def test_json_is_one_document(run):
    _, out, _ = run("methods", "--json")
    told = json.loads(out)["methods"]
    assert [one["name"] for one in told] == list(methods())
    assert told[0].keys() == {"name", "title", "aliases", "tier", "summary", "doc", "bibtex", "kind"}


def test_unknown_method_is_unusable_and_names_the_nearest(run):
    code, out, err = run("methods", "hirecam")
    assert (code, out) == (2, "")
    assert "there is no method 'hirecam'" in err
    assert "hirescam" in err


def test_settings_are_shown_with_their_defaults(run):
    _, out, _ = run("methods", "eigencam", "gradient")
    assert "Settings: centered=False" in out
    assert "Eigen-CAM (eigencam, CAM, core)" in out
    assert "(gradient, attribution, " in out
