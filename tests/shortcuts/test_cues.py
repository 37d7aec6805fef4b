"""Cues measure what they say, change it by as much as they are told, and a network that reads one is found out."""

from dataclasses import replace
from importlib import import_module

import pytest
import torch
from tests.shortcuts.blobs import blobs
from torch import nn

from heatproof.inputs.prepare import Preprocess
from heatproof.models import Model
from heatproof.shortcuts import open_survey
from heatproof.shortcuts._candidate import Candidate
from heatproof.shortcuts._edits import irrelevant
from heatproof.shortcuts._global import global_candidate, global_candidates, otsu
from heatproof.shortcuts._survey import Survey
from heatproof.shortcuts.cues import cue_named, cues
from heatproof.shortcuts.decide import decide_all
from heatproof.shortcuts.find import investigate
from heatproof.shortcuts.intervene import intervene

PICTURES = 0.5 + 0.1 * torch.randn(6, 3, 40, 40, generator=torch.Generator().manual_seed(3))
ONES = torch.ones(6, 1, 40, 40)


@pytest.mark.parametrize(
    ("name", "delta", "tolerance"),
    [
        ("brightness", [0.1], 1e-5),
        ("color", [0.1, -0.05, -0.05], 1e-5),
        ("contrast", [0.3], 1e-4),
        ("contrast", [-0.3], 1e-4),
        ("sharpness", [-0.4], 0.12),
        ("sharpness", [0.3], 0.12),
        ("sharpness", [1.0], 0.15),
    ],
)
def test_a_shift_changes_the_measure_by_as_much(name: str, delta: list[float], tolerance: float) -> None:
    plugin = cue_named(name)
    wanted = torch.tensor(delta)
    shifted = import_module(plugin.module).shift(PICTURES, wanted)
    change = plugin.function(shifted, ONES) - plugin.function(PICTURES, ONES)
    assert torch.allclose(change, wanted.expand_as(change), atol=tolerance)


def test_compression_sees_the_blocks_of_a_jpeg() -> None:
    coarse = 0.5 + 0.2 * torch.randn(6, 3, 5, 5, generator=torch.Generator().manual_seed(4))
    smooth = nn.functional.interpolate(coarse, size=(40, 40), mode="bilinear") + 0.02 * (PICTURES - 0.5)
    blocky = nn.functional.interpolate(nn.functional.avg_pool2d(smooth, 8), scale_factor=8, mode="nearest")
    half = (smooth + blocky) / 2
    plugin = cue_named("compression")
    before, after = plugin.function(smooth, ONES), plugin.function(half, ONES)
    assert bool((after > before + 0.2).all())
    shift = import_module(plugin.module).shift
    assert bool((plugin.function(shift(smooth, torch.tensor([1.0])), ONES) > before + 0.2).all())
    assert bool((plugin.function(shift(half, torch.tensor([-1.0])), ONES) < after - 0.1).all())
    assert plugin.function(torch.rand(2, 1, 50), torch.ones(2, 1, 50)) is None


def test_stains_are_measured_and_changed_where_there_are_any() -> None:
    strengths = torch.tensor([0.4, 0.25]).reshape(1, 2, 1, 1) * (
        0.5 + torch.rand(6, 2, 40, 40, generator=torch.Generator().manual_seed(6))
    )
    plugin = cue_named("H&E")
    stains = import_module(plugin.module).STAINS
    slide = 10 ** -torch.einsum("ns...,sc->nc...", strengths, stains)
    exact = strengths.flatten(2).median(2).values.log()
    assert torch.allclose(plugin.function(slide, ONES), exact, atol=1e-3)
    wanted = torch.tensor([0.3, -0.2])
    shifted = import_module(plugin.module).shift(slide, wanted)
    assert torch.allclose(plugin.function(shifted, ONES) - exact, wanted.expand(6, 2), atol=1e-3)
    skin = torch.tensor([0.86, 0.68, 0.60]).reshape(1, 3, 1, 1).expand(6, 3, 40, 40)
    assert plugin.function(skin, ONES) is None
    assert plugin.function(PICTURES[:, :1], ONES) is None


def test_a_small_artifact_moves_no_cue() -> None:
    spotted = PICTURES.clone()
    spotted[:, :, :8, :8] = 1.0
    for plugin in cues().values():
        if plugin.name == "stain":
            continue
        before, after = plugin.function(PICTURES, ONES), plugin.function(spotted, ONES)
        assert float((after - before).abs().max()) < 0.08, plugin.name


def test_weights_leave_out_the_object() -> None:
    changed = PICTURES.clone()
    changed[:, :, :30] += 0.4
    weights = ONES.clone()
    weights[:, :, :30] = 0
    plugin = cue_named("brightness")
    assert torch.allclose(plugin.function(changed, weights), plugin.function(PICTURES, weights))


def test_otsu_parts_two_groups() -> None:
    assert 1.0 < otsu(torch.tensor([0.0, 0.1, 0.2, 1.0, 3.0, 3.1, 3.2])) < 3.0


