"""What a table says: features of columns, and where in the inputs it is, without anyone having said where."""

import pytest
import torch
from tests.shortcuts.blobs import Blobs, Reads, blobs
from torch import Tensor, nn

from heatproof.errors import UsageError
from heatproof.inputs.prepare import Preprocess
from heatproof.models import Model
from heatproof.shortcuts import Survey, open_survey
from heatproof.shortcuts._columns import features
from heatproof.shortcuts.find import investigate
from heatproof.shortcuts.given import given


@pytest.fixture(scope="module")
def data() -> Blobs:
    return blobs(120, odds=(0.1, 0.9))


def surveyed(data: Blobs, net: nn.Module, columns: dict[str, list], pictures: Tensor | None = None) -> Survey:
    return open_survey(
        Model(net, preprocess=Preprocess()),
        list(data.pictures if pictures is None else pictures),
        data.labels.tolist(),
        annotations=list(data.blob.numpy()),
        columns=columns,
        layer="relu",
    )


def test_features_of_columns(data: Blobs) -> None:
    known = {
        "has_ruler": ["Yes" if h else "no" for h in data.has],
        "site": [["north", "south", ""][i % 3] for i in range(120)],
        "age": [20 if i % 2 else 70 + i % 40 for i in range(120)],
        "patient": [f"p{i}" for i in range(120)],
        "diagnosis": data.labels.tolist(),
        "sex": ["w" if i % 5 < 2 else "m" for i in range(120)],
        "rare": [i < 3 for i in range(120)],
    }
    found = features(surveyed(data, Reads(blue=20.0), known), range(120))
    # an identifier, the true class under another name and what three inputs have are left out
    assert set(found) == {"has_ruler", "sex=w", "site=north", "site=south"} | {
        n for n in found if n.startswith("age above")
    }
    assert torch.equal(found["has_ruler"], data.has)
    assert int(found["site=south"].sum()) == 40


def test_the_place_of_what_a_column_names_is_found_and_tested_on_the_other_half(data: Blobs) -> None:
    known = {"has_ruler": data.has.tolist()}
    survey = surveyed(data, Reads(blue=20.0, dark=2.0, offset=0.3), known)
    one = given(survey, "ruler", "has_ruler")
    assert one.kind == "column"
    assert one.masks is not None
    assert bool((one.masks & data.patch).flatten(1).any(1)[data.has].all())
    assert not bool((one.masks & data.blob).any())
    assert not bool(one.masks[~data.has].any())
    findings = investigate(survey, artifacts={"ruler": "has_ruler"}, look=False)
    assert findings[0].verdict == "confirmed"
    assert findings[0].result.settings["rows"] == 60
    # without being named, too
    unnamed = {one.candidate.name: one for one in investigate(survey)}
    assert unnamed["has_ruler"].candidate.origin == "found"
    assert unnamed["has_ruler"].verdict == "confirmed"


def test_a_column_of_what_the_network_cannot_see_has_no_place(data: Blobs) -> None:
    survey = surveyed(data, Reads(dark=20.0, offset=0.2), {"site": [i % 4 < 2 for i in range(120)]})
    found = investigate(survey, artifacts={"site": "site"}, look=False)[0]
    assert found.verdict == "inconclusive"
    assert "known by name alone" in found.result.why
    assert "tells who has it" in found.result.why


class Bright(nn.Module):
    """Log odds of class 1: 10 times the mean level, less what most have."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()
        self.scale = nn.Parameter(torch.tensor(10.0))

    def forward(self, x: Tensor) -> Tensor:
        score = self.scale * (self.relu(x).mean((1, 2, 3)) - 0.6)
        return torch.stack([torch.zeros_like(score), score], 1)


def test_a_scanner_that_is_brighter_is_found_by_its_cue(data: Blobs) -> None:
    scanner = torch.rand(120, generator=torch.Generator().manual_seed(1)) < torch.where(data.labels == 1, 0.85, 0.15)
    pictures = (data.pictures + 0.1 * scanner.reshape(-1, 1, 1, 1)).clamp(0, 1)
    survey = surveyed(data, Bright(), {"scanner": ["new" if s else "old" for s in scanner]}, pictures)
    found = {one.candidate.name: one for one in investigate(survey, artifacts={"new scanner": "scanner=new"})}
    named = found["new scanner"]
    assert named.candidate.details["located"] == "by brightness"
    assert named.verdict == "confirmed"


def test_a_person_may_name_what_was_found(data: Blobs) -> None:
    survey = open_survey(
        Model(Reads(blue=20.0, dark=2.0, offset=0.3), preprocess=Preprocess()),
        list(data.pictures),
        data.labels.tolist(),
        layer="relu",
    )
    found = next(one for one in investigate(survey) if one.verdict == "relies but relevance unclear")
    again = investigate(survey, artifacts={"blue patch": found.candidate.name})
    assert again[0].candidate.name == "blue patch"
    assert again[0].verdict == "confirmed"
    assert found.candidate.name not in [one.candidate.name for one in again]
    with pytest.raises(UsageError, match="no column and no cue"):
        investigate(survey, artifacts={"blue patch": found.candidate.name}, look=False)


def test_sizes_of_files_are_a_column() -> None:
    pictures = [torch.rand(3, 24 + 8 * (i % 2), 24, generator=torch.Generator().manual_seed(i)) for i in range(24)]
    model = Model(Reads(dark=5.0), preprocess=Preprocess(resize=(24, 24)))
    survey = open_survey(model, pictures, [i % 2 for i in range(24)], layer="relu")
    assert survey.columns["input size"] == [24 * (24 + 8 * (i % 2)) for i in range(24)]
