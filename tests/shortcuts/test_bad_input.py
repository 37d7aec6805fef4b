"""What a person may get wrong (unmarked inputs, odd labels, settings, rules): a sentence each, or no false verdict."""

from inspect import unwrap  # users have no type checker at run time
from math import inf, nan

import numpy as np
import pytest
import torch
from tests.shortcuts.blobs import Blobs, Reads, blobs
from tests.shortcuts.test_intervene import surveyed
from torch import Tensor, nn

from heatproof.errors import UsageError
from heatproof.shortcuts import Survey, open_survey
from heatproof.shortcuts import _regions as regions_code
from heatproof.shortcuts._descriptors import activations
from heatproof.shortcuts._recognize import Recognizer
from heatproof.shortcuts._survey import MOST_CLASSES
from heatproof.shortcuts.discover import discover
from heatproof.shortcuts.find import find_shortcuts, investigate
from heatproof.shortcuts.given import check_ranges, given


@pytest.fixture(scope="module")
def data() -> Blobs:
    return blobs(60, odds=(0.1, 0.9))


@pytest.fixture(scope="module")
def survey(data: Blobs) -> Survey:
    return surveyed(data, Reads(blue=20.0, dark=2.0, offset=0.2))


def test_what_nobody_marked_is_not_off_the_object() -> None:
    """The network reads the blob alone, and half of the blobs are not marked: nothing may be called a shortcut."""
    data = blobs(80, odds=(0.5, 0.5))
    marks = [mask.numpy() if row % 4 < 2 else None for row, mask in enumerate(data.blob)]
    net = Reads(dark=20.0, offset=0.9)
    found = find_shortcuts(net, data.pictures, data.labels.tolist(), annotations=marks, layer="relu")
    assert all(one.verdict != "confirmed" for one in found)
    assert all(one.candidate.off_object != one.candidate.off_object or one.candidate.off_object > 0.5 for one in found)


def test_inputs_that_nobody_marked_take_no_part_in_experiments(data: Blobs) -> None:
    marks = [None if row < 10 else mask.numpy() for row, mask in enumerate(data.blob)]
    survey = open_survey(Reads(blue=20.0), data.pictures, data.labels.tolist(), annotations=marks, layer="relu")
    assert survey.unmarked == frozenset(range(10))
    (finding,) = investigate(survey, artifacts={"patch": list(data.patch.numpy())}, look=False)
    told = torch.stack([one.values for one in finding.effects.values()])
    assert bool(told[:, :10].isnan().all())
    assert not bool(told[:, 10:].isnan().all())
    assert "10 inputs take no part" in finding.result.details["notes"][0]


def test_arrays_of_clusters_and_marks_that_come_one_by_one(data: Blobs) -> None:
    marks = (None if row < 10 else mask.numpy() for row, mask in enumerate(data.blob))
    survey = unwrap(open_survey)(
        Reads(blue=20.0), data.pictures, data.labels.tolist(), annotations=marks, cluster_by=np.arange(60) // 2
    )
    assert survey.unmarked == frozenset(range(10))
    assert len(set(survey.clusters)) == 30


def test_no_marks_at_all_are_no_annotations(data: Blobs) -> None:
    survey = open_survey(Reads(blue=20.0), data.pictures, data.labels.tolist(), annotations=[None] * 60)
    assert survey.annotations is None
    assert not survey.unmarked


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [([None] * 60, "label None is no class"), ([0.5, 1] * 30, "label 0.5 is no class"), ([nan, 1] * 30, "label nan")],
)
def test_labels_that_are_none(labels: list, sentence: str, data: Blobs) -> None:
    with pytest.raises(UsageError, match=sentence):
        unwrap(open_survey)(Reads(blue=20.0), data.pictures, labels)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"margin": nan}, "margin is nan"),
        ({"margin": inf}, "margin is inf"),
        ({"artifacts": ["has"]}, "artifacts is .*mapping"),
        ({"artifacts": {"r": 5}}, "r is 5; give masks"),
        ({"artifacts": {"r": None}}, "r is None; give masks"),
        ({"artifacts": {"r": lambda x: None}}, "returned nothing"),
        (
            {"halves": (range(40), range(40, 99))},
            r"halves holds 40 and 59 inputs, among them the numbers \[60, 61, 62\]",
        ),
        ({"halves": ([], range(40, 60))}, "halves holds 0 and 20 inputs; give"),
    ],
)
def test_settings_get_a_sentence(settings: dict, sentence: str, survey: Survey) -> None:
    with pytest.raises(UsageError, match=sentence):
        unwrap(investigate)(survey, **settings)


@pytest.mark.parametrize("bounds", [3, (0, 1, 2), ("a", "b")])
def test_color_ranges_that_are_no_pairs(bounds: object) -> None:
    with pytest.raises(UsageError, match=r"The color rule has h as .*; give a pair"):
        unwrap(check_ranges)({"h": bounds})


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"alpha": 2.0}, "alpha is 2.0"),
        ({"cluster_by": [[1]] * 60}, "cluster_by holds what names nothing"),
    ],
)
def test_survey_settings_get_a_sentence(settings: dict, sentence: str, data: Blobs) -> None:
    with pytest.raises(UsageError, match=sentence):
        unwrap(open_survey)(Reads(blue=20.0), data.pictures, data.labels.tolist(), **settings)