class Tint(nn.Module):
    """Log odds: 60 times the mean of blue less red, less what gray skin has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)
        self.relu = nn.ReLU()
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([[-1.0, 0, 1], [1.0, 0, -1]]).reshape(2, 3, 1, 1))
            self.conv.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 60 * self.relu(self.conv(x)).mean((2, 3)).flip(1)


def test_a_scanner_s_tint_is_found_as_a_global_cue() -> None:
    data = blobs(120, odds=(0.0, 0.0))
    tinted = torch.rand(120, generator=torch.Generator().manual_seed(5)) < torch.where(data.labels == 1, 0.9, 0.1)
    cast = torch.tensor([-0.05, 0.0, 0.05]).reshape(1, 3, 1, 1)
    x = (data.pictures + torch.where(tinted[:, None, None, None], cast, -cast)).clamp(0, 1)
    survey = open_survey(
        Model(Tint(), preprocess=Preprocess()), list(x), data.labels.tolist(), annotations=list(data.blob.numpy()),
        layer="relu",
    )  # fmt: skip
    names = [one.name for one in global_candidates(survey, range(120))]
    assert names[0] == "color cast" or "color cast" in names
    found = {one.candidate.name: one.verdict for one in investigate(survey)}
    assert found["color cast"] == "confirmed"
    assert all(verdict != "confirmed" for name, verdict in found.items() if name != "color cast")


def cast_survey(odds: tuple[float, float], *, marked: bool) -> tuple[Survey, Candidate]:
    """A network that reads the tint, on pictures of two scanners; and its cue."""
    data = blobs(120, odds=(0.0, 0.0))
    chance = torch.where(data.labels == 1, odds[1], odds[0])
    tinted = torch.rand(120, generator=torch.Generator().manual_seed(5)) < chance
    cast = torch.tensor([-0.05, 0.0, 0.05]).reshape(1, 3, 1, 1)
    x = (data.pictures + torch.where(tinted[:, None, None, None], cast, -cast)).clamp(0, 1)
    survey = open_survey(
        Model(Tint(), preprocess=Preprocess()), list(x), data.labels.tolist(),
        annotations=list(data.blob.numpy()) if marked else None, layer="relu",
    )  # fmt: skip
    candidate = global_candidate(survey, range(60), cue_named("color cast"))
    assert candidate is not None
    return survey, candidate


@pytest.mark.parametrize(
    ("odds", "marked", "verdict", "why"),
    [
        ((0.1, 0.9), True, "confirmed", "Without it the score falls"),
        ((0.5, 0.5), True, "relies but relevance unclear", "does not go with the class"),
        ((0.1, 0.9), False, "relies but relevance unclear", "without annotations only a person can say"),
    ],
)
def test_a_cue_is_a_shortcut_where_it_goes_with_the_class_off_a_marked_object(
    odds: tuple[float, float], marked: bool, verdict: str, why: str
) -> None:
    survey, candidate = cast_survey(odds, marked=marked)
    rows = range(60, 120)
    (found,) = decide_all(survey, [(candidate, intervene(survey, candidate, rows, {}), rows)], 0.25)
    assert found.verdict == verdict
    assert why in found.result.why
    named = replace(candidate, origin="given")
    (found,) = decide_all(survey, [(named, intervene(survey, named, rows, {}), rows)], 0.25)
    assert found.verdict == "confirmed"


def test_a_cue_that_matters_on_the_object_alone_may_belong_to_the_task() -> None:
    survey, candidate = cast_survey((0.1, 0.9), marked=True)
    rows = range(60, 120)
    trials = intervene(survey, candidate, rows, {})
    for book in (trials.remove, trials.paste):
        for name, one in book.items():
            if name.startswith("off the object"):
                book[name] = replace(one, treated=one.control + 0.1 * survey.spread(candidate.label))
    (found,) = decide_all(survey, [(candidate, trials, rows)], 0.25)
    assert found.verdict == "relies but relevance unclear"
    assert "hardly off the object" in found.result.why


def test_an_edit_may_spare_the_object() -> None:
    survey, candidate = cast_survey((0.1, 0.9), marked=True)
    assert candidate.change is not None
    assert candidate.whole is not None
    assert survey.annotations is not None
    object_ = survey.annotations[:1].unsqueeze(1).expand(1, 3, *survey.annotations.shape[1:])
    plain = survey.pixels[:1]
    assert torch.equal(candidate.change([0], 1.0)[object_], plain[object_])
    shifted = candidate.whole([0], 1.0) - plain
    assert float(shifted[object_].abs().max()) > 0.03
    assert torch.allclose(shifted[0, :, 0, 0], candidate.change([0], 1.0)[0, :, 0, 0] - plain[0, :, 0, 0], atol=1e-6)


def test_the_control_of_a_sharper_picture_is_no_sharper() -> None:
    plugin = cue_named("sharpness")
    edited = import_module(plugin.module).shift(PICTURES, torch.tensor([1.0]))
    aside = irrelevant(PICTURES, edited, 0)
    assert torch.allclose((edited - PICTURES).norm(), aside.norm(), rtol=1e-3)
    before = plugin.function(PICTURES, ONES)
    assert float((plugin.function(edited, ONES) - before).min()) > 0.8
    for turn in (1.0, -1.0):
        assert float((plugin.function(PICTURES + turn * aside, ONES) - before).abs().max()) < 0.1
