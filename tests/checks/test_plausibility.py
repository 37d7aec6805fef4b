"""Plausibility: annotations in any form, chance and center prior as nulls, verdicts on models whose answer is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import heatproof as hp
from heatproof.checks._annotations import masks_of
from heatproof.checks.plausibility import _lift
from heatproof.errors import UsageError
from heatproof.inputs.prepare import Preprocess

SIDE = 32


class Seeker(nn.Module):
    """Its score is the brightness of one channel: a map can only be where that channel is."""

    def __init__(self, channel: int) -> None:
        super().__init__()
        self.body = nn.Conv2d(2, 2, 4, stride=4, bias=False)
        nn.init.zeros_(self.body.weight)
        with torch.no_grad():
            for c in range(2):
                self.body.weight[c, c] = 1 / 16
        self.channel = channel

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x).relu()[:, self.channel].mean((1, 2))


def scattered(n: int, seed: int = 0) -> tuple[Tensor, list[dict[str, Any]]]:
    """Objects in channel 0 at random places, marked by boxes; something else in channel 1."""
    draws = torch.Generator().manual_seed(seed)
    x = torch.zeros(n, 2, SIDE, SIDE)
    marks: list[dict[str, Any]] = []
    for i in range(n):
        (top, left), (other_top, other_left) = torch.randint(0, SIDE - 8, (2, 2), generator=draws).tolist()
        x[i, 0, top : top + 8, left : left + 8] = 1
        x[i, 1, other_top : other_top + 8, other_left : other_left + 8] = 1
        marks.append({"boxes": [(left, top, left + 8, top + 8)]})
    return x, marks


def test_a_model_that_looks_at_the_object() -> None:
    x, marks = scattered(30)
    (found,) = hp.check(Seeker(0), x, "plausibility", annotations=marks, layer="body", method="hirescam")
    assert found.verdict == "supports"
    assert found.n == 30
    assert found.value is not None
    assert found.value.estimate > 0.7
    assert found.null is not None
    assert found.null.estimate < 0.25
    assert found.per_input["input"][3] == "input 3"


def test_a_model_that_looks_elsewhere() -> None:
    x, marks = scattered(40, seed=1)
    x[:, 1] = x[:, 0].roll((SIDE // 2, SIDE // 2), (1, 2))  # never where the object is
    (found,) = hp.check(Seeker(1), x, "localization", annotations=marks, layer="body", method="hirescam")
    assert found.verdict == "undermines"
    assert "no better than chance" in found.why


def test_centered_objects_do_not_make_a_center_prior_plausible() -> None:
    """A map that always points to the center hits centered objects, and tells nothing."""
    x = torch.rand(20, 2, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    marks = [{"boxes": [(8, 8, 24, 24)]}] * 20

    def center(capture: Any) -> Tensor:
        at = torch.linspace(-1, 1, capture.activations.shape[-1])
        prior = torch.exp(-2 * (at[:, None] ** 2 + at**2))
        return prior.expand(*capture.scores.shape, *prior.shape)

    (found,) = hp.check(Seeker(0), x, "plausibility", annotations=marks, layer="body", method=center)
    assert found.per_input["relevance_rank"][0] == 1
    assert found.verdict != "supports"
    assert found.null_name == "a center prior"


def test_few_inputs_are_inconclusive_and_say_how_many_are_needed() -> None:
    x, marks = scattered(1)
    (found,) = hp.check(Seeker(0), x, "plausibility", annotations=marks, layer="body", method="hirescam")
    assert found.verdict == "inconclusive"
    assert found.n_needed is not None
    assert found.n_needed >= 5


def test_clusters_are_the_units() -> None:
    x, marks = scattered(12)
    (found,) = hp.check(
        Seeker(0), x, "plausibility", annotations=marks, layer="body", method="hirescam", cluster_by=["a", "b", "c"] * 4
    )
    assert (found.n, found.verdict) == (3, "inconclusive")


def test_inputs_without_annotation_are_left_out() -> None:
    x, marks = scattered(10)
    (found,) = hp.check(
        Seeker(0),
        x,
        "plausibility",
        annotations=[*marks[:7], None, {"boxes": []}, np.zeros((SIDE, SIDE))],
        layer="body",
    )
    assert found.n == 7
    assert found.details["left_out"] == {"nothing marked": 3, "marked all over": 0, "no map": 0}
    assert "3 inputs are left out: 3 nothing marked" in found.why
    assert np.isnan(found.per_input["relevance_rank"][7:]).all()


def test_every_form_of_annotation_marks_the_same(tmp_path: Path) -> None:
    x = torch.zeros(1, 2, SIDE, SIDE)
    ex = hp.explain(Seeker(0), x, layer="body")
    mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
    mask[4:8, 10:20] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    expected = torch.from_numpy(mask != 0)
    for form in (mask, torch.from_numpy(mask), tmp_path / "mask.png", {"boxes": [(10, 4, 20, 8)]}, mask[None] > 0):
        assert torch.equal(masks_of([form], ex)[0], expected), type(form)
    over = masks_of([{"boxes": [(SIDE - 2, -3, SIDE + 9, 1)]}], ex)[0]  # the rest of it is cut off
    assert over.nonzero().tolist() == [[0, SIDE - 2], [0, SIDE - 1]]
    point = masks_of([{"points": [(10, 4)]}], ex)[0]
    assert point.nonzero().tolist() == [[4, 10]]


def test_masks_of_the_original_follow_resize_and_crop() -> None:
    """A box at the original's lower right corner of the crop, by hand: 64 x 40 pixels, halved, middle 16 kept."""
    model = hp.Model(Seeker(0), preprocess=Preprocess(resize=20, crop=(16, 16), mean=(0.0, 0.0), std=(1.0, 1.0)))
    ex = hp.explain(model, torch.zeros(2, 64, 40), layer="body")
    assert ex.input_size == (16, 16)
    # halved: 32 x 20; cropped: rows 8 to 24, columns 2 to 18
    seen = masks_of([{"boxes": [(4, 16, 6, 18)]}], ex)[0]
    assert seen.nonzero().tolist() == [[0, 0]]
    assert not masks_of([{"boxes": [(0, 0, 4, 16)]}], ex).any(), "cut off by the crop"
    one = masks_of([{"points": [(35, 47)]}], ex)[0]  # a single pixel is not lost between two samples
    assert one.nonzero().tolist() == [[15, 15]]


