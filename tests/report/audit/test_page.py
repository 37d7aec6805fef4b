"""The page: self-contained, escaped, without paths, within its size, and complete."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from math import nan

import pytest
from PIL import Image
from tests.report.audit.made import HOSTILE, document, hostile, performance, picture, result, shortcut

from heatproof.errors import UsageError
from heatproof.report.audit import html
from heatproof.report.audit.album import Album
from heatproof.report.audit.document import Answer, Failure
from heatproof.types import Interval


class Page(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.raw = [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.text += " " if tag in ("td", "th", "dt", "dd") else ""

    def handle_data(self, data):
        if self.tags and self.tags[-1][0] in ("style", "script") and data.strip():
            self.raw.append(data)
        self.text += data

    def all(self, name):
        return [attributes for tag, attributes in self.tags if tag == name]


def words(text):
    return " ".join(Page(text).text.split())


def test_nothing_is_asked_of_a_network_and_only_our_own_script_may_run(tmp_path):
    page = Page(html(document(tmp_path, gallery=[picture(0, tmp_path)])))
    for name in ("link", "iframe", "object", "embed", "base", "form", "video", "audio"):
        assert not page.all(name)
    sources = [one["src"] for _, one in page.tags if "src" in one]
    assert sources
    assert all(one.startswith("data:image/webp;base64,") for one in sources)
    assert all(one["href"].startswith("#") for one in page.all("a"))
    policy = next(one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy")
    rules = dict(one.strip().split(" ", 1) for one in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    style, script = page.raw[:2] if len(page.raw) == 2 else (page.raw[0], page.raw[-1])
    for name, text in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[name] == f"'sha256-{digest}'", "the policy would forbid the page's own parts"
    assert not [one for _, one in page.tags if "style" in one], "the policy forbids style attributes"


def test_every_text_of_the_data_is_escaped(tmp_path):
    page = Page(html(hostile(tmp_path)))
    assert len(page.all("script")) == 1
    assert not [one for _, one in page.tags if any(name.startswith("on") for name in one)]
    assert not [one for one in page.all("img") if one.get("src") == "x"]
    assert page.text.count("document.title='taken'") > 30


def test_no_absolute_path_or_url_is_shown_unless_asked_for(tmp_path):
    secret = [
        "/srv/patients/Jane Smith/a.png",
        "C:\\data\\Smith\\b.dcm",
        "s3://key:secret@bucket/c.png",
        "~/smith/d.png",
    ]
    told = document(
        tmp_path,
        model=f"file:{secret[0].replace(' ', '_')}",
        data=secret[2],
        failures=[Failure(one, "read", f"'{one}' cannot be read") for one in secret],
        deviations=[f"{secret[1]} was left out"],
        provenance={"cwd": secret[3], "weights": "/srv/models/best.ckpt"},
        plan={"data": {"path": secret[0]}},
    )
    text = html(told)
    for word in ("/srv", "patients", "Smith", "smith", "C:\\", "secret", "bucket", "~/"):
        assert word not in text, word
    assert "best.ckpt" in text
    assert str(tmp_path) not in text
    assert "s3://key:secret@bucket/c.png" in html(told, paths=True)


def test_of_a_dicom_header_only_what_is_on_the_list_is_shown(tmp_path):
    header = {"Modality": "DX", "PatientName": "Smith^Jane", "InstitutionName": "Mercy", "StudyDate": "20200101"}
    text = html(document(tmp_path, gallery=[picture(0, tmp_path, attributes=header)]))
    assert "Modality: DX" in words(text)
    for word in ("Smith", "Mercy", "20200101", "PatientName"):
        assert word not in text


def test_pictures_are_drawn_anew_so_that_what_a_file_carries_does_not_get_in(tmp_path):
    one = picture(0, tmp_path)
    exif = Image.Exif()
    exif[0x010E] = "Jane Smith, Room 12"
    with Image.open(tmp_path / one.base) as opened:
        opened.convert("RGB").save(tmp_path / one.base, exif=exif, comment=b"Jane Smith")
    assert b"Jane Smith" in (tmp_path / one.base).read_bytes()
    text = html(document(tmp_path, gallery=[one]))
    data = [base64.b64decode(one) for one in re.findall(r"data:image/webp;base64,([A-Za-z0-9+/=]+)", text)]
    assert len(data) == 3
    assert not [one for one in data if b"Smith" in one or b"EXIF" in one]


def test_pictures_can_be_small_or_left_out(tmp_path):
    told = document(tmp_path, gallery=[picture(0, tmp_path, side=800)])
    full, small, none = (html(told, images=images) for images in ("full", "thumbnail", "none"))
    assert len(full) > len(small) > len(none)
    assert "data:image" not in none
    assert "made without pictures" in words(none)
    assert "false positive" in words(none)
    with pytest.raises(UsageError, match="images is 'big'; give one of full, thumbnail, none"):
        html(told, images="big")


def test_a_picture_that_is_missing_spoiled_or_elsewhere_is_said_to_be_missing(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    Image.new("RGB", (8, 8), "red").save(tmp_path / "outside.png")
    (run / "spoiled.png").write_bytes(b"\x89PNG\r\n\x1a\nnot one")
    for base in ("nowhere.png", "spoiled.png", "../outside.png", str(tmp_path / "outside.png")):
        text = html(document(run, gallery=[picture(0, run, base=base, maps={})]))
        assert "The picture is not there." in words(text), base
        assert "data:image" not in text


def test_pictures_get_smaller_until_they_fit(tmp_path):
    files = [picture(i, tmp_path, side=600).base for i in range(4)]
    large = Album(tmp_path, files, "full")
    assert (large.side, large.reduced) == (768, False)
    spent = sum(len(large.uri(file)) for file in files)
    small = Album(tmp_path, files, "full", budget=spent // 2)
    assert small.reduced
    assert 0 < sum(len(small.uri(file)) for file in files) <= spent // 2
    assert Album(tmp_path, files, "full", budget=100).side == 0


def test_the_first_screen_says_performance_the_four_answers_and_what_to_do(tmp_path):
    told = document(
        tmp_path, plausibility=None, shortcuts="confirmed", sanity="inconclusive", faithfulness="undermines"
    )
    text = words(html(told))
    first = text[: text.index("What became of the inputs")]
    places = [first.index(one) for one in ("Reject this model", "What to do next", "accuracy 97% [92, 99]", "1. Sanity",
                                           "2. Faithfulness", "3. Plausibility", "4. Shortcuts")]  # fmt: skip
    assert places == sorted(places)
    for one in ("AUROC 0.99 [0.98, 1.00]", "sensitivity 98% [91, 100]", "specificity 95% [86, 98]",
                "calibration error 0.02 [0.01, 0.04]", "“malignant” from a probability of 0.5 on"):  # fmt: skip
        assert one in first
    assert "? Inconclusive" in first
    assert "✕ Undermines" in first
    assert "– Not asked" in first
    assert "no annotations." in first
    assert "✕ Shortcut confirmed" in first
    assert "Claim: The claim of faithfulness." in first
    assert "0.80 [0.70, 0.90] statistic of faithfulness · null 0.50 · margin 0.1 · n = 40" in first


def test_a_passed_sanity_check_reads_not_refuted(tmp_path):
    text = words(html(document(tmp_path)))
    assert "✓ Not refuted" in text
    assert "✓ Supports" in text


def test_what_was_not_planned_carries_no_verdict(tmp_path):
    told = document(tmp_path, sanity=None)
    told = replace(told, answers=[*told.answers, Answer(result("sanity", "undermines"), primary=False)])
    first = words(html(told))
    assert "Undermines (exploratory)" in first
    assert "Do not read these maps" not in first


def test_results_of_parts_failures_flow_and_limits_are_there(tmp_path):
    told = document(tmp_path)
    told = replace(
        told,
        answers=[*told.answers, Answer(result("faithfulness", "undermines"), False, ("outcome", "false positive"))],
        deviations=["Stopped early."],
    )
    text = words(html(told))
    for one in ("103 planned", "3 excluded", "3 cannot be read", "100 analyzed", "By outcome",
                "false positive: faithfulness", "exploratory", "a1 read It is cut short.", "Stopped early.",
                "primary.sanity.margin 0.15", "Correlation is not causation", "Maps are coarse", "post hoc",
                "absent is not shown", "A faithful map can be implausible, and that is a finding", "research use",
                "named malignant", "odds ratio 79.00 [4.40, 1.41e+03]", "accuracy without 0.61"):  # fmt: skip
        assert one in text, one


def test_numbers_that_are_not_known_are_said_to_be(tmp_path):
    broken = replace(
        result("sanity", "inconclusive"), value=Interval(nan, nan, nan), null=Interval(nan, nan, nan), ceiling=None
    )
    known = performance()
    whole = replace(known.whole, measures={"accuracy": Interval(nan, nan, nan), "AUROC": Interval(0.7, nan, nan)})
    told = document(tmp_path, performance=replace(known, whole=whole, groups=()), shortcuts="inconclusive")
    text = html(replace(told, answers=[Answer(broken, primary=True)]))
    assert "accuracy not known" in words(text)
    assert "AUROC 0.70" in words(text)
    assert not re.search(r'="nan|nan"|\bnan\b', text)


def test_without_labels_checks_or_candidates_the_page_says_so(tmp_path):
    text = words(html(document(tmp_path, None, None, None, "", performance=None, failures=[])))
    assert "Not known: no input has a label." in text
    assert "No check was run." in text
    assert "No candidate was found" in text
    assert "No input was left out." in text


def test_a_label_with_markup_stays_a_label(tmp_path):
    text = html(document(tmp_path, shortcuts="confirmed", title=HOSTILE))
    assert "<title>&lt;script&gt;" in text


def test_confirmed_shortcuts_come_first(tmp_path):
    listed = [shortcut("not reliant", "zebra"), shortcut("confirmed", "yak"), shortcut("inconclusive", "xerus")]
    text = words(html(replace(document(tmp_path), shortcuts=listed)))
    section = text[text.rindex("Shortcuts") :]
    assert section.index("yak") < section.index("xerus") < section.index("zebra")
