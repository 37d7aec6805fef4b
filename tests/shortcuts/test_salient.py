"""What looks like nothing else is found where no evidence lies, and is a candidate where it goes with the score."""

import numpy as np
import pytest
import torch
from tests.shortcuts.blobs import Blobs, Reads, blobs
from tests.shortcuts.test_intervene import surveyed
from torch import Tensor

from heatproof.shortcuts import Candidate, Survey
from heatproof.shortcuts._descriptors import activations
from heatproof.shortcuts._features import Looker
from heatproof.shortcuts._recognize import Recognizer
from heatproof.shortcuts._salient import RARE, _parts, standing_out
from heatproof.shortcuts.discover import _new, discover
from heatproof.shortcuts.find import _first, investigate

ROWS = range(60)


class ReadsAside(Reads):
    """As `Reads`, and blue past the target layer, so that no map of that layer can show it."""

    def __init__(self, aside: float) -> None:
        super().__init__(blue=0.0, dark=2.0)
        self.aside = aside

    def forward(self, x: Tensor) -> Tensor:
        seen = (x[:, 2] - x[:, 0] - 0.1).clamp(min=0).mean((1, 2))
        return super().forward(x) + torch.stack([torch.zeros_like(seen), self.aside * seen], 1)


def surveys(aside: float, odds: tuple[float, float]) -> tuple[Blobs, Survey]:
    data = blobs(80, odds=odds)
    return data, surveyed(data, ReadsAside(aside))


def test_what_the_map_cannot_show_is_found_and_confirmed() -> None:
    data, survey = surveys(20.0, (0.3, 0.7))
    assert float((survey.class_evidence(1).abs() * data.patch).max()) == 0.0
    by_evidence = Looker(survey, ROWS, "hdbscan", 5)(1)
    assert not any(bool((one.places & data.patch).any()) for one in by_evidence)
    (found,) = (one for one in discover(survey, list(ROWS)) if "stands out" in one.name)
    assert found.label == 1
    assert found.present.tolist() == data.has.tolist()
    assert found.masks is not None
    assert bool((found.masks & data.patch).equal(data.patch))
    (finding,) = (one for one in investigate(survey) if "stands out" in one.candidate.name)
    assert finding.verdict == "confirmed"


@pytest.mark.parametrize("evidence", [0.02, 0.05])
def test_so_is_what_holds_hardly_any_evidence(evidence: float) -> None:
    data = blobs(80, odds=(0.02, 0.7))
    net = ReadsAside(20.0)
    with torch.no_grad():
        net.head.weight[1, 0] = evidence
    found = [one for one in discover(surveyed(data, net, marked=False), list(ROWS)) if one.kind == "region"]
    assert [one.name for one in found if one.present.equal(data.has)]


def test_what_does_not_go_with_the_score_is_no_candidate() -> None:
    data, survey = surveys(0.0, (0.5, 0.5))
    assert any(one.places.flatten(1).any(1).equal(data.has) for one in Looker(survey, ROWS, "hdbscan", 5).apart())
    assert not [one for one in discover(survey, list(ROWS)) if "stands out" in one.name]


def test_what_goes_with_the_class_but_is_not_used_is_not_confirmed() -> None:
    """Association is not use: the patch goes with the score since it goes with the class."""
    _, survey = surveys(0.0, (0.1, 0.9))
    (finding,) = (one for one in investigate(survey) if "stands out" in one.candidate.name)
    assert finding.verdict == "not reliant"


def test_what_is_known_by_its_evidence_is_no_second_candidate() -> None:
    data = blobs(80, odds=(0.3, 0.7))
    found = discover(surveyed(data, Reads(blue=20.0, dark=2.0)), list(ROWS))
    assert [one.present.tolist() for one in found if one.kind == "region"] == [data.has.tolist()]


