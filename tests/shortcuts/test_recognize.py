"""A feature is found again where it hardly counts, wherever it lies; what has nothing in common finds nothing."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.shortcuts.blobs import Blobs, Reads, blobs
from tests.shortcuts.test_intervene import surveyed
from torch import Tensor, nn

from heatproof.shortcuts import Survey
from heatproof.shortcuts import _recognize as code
from heatproof.shortcuts._descriptors import activations
from heatproof.shortcuts._features import Looker
from heatproof.shortcuts._recognize import Recognizer

ROWS = range(60)


@pytest.fixture(scope="module")
def data() -> Blobs:
    return blobs(80, odds=(0.5, 0.5))


@pytest.fixture(scope="module")
def survey(data: Blobs) -> Survey:
    return surveyed(data, Reads(blue=20.0, dark=2.0, offset=0.2))


@pytest.fixture(scope="module")
def recognize(survey: Survey) -> Recognizer:
    return Recognizer(survey, ROWS, activations(survey))


def with_patch(data: Blobs, few: int = 0) -> dict[int, Tensor]:
    return {r: data.patch[r] for r in [r for r in ROWS if data.has[r]][: few or None]}


@pytest.mark.parametrize("few", [3, 6, 0])
def test_a_few_inputs_tell_all_others(few: int, data: Blobs, recognize: Recognizer) -> None:
    found = recognize(with_patch(data, few))
    assert torch.equal(found.flatten(1).any(1), data.has)
    assert torch.equal(found & data.patch, data.patch)
    assert int(found.sum()) <= 1.02 * int(data.patch.sum())


def test_too_few_tell_nothing(data: Blobs, recognize: Recognizer) -> None:
    assert not bool(recognize(with_patch(data, 2)).any())
    assert not bool(recognize({}).any())
    nowhere = torch.zeros_like(data.patch[0])
    assert not bool(recognize(dict.fromkeys(range(6), nowhere)).any())
    # what lies on the object alone is not looked for
    assert not bool(recognize({r: data.blob[r] for r in range(6)}).any())


@pytest.mark.parametrize("seed", range(8))
def test_places_with_nothing_in_common_find_nothing(seed: int, recognize: Recognizer, data: Blobs) -> None:
    g = torch.Generator().manual_seed(seed)
    lack = [r for r in ROWS if not data.has[r]]
    known = {}
    for r in lack[:12]:
        places = torch.zeros_like(data.patch[0])
        row, column = (int(v) for v in torch.randint(0, 29, (2,), generator=g))
        places[row : row + 3, column : column + 3] = True
        known[r] = places
    assert not bool(recognize(known).any())


def test_scores_are_fisher_s_discriminant(data: Blobs, survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against NumPy's least squares: regressing membership on the points is the same direction (Fisher 1936)."""
    known = with_patch(data)
    seen = activations(survey)
    monkeypatch.setattr(code, "_POINTS", 10**9)  # all of them
    recognize = Recognizer(survey, ROWS, seen)
    parts = [group.movedim(1, -1) for group in (seen, code.look(survey, (32, 32)))]
    points = torch.cat(parts, -1).double()
    free = ~survey.annotations if survey.annotations is not None else torch.ones(80, 32, 32, dtype=torch.bool)
    rows = torch.tensor(list(ROWS))
    table = points[rows][free[rows]].numpy()
    middle, spread = table.mean(0), table.std(0)
    weight = np.concatenate([np.full(part.shape[-1], part.shape[-1] ** -0.5) for part in parts])
    # deviations within a single pixel are rounding
    use = np.where(spread > 1e-9 * (1 + abs(middle)), weight / np.maximum(spread, 1e-30), 0)
    table = (table - middle) * use
    covariance = table.T @ table / len(table)
    ridge = code.RIDGE * np.diag(covariance).mean()
    inside = torch.zeros(80, 32, 32, dtype=torch.bool)
    for row, places in known.items():
        inside[row] = places
    group = ((points[inside].numpy() - middle) * use).mean(0)
    direction = np.linalg.solve(covariance + ridge * np.eye(len(covariance)), group)
    exact = ((points[5].numpy() - middle) * use) @ direction / (direction @ group)
    mine = recognize.scores(torch.tensor([5]), torch.from_numpy(group))[0]
    assert torch.allclose(mine[free[5]], torch.from_numpy(exact)[free[5]], rtol=1e-6, atol=1e-8)


class ReadsRed(Reads):
    """As `Reads`, and a third feature map: red beyond green."""

    def __init__(self) -> None:
        super().__init__(blue=20.0)
        self.conv, self.head = nn.Conv2d(3, 3, 1), nn.Linear(3, 2)
        with torch.no_grad():
            self.conv.weight.copy_(
                torch.tensor([[-1.0, 0.0, 1.0], [0.0, -1.0, 0.0], [1.0, -1.0, 0.0]]).reshape(3, 3, 1, 1)
            )
            self.conv.bias.copy_(torch.tensor([-0.2, 0.5, -0.2]))
            self.head.weight.copy_(torch.tensor([[0.0, 0.0, 0.0], [20.0, 2.0, 20.0]]))
            self.head.bias.zero_()


def test_the_second_look_finds_what_stronger_evidence_hides(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blue patches hold nearly all evidence where they lie, and the red mark lies nowhere else."""
    data = blobs(80, odds=(0.3, 0.7), seed=1)
    marked = data.has & (torch.arange(80) % 3 > 0)
    red = torch.zeros_like(data.patch)
    for row in marked.nonzero().flatten().tolist():
        column = 2 if bool(data.patch[row, :, 16:].any()) else 27
        red[row, 15:18, column : column + 3] = ~data.patch[row, 15:18, column : column + 3]
    pictures = data.pictures.clone()
    pictures.movedim(1, -1)[red] = torch.tensor([0.8, 0.5, 0.5])
    survey = surveyed(replace(data, pictures=pictures), ReadsRed())
    evidence = survey.class_evidence(1).clamp(min=0)
    share = (evidence * red).flatten(1).sum(1) / evidence.flatten(1).sum(1)
    assert float(share[marked].max()) < 0.15  # the least that a region holds

    def present(looks: int) -> list[Tensor]:
        monkeypatch.setattr("heatproof.shortcuts._features.LOOKS", looks)
        return [one.places.flatten(1).any(1) for one in Looker(survey, ROWS, "hdbscan", 5)(1)]

    first = present(1)
    assert [one.tolist() for one in first] == [data.has.tolist()]
    both = present(2)
    assert [one.tolist() for one in both] == [data.has.tolist(), marked.tolist()]