@pytest.mark.parametrize(("n", "hit", "center"), [(50, 0.35, 0.3), (30, 0.55, 0.5), (20, 0.95, 0.3), (40, 0.03, 0.03)])
def test_the_interval_of_points_holds_where_map_and_center_prior_hit_or_miss(n: int, hit: float, center: float) -> None:
    draws = torch.Generator().manual_seed(0)
    covered = 0
    for seed in range(400):
        rank, null = ((torch.rand(n, generator=draws) < share).double() for share in (hit, center))
        found = _lift(rank, null, {"clusters": tuple(range(n)), "seed": seed, "level": 0.95, "draws": 800})
        assert found.estimate == pytest.approx(float((rank - null).mean()))
        covered += found.low <= hit - center <= found.high
    assert covered / 400 >= 0.935


@pytest.mark.parametrize(
    ("annotations", "told"),
    [
        ([np.ones((SIDE, SIDE))], "1 annotations for 2 inputs"),
        ([np.ones((7, 9))] * 2, "has size"),
        ([{"boxes": [(1, 2, 3)]}] * 2, "is not 4 finite numbers"),
        ([{"boxes": [(5, 5, 5, 9)]}] * 2, "is empty"),
        ([{"points": [(99, 0)]}] * 2, "lies outside"),
        ([{"boxes": [(40, 2, 50, 9)]}] * 2, "The box .* lies outside"),
        ([{"boxes": [(-9, 2, 0, 9)]}] * 2, "The box .* lies outside"),
        ([{"boxes": [(2, SIDE, 9, SIDE + 4)]}] * 2, "The box .* lies outside"),
        ([2 * np.eye(SIDE) - 1] * 2, "holds negative values, down to -1"),
        ([torch.eye(SIDE, dtype=torch.int8) * -1] * 2, "holds negative values"),
        ([{"circles": []}] * 2, "give 'boxes' or 'points'"),
        ([None, None], "No annotation lies in the model's view"),
        (None, "pass annotations="),
    ],
)
def test_refused(annotations: Any, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        hp.check(Seeker(0), torch.rand(2, 2, SIDE, SIDE), "plausibility", annotations=annotations, layer="body")