def test_distances_are_mahalanobis(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against NumPy: the quadratic form of the inverse covariance, with its ridge, around the mean."""
    from heatproof.shortcuts import _recognize as code

    data, survey = surveys(0.0, (0.5, 0.5))
    seen = activations(survey)
    monkeypatch.setattr(code, "_POINTS", 10**9)  # all of them
    monkeypatch.setattr("heatproof.shortcuts._salient.MOST", 10**9)
    recognize = Recognizer(survey, ROWS, seen)
    parts = [group.movedim(1, -1) for group in (seen, code.look(survey, (32, 32)))]
    points = torch.cat(parts, -1).double().numpy()
    free = ~data.blob.numpy()
    table = points[:60][free[:60]]
    middle, spread = table.mean(0), table.std(0)
    weight = np.concatenate([np.full(part.shape[-1], part.shape[-1] ** -0.5) for part in parts])
    use = np.where(spread > 1e-9 * (1 + abs(middle)), weight / np.maximum(spread, 1e-30), 0)
    scaled = (table - middle) * use
    covariance = scaled.T @ scaled / len(scaled)
    covariance += code.RIDGE * np.diag(covariance).mean() * np.eye(len(covariance))
    far = np.einsum("...i,ij,...j->...", (points - middle) * use, np.linalg.inv(covariance), (points - middle) * use)
    mine = recognize.distances(torch.arange(80)).numpy()
    assert np.allclose(mine[free], far[free], rtol=1e-6)
    assert np.isneginf(mine[~free]).all()
    regions = standing_out(survey, ROWS, recognize)
    least = np.sort(far[:60][free[:60]])[int(RARE * (free[:60].sum() - 1))]
    for row in (0, 1, 70):
        places = torch.zeros(32, 32, dtype=torch.bool)
        for one in regions:
            if one.row == row:
                assert not bool((places & one.places).any())
                places |= one.places
        assert np.array_equal(places.numpy(), (far[row] > least) & free[row])


def test_of_many_specks_the_strongest_are_kept() -> None:
    field = torch.zeros(32, 32)
    field[::4, ::4] = torch.arange(64.0).reshape(8, 8)
    found = _parts(field, 3, None)
    assert [one.mass for one in found] == [63.0, 62.0, 61.0, 60.0]
    assert all(one.weights.tolist() == [one.mass] for one in found)
    assert all(one.row == 3 and one.share == one.mass / float(field.sum()) for one in found)


def region(name: str, rank: float, *spans: tuple[int, int], evidence: bool = True) -> Candidate:
    """A region that covers some columns of the first of two inputs."""
    masks = torch.zeros(2, 4, 20, dtype=torch.bool)
    for first, last in spans:
        masks[0, :, first:last] = True
    details = {"evidence share": 0.1} if evidence else {"rank correlation": 0.5}
    return Candidate(name, "region", "found", 1, masks.flatten(1).any(1), masks, rank=rank, details=details)


def cue(name: str, rank: float) -> Candidate:
    return Candidate(name, "global", "found", 1, torch.ones(2, dtype=torch.bool), rank=rank)


def test_what_smaller_regions_cover_is_asked_once() -> None:
    mixture = region("mixture", 3.0, (0, 8))
    parts = [region("left", 2.0, (0, 3)), region("right", 1.0, (3, 6))]
    apart = region("apart", 0.5, (10, 14))
    found = _new([cue("contrast", 4.0), mixture, *parts, apart])
    # the parts are as suspicious as what they stand for
    assert [(one.name, one.rank) for one in found] == [("contrast", 4.0), ("left", 3.0), ("right", 3.0), ("apart", 0.5)]
    # one part alone covers less than half of it
    assert [one.name for one in _new([mixture, parts[0]])] == ["mixture", "left"]


def test_of_two_of_like_size_the_one_with_evidence_stays() -> None:
    with_evidence = region("evidence", 1.0, (0, 9))
    (kept,) = _new([region("salient", 2.0, (0, 8), evidence=False), with_evidence])
    assert kept.name == "evidence"
    weak = region("weak, of another class", 0.1, (0, 8))
    assert [one.name for one in _new([with_evidence, weak])] == ["evidence"]
    assert [one.name for one in _new([region("salient", 2.0, (0, 4), evidence=False), with_evidence])] == [
        "salient", "evidence",
    ]  # fmt: skip


def test_what_stands_out_takes_no_more_than_half_either() -> None:
    salient = [region(name, 5.0, (0, 2), evidence=False) for name in "stuv"]
    found = [cue("a", 9.0), *salient, region("x", 1.0, (4, 6)), region("y", 0.5, (8, 10)), region("z", 0.2, (12, 14))]
    assert "".join(one.name for one in _first(found, 5)) == "astxy"
    assert "".join(one.name for one in _first(found[:5], 5)) == "astuv"


def test_cues_take_no_more_than_half_of_the_tests_where_there_are_others() -> None:
    cues = [cue(name, 9.0) for name in "abcd"]
    places = [region(name, 1.0, (0, 2)) for name in "wxyz"]

    def names(found: list[Candidate], most: int) -> str:
        return "".join(one.name for one in _first(found, most))

    assert names([*cues, *places], 5) == "abwxy"
    assert names([*cues, *places], 1) == "w"
    assert names([*cues, *places[:1]], 5) == "abcdw"
    assert names([*cues[:1], *places], 5) == "awxyz"
    assert names(cues, 3) == "abc"
    assert names(places, 3) == "wxy"