def test_one_cluster_cannot_be_split(data: Blobs) -> None:
    with pytest.raises(UsageError, match="All 60 inputs belong to one patient"):
        find_shortcuts(
            Reads(blue=20.0), data.pictures, data.labels.tolist(), cluster_by=["a"] * 60, cluster_name="patient"
        )


def test_too_few_clusters_are_named_as_the_reason(data: Blobs) -> None:
    survey = open_survey(
        Reads(blue=20.0), data.pictures, data.labels.tolist(), annotations=list(data.blob.numpy()), layer="relu",
        cluster_by=[row // 30 for row in range(60)],
    )  # fmt: skip
    (finding, *_) = investigate(survey, artifacts={"patch": list(data.patch.numpy())}, look=False)
    assert finding.verdict == "inconclusive"
    assert finding.result.why.startswith("Only ")


class Blank(nn.Module):
    """A layer that puts out no number for bright inputs, which the score does not mind."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Reads(blue=20.0)
        self.gap = Gap()

    def forward(self, x: Tensor) -> Tensor:
        seen = self.gap(self.inner.relu(self.inner.conv(x)))
        return self.inner.head(seen.nan_to_num(0.0).mean((2, 3)))


class Gap(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        middle = x.mean((1, 2, 3), keepdim=True)
        return torch.where(middle > 0.02, torch.nan, x)


def test_activations_that_are_no_numbers_do_not_stop_it(data: Blobs) -> None:
    has = [bool(one) for one in data.has]
    found = find_shortcuts(Blank(), data.pictures, data.labels.tolist(), columns={"patch": has}, layer="gap")
    assert {one.candidate.name for one in found} >= {"patch"}


def test_a_column_called_like_a_cue_does_not_take_its_place(data: Blobs) -> None:
    survey = open_survey(
        Reads(blue=20.0), data.pictures, data.labels.tolist(), columns={"color cast": [bool(one) for one in data.has]}
    )
    names = [one.name for one in discover(survey, range(60))]
    assert len(set(names)) == len(names)
    assert {"color cast", "color cast (global)"} <= set(names) or {"color cast", "color cast (column)"} <= set(names)


class Wide(nn.Module):
    """Twenty classes, of which the last two are told apart."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Reads(blue=20.0, offset=0.2)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        two = self.inner.head(self.relu(self.inner.conv(x)).mean((2, 3)))
        return torch.cat([two.new_full((len(two), 18), -9.0), two], 1)


def test_classes_beyond_the_first_ten_are_asked_about(data: Blobs) -> None:
    has = [bool(one) for one in data.has]
    survey = open_survey(Wide(), data.pictures, (data.labels + 18).tolist(), columns={"patch": has}, layer="relu")
    assert sorted(survey.kinds(range(60))) == [18, 19]
    assert len(survey.kinds(range(60))) <= MOST_CLASSES
    found = {one.name: one.label for one in discover(survey, range(60))}
    assert found["patch"] == 19
    assert set(found.values()) <= {18, 19}


def test_recognizing_does_not_depend_on_the_first_input(data: Blobs) -> None:
    """On a fine grid a few positions of every input are drawn, not all of the first, which lacks the feature."""
    large = nn.functional.interpolate(data.pictures[:20], scale_factor=5)
    marks = nn.functional.interpolate(data.patch[:20].float().unsqueeze(1), scale_factor=5)[:, 0] > 0
    order = data.has[:20].long().argsort(stable=True)
    survey = open_survey(Reads(blue=20.0), large[order], data.labels[:20][order].tolist(), layer="relu")
    has = data.has[:20][order]
    assert not bool(has[0])
    recognize = Recognizer(survey, range(20), activations(survey))
    known = {row: marks[order][row] for row in has.nonzero().flatten().tolist()[:4]}
    assert torch.equal(recognize(known).flatten(1).any(1), has)


@pytest.mark.timeout(120)  # hours when every component was drawn anew for every core
def test_regions_of_a_fine_noisy_map() -> None:
    field = torch.randn(112, 112, generator=torch.Generator().manual_seed(0)).clamp(min=0)
    field[40:60, 40:60] += 20
    (found,) = regions_code.of_field(field, float(field.sum()), float(field.sum()), 0, None)
    assert int(found.places[40:60, 40:60].sum()) == 400


def test_given_masks_still_work_beside_unmarked_inputs(data: Blobs) -> None:
    marks = [None if row < 10 else mask.numpy() for row, mask in enumerate(data.blob)]
    survey = open_survey(Reads(blue=20.0), data.pictures, data.labels.tolist(), annotations=marks, layer="relu")
    assert given(survey, "patch", list(data.patch.numpy())).kind == "region"
