"""Markdown, JSON and the model card say what the page says, escaped and without paths."""

import json
from dataclasses import replace
from math import nan

from tests.report.audit.made import document, hostile, result

from heatproof.report.audit import as_json, markdown, model_card
from heatproof.report.audit.document import Answer
from heatproof.types import Interval


def test_json_holds_everything_and_nothing_that_json_cannot(tmp_path):
    told = document(tmp_path, shortcuts="confirmed")
    broken = replace(result("sanity", "inconclusive"), value=Interval(nan, nan, nan))
    told = replace(told, answers=[Answer(broken, primary=True)])
    text = as_json(told)
    found = json.loads(text, parse_constant=lambda word: 1 / 0)
    assert found["format"] == "heatproof audit report 1"
    assert found["conclusion"]["level"] == "stop"
    assert found["answers"][0]["result"]["value"]["estimate"] is None
    assert found["shortcuts"][0]["flips"]["alone"] == [None, None]
    assert found["performance"]["whole"]["measures"]["accuracy"]["low"] == 0.92
    assert [one["question"] for one in found["questions"]] == ["sanity", "faithfulness", "plausibility", "shortcuts"]
    assert str(tmp_path) not in text
    assert "folder" not in found


def test_markdown_says_what_the_first_screen_says(tmp_path):
    text = markdown(document(tmp_path, shortcuts="confirmed", plausibility=None))
    for one in ("# Audit of a model", "**Reject this model as it stands. It takes a shortcut: “ruler”.**",
                "| accuracy | 97% \\[92, 99\\] |",
                "| faithfulness | The claim of faithfulness. | Supports | 0.80 \\[0.70, 0.90\\] | 0.50 |",
                "| plausibility | The map lies where an expert would look. | Not asked |",
                "- 3 excluded: cannot be read",
                "| a1 | read | It is cut short. |", "research use"):  # fmt: skip
        assert one in text, one


def test_markdown_shows_hostile_texts_as_they_are(tmp_path):
    for text in (markdown(hostile(tmp_path)), model_card(hostile(tmp_path))):
        assert "<script" not in text
        assert "<img" not in text
    lines = markdown(hostile(tmp_path)).splitlines()
    rows = [line for line in lines if line.startswith("| sanity")]
    assert rows
    assert all(line.replace("\\|", "").count("|") in (7, 8) for line in rows), "a name has broken its table"


def test_paths_are_in_none_of_them(tmp_path):
    told = document(tmp_path, model="file:/srv/jane/best.ckpt", provenance={"x": "/srv/jane/y"})
    for text in (markdown(told), as_json(told), model_card(told)):
        assert "/srv" not in text
        assert "best.ckpt" in text


def test_a_model_card_states_the_shortcut_under_limitations(tmp_path):
    text = model_card(document(tmp_path, shortcuts="confirmed"))
    assert text.startswith("## Explanation audit\n")
    assert "## Bias, risks and limitations\n\n- Leans on ruler: Why of ruler." in text
    assert "no medical device" in text
    assert "Bias, risks" not in model_card(document(tmp_path))
