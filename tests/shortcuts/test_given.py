"""What a person names: masks, boxes, a color rule, a column, a cue; and what cannot be tested gets a sentence."""

import pytest
import torch
from tests.shortcuts.blobs import Blobs, Reads, blobs
from tests.shortcuts.test_intervene import surveyed

from heatproof.errors import UsageError
from heatproof.shortcuts import Survey, open_survey
from heatproof.shortcuts.find import investigate
from heatproof.shortcuts.given import given

BLUE = {"h": (0.5, 0.7), "s": (0.4, 1.0)}


@pytest.fixture(scope="module")
def data() -> Blobs:
    return blobs(80)


@pytest.fixture(scope="module")
def survey(data: Blobs) -> Survey:
    return surveyed(data, Reads(blue=20.0, offset=0.2))


def test_masks_boxes_and_colors_mean_the_same(data: Blobs, survey: Survey) -> None:
    by_mask = given(survey, "patch", list(data.patch.numpy()))
    boxes = []
    for mask in data.patch:
        places = mask.nonzero()
        if len(places):
            (top, left), (bottom, right) = places.amin(0).tolist(), places.amax(0).tolist()
            boxes.append({"boxes": [(left, top, right + 1, bottom + 1)]})
        else:
            boxes.append(None)
    by_box = given(survey, "patch", boxes)
    by_color = given(survey, "patch", BLUE)
    by_rule = given(survey, "patch", lambda x: x[2] - x[0] > 0.3)
    for one in (by_mask, by_box, by_color, by_rule):
        assert torch.equal(one.present, data.has)
        assert torch.equal(one.masks, data.patch)
        assert one.label == 1
        assert one.origin == "given"
        assert one.off_object == 1.0


def test_what_is_named_is_confirmed(data: Blobs, survey: Survey) -> None:
    found = investigate(survey, artifacts={"patch": BLUE}, look=False)
    assert [one.verdict for one in found] == ["confirmed"]


def test_a_column_names_inputs_and_no_place(data: Blobs) -> None:
    known = {"has_ruler": ["yes" if h else "no" for h in data.has], "site": ["a", "b"] * 40}
    survey = open_survey(Reads(blue=20.0), data.pictures, data.labels.tolist(), columns=known, layer="relu")
    one = given(survey, "ruler", "has_ruler")
    assert torch.equal(one.present, data.has)
    assert one.kind == "column"
    with pytest.raises(UsageError, match=r"says 'a', 'b'; give true or false.*'site=a'"):
        given(survey, "ruler", "site")
    assert torch.equal(given(survey, "site b", "site=b").present, torch.arange(80) % 2 == 1)
    with pytest.raises(UsageError, match="never says 'c'"):
        given(survey, "site c", "site=c")
    with pytest.raises(UsageError, match=r"no column and no cue.*has_ruler"):
        given(survey, "ruler", "has_rule")


def test_a_class_may_be_named(data: Blobs, survey: Survey) -> None:
    assert given(survey, "patch", BLUE, label=0).label == 0


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        (lambda d: list(d.blob.numpy()), "80 of 80 inputs show thing and 0 lack it"),
        (lambda d: [m.numpy() if i < 12 else None for i, m in enumerate(d.blob)], "cover the whole object in 12 of 12"),
        (lambda d: [None] * 80, "0 of 80 inputs show thing"),
        (lambda d: [None] * 3, "thing has 3 masks for 80 inputs"),
        (lambda d: {"hue": (0.0, 1.0)}, r"keys \['hue'\]; give ranges of h, s and v"),
        (lambda d: lambda x: x, r"returned shape \(3, 32, 32\)"),
    ],
)
def test_what_cannot_be_tested_gets_a_sentence(what, sentence: str, data: Blobs, survey: Survey) -> None:
    with pytest.raises(UsageError, match=sentence):
        given(survey, "thing", what(data))


def test_a_color_rule_is_for_pictures() -> None:
    survey = open_survey(
        torch.nn.Sequential(
            torch.nn.Conv1d(1, 2, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten()
        ),
        torch.rand(20, 1, 50, generator=torch.Generator().manual_seed(0)),
        [0, 1] * 10,
    )
    with pytest.raises(UsageError, match="pictures with three channels"):
        given(survey, "line", BLUE)
