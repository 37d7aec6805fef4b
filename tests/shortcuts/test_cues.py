"""Cues measure what they say, change it by as much as they are told, and a network that reads one is found out."""

from importlib import import_module

import pytest
import torch
from tests.shortcuts.blobs import blobs
from torch import nn

from heatproof.inputs.prepare import Preprocess
from heatproof.models import Model
from heatproof.shortcuts import open_survey
from heatproof.shortcuts._global import global_candidates, otsu
from heatproof.shortcuts.cues import cue_named, cues
from heatproof.shortcuts.find import investigate

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
