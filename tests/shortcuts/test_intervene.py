"""Edits change what they should and nothing else; effects of networks that are known in closed form come out right."""

import pytest
import torch
from tests.shortcuts.blobs import PATCH, SIDE, Blobs, Reads, blobs

from heatproof.errors import InputError, UsageError
from heatproof.inputs.prepare import Preprocess
from heatproof.models import Model
from heatproof.shortcuts import Candidate, Survey, open_survey
from heatproof.shortcuts._edits import elsewhere, irrelevant, pasted, placed, removed, scrambled, smaller
from heatproof.shortcuts._fills import fills
from heatproof.shortcuts.intervene import intervene

FILLS = ("donor", "harmonic")


def surveyed(data: Blobs, net: torch.nn.Module, marked: bool = True) -> Survey:
    return open_survey(
        Model(net, preprocess=Preprocess()),
        list(data.pictures),
        data.labels.tolist(),
        annotations=list(data.blob.numpy()) if marked else None,
        layer="relu",
    )


def patch(data: Blobs) -> Candidate:
    return Candidate("patch", "region", "given", 1, data.has, data.patch)


@pytest.fixture(scope="module")
def data() -> Blobs:
    return blobs()


@pytest.fixture(scope="module")
def leaning(data: Blobs) -> Survey:
    return surveyed(data, Reads(blue=20.0, dark=2.0))


@pytest.mark.parametrize("name", ["donor", "harmonic", "biharmonic"])
def test_removal_changes_nothing_beyond_the_feathered_region(name: str, data: Blobs, leaning: Survey) -> None:
    rows = data.has.nonzero().flatten().tolist()[:6]
    edited = removed(leaning, data.patch[rows], rows, fills([name], 0)[name])
    changed = (edited != leaning.pixels[rows]).any(1)
    near = torch.nn.functional.max_pool2d(data.patch[rows].float().unsqueeze(1), 5, 1, 2)[:, 0] > 0
    assert not bool((changed & ~near).any())
    assert bool(changed[data.patch[rows]].float().mean() > 0.99)
    # the ground is 0.6 with noise of 0.02 where the patch is away from the blob
    assert edited.permute(0, 2, 3, 1)[data.patch[rows]].mean().item() == pytest.approx(0.6, abs=0.03)


def test_a_removal_of_nothing_is_nothing(data: Blobs, leaning: Survey) -> None:
    rows = [0, 1, 2]
    for fill in fills(FILLS, 0).values():
        assert torch.equal(removed(leaning, torch.zeros_like(data.patch[rows]), rows, fill), leaning.pixels[rows])


def test_edits_stay_within_the_range_of_a_picture(data: Blobs, leaning: Survey) -> None:
    assert leaning.limits[0].flatten().tolist() == [0.0] * 3
    assert leaning.limits[1].flatten().tolist() == [1.0] * 3
    trials = intervene(leaning, patch(data), range(leaning.n), fills(FILLS, 0))
    assert all(float(x.min()) >= 0 and float(x.max()) <= 1 for _, x in trials.edits.values())


def test_an_imputer_that_leaves_the_range_is_refused(data: Blobs, leaning: Survey) -> None:
    rows = data.has.nonzero().flatten().tolist()[:2]
    wild = fills([lambda x, unknown: torch.where(unknown, 40.0, x)], 0)
    with pytest.raises(UsageError, match=r"valid range.*reaches from .* to 40.*imputer"):
        removed(leaning, data.patch[rows], rows, next(iter(wild.values())))


def test_an_imputer_that_returns_nonsense_is_refused(data: Blobs, leaning: Survey) -> None:
    rows = data.has.nonzero().flatten().tolist()[:2]
    for broken in (lambda x, unknown: x[:, :1], lambda x, unknown: x * torch.nan):
        with pytest.raises(InputError, match="return finite values of the same shape"):
            removed(leaning, data.patch[rows], rows, next(iter(fills([broken], 0).values())))
    with pytest.raises(UsageError, match=r"no imputer 'doner'.*donor"):
        fills(["doner"], 0)
    with pytest.raises(UsageError, match="name two"):
        fills([], 0)


def test_the_control_region_has_the_same_shape_and_lies_off_the_patch_and_the_object(
    data: Blobs, leaning: Survey
) -> None:
    rows = data.has.nonzero().flatten().tolist()
    moved, there = elsewhere(leaning, patch(data), rows, torch.Generator().manual_seed(0))
    assert bool(there.all())
    assert (moved.flatten(1).sum(1) == PATCH**2).all()
    assert not bool((moved & data.patch[rows]).any())
    assert not bool((moved & data.blob[rows]).any())


def test_there_is_no_elsewhere_for_what_covers_most(data: Blobs, leaning: Survey) -> None:
    masks = torch.ones_like(data.patch)
    whole = Candidate("everything", "region", "given", 1, data.has, masks & data.has[:, None, None])
    trials = intervene(leaning, whole, range(leaning.n), fills(FILLS, 0))
    assert not trials.remove
    assert "too large to be moved elsewhere" in trials.notes[0]


def test_pastes_bring_the_patch_off_the_object(data: Blobs, leaning: Survey) -> None:
    takers = [r for r in range(leaning.n) if not data.has[r]][:8]
    donors = data.has.nonzero().flatten().tolist()[:8]
    sources, masks = placed(leaning, patch(data), takers, donors, torch.Generator().manual_seed(0))
    edited = pasted(leaning, sources, masks, takers)
    assert not bool((masks & data.blob[takers]).any())
    inside = edited.permute(0, 2, 3, 1)[masks].mean(0)
    assert inside.tolist() == pytest.approx([0.2, 0.6, 0.9], abs=0.06)
    away = ~(torch.nn.functional.max_pool2d(masks.float().unsqueeze(1), 5, 1, 2)[:, 0] > 0)
    assert torch.equal(edited.permute(0, 2, 3, 1)[away], leaning.pixels[takers].permute(0, 2, 3, 1)[away])


def test_scrambling_keeps_the_values_and_moves_them() -> None:
    x = torch.arange(2 * 3 * 16.0).reshape(2, 3, 4, 4)
    masks = torch.zeros(2, 4, 4, dtype=torch.bool)
    masks[:, :2] = True
    mixed = scrambled(x, masks, torch.Generator().manual_seed(0))
    assert torch.equal(mixed[:, :, 2:], x[:, :, 2:])
    assert torch.equal(mixed[:, :, :2].flatten(2).sort().values, x[:, :, :2].flatten(2))
    assert not torch.equal(mixed, x)
    # channels of one place stay together
    assert torch.equal(mixed[0, 1, :2] - mixed[0, 0, :2], torch.full((2, 4), 16.0))


def test_a_share_of_a_mask_is_one_end_of_it() -> None:
    mask = torch.zeros(1, 5, 20, dtype=torch.bool)
    mask[0, 2, 4:16] = True
    half = smaller(mask, 0.5)[0]
    columns = half.nonzero()[:, 1].tolist()
    assert columns in (list(range(4, 10)), list(range(10, 16)))


def test_irrelevant_changes_are_as_large_and_point_elsewhere() -> None:
    g = torch.Generator().manual_seed(1)
    x = torch.rand(4, 3, 16, 16, generator=g)
    edited = x + torch.tensor([0.1, -0.2, 0.05]).reshape(1, 3, 1, 1) + 0.1 * torch.rand(4, 3, 16, 16, generator=g)
    aside = irrelevant(x, edited, 0)
    for one, other in zip(edited - x, aside, strict=True):
        assert other.norm().item() == pytest.approx(one.norm().item(), rel=1e-3)
        level, turned = one.mean((1, 2)), other.mean((1, 2))
        assert float(level @ turned) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("name", FILLS)
def test_the_effect_is_that_of_the_closed_form(name: str, data: Blobs) -> None:
    """20 times the mean of (0.9 - 0.2 - 0.1) over 36 of 1,024 samples: 0.42, up to the ground's noise."""
    survey = surveyed(data, Reads(blue=20.0))
    trials = intervene(survey, patch(data), range(survey.n), fills([name], 0))
    exact = 20 * 0.6 * PATCH**2 / SIDE**2
    # the soft passage around the region is part of the edit: removal clears it, a paste adds to it
    assert trials.remove[name].effect.mean().item() == pytest.approx(exact, rel=0.02)
    assert trials.remove[name].control.abs().max().item() < 1e-3
    assert exact * 0.98 < trials.paste["neutral"].effect.mean().item() < exact * 1.6
    assert trials.alone is not None
    assert trials.alone.effect.mean().item() == pytest.approx(exact, rel=0.05)
    # the network reads colors, not patterns: scrambled samples do the same
    assert trials.paste["scrambled"].effect.mean().abs().item() < 0.05 * exact


def test_a_network_that_does_not_read_it_shows_no_effect(data: Blobs) -> None:
    survey = surveyed(data, Reads(dark=20.0))
    trials = intervene(survey, patch(data), range(survey.n), fills(FILLS, 0))
    for trial in (*trials.remove.values(), trials.paste["neutral"]):
        assert trial.effect.abs().mean().item() < 0.02


def test_doses_rise_with_opacity_and_size(data: Blobs, leaning: Survey) -> None:
    trials = intervene(leaning, patch(data), range(leaning.n), fills(FILLS, 0))
    assert set(trials.dose) == {"removed, opacity", "pasted, opacity", "pasted, size"}
    for doses, effects in trials.dose.values():
        assert doses[0] == effects[0] == 0.0
        assert list(effects) == sorted(effects)


def test_costs_are_counted_and_small(data: Blobs, leaning: Survey) -> None:
    runs: list[int] = []
    handle = leaning.model.net.register_forward_hook(lambda m, i, o: runs.append(len(o)))
    try:
        trials = intervene(leaning, patch(data), range(leaning.n), fills(FILLS, 0))
    finally:
        handle.remove()
    assert trials.forwards / leaning.n <= 12  # five candidates: 60 forwards per input


def test_donors_come_from_other_clusters(data: Blobs) -> None:
    survey = open_survey(
        Reads(blue=20.0), data.pictures, data.labels.tolist(), cluster_by=[i % 2 for i in range(60)], layer="relu"
    )
    from heatproof.shortcuts.intervene import _Lab

    lab = _Lab(survey, patch(data), range(survey.n))
    for row, donor in zip(lab.takers, lab._drawn(lab.have, lab.takers), strict=True):
        assert row % 2 != donor % 2


def test_signals_are_edited_as_well() -> None:
    g = torch.Generator().manual_seed(0)
    x = torch.sin(torch.arange(128.0) / 9).expand(40, 1, 128) + 0.02 * torch.randn(40, 1, 128, generator=g)
    x = x.clone()
    has = torch.arange(40) % 4 < 2
    masks = torch.zeros(40, 128, dtype=torch.bool)
    for i in has.nonzero().flatten().tolist():
        begin = int(torch.randint(5, 110, (), generator=g))
        masks[i, begin : begin + 8] = True
        x[i, 0, masks[i]] += 3.0
    net = torch.nn.Sequential(
        torch.nn.Conv1d(1, 1, 1), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool1d(1), torch.nn.Flatten(),
        torch.nn.Linear(1, 2, bias=False),
    )  # fmt: skip
    with torch.no_grad():
        net[0].weight.fill_(1.0)
        net[0].bias.fill_(-1.5)
        net[4].weight.copy_(torch.tensor([[0.0], [10.0]]))
    survey = open_survey(net, x, (torch.arange(40) % 2).tolist(), layer="1")
    line = Candidate("line", "region", "given", 1, has, masks)
    trials = intervene(survey, line, range(40), fills(FILLS, 0))
    for trial in trials.remove.values():
        assert trial.effect.mean().item() > 0.5
        assert trial.control.abs().mean().item() < 0.1
    assert trials.paste["neutral"].effect.mean().item() > 0.5


def test_volumes_are_edited_as_well() -> None:
    g = torch.Generator().manual_seed(0)
    x = 0.4 + 0.02 * torch.randn(40, 1, 12, 12, 12, generator=g)
    has = torch.arange(40) % 4 < 2
    masks = torch.zeros(40, 12, 12, 12, dtype=torch.bool)
    for i in has.nonzero().flatten().tolist():
        z, y, c = (int(v) for v in torch.randint(0, 9, (3,), generator=g))
        masks[i, z : z + 3, y : y + 3, c : c + 3] = True
        x[i, 0, masks[i]] = 1.0
    net = torch.nn.Sequential(
        torch.nn.Conv3d(1, 1, 1), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool3d(1), torch.nn.Flatten(),
        torch.nn.Linear(1, 2, bias=False),
    )  # fmt: skip
    with torch.no_grad():
        net[0].weight.fill_(1.0)
        net[0].bias.fill_(-0.6)
        net[4].weight.copy_(torch.tensor([[0.0], [100.0]]))
    survey = open_survey(net, x, (torch.arange(40) % 2).tolist(), layer="1")
    exact = 100 * 0.4 * 27 / 12**3
    trials = intervene(survey, Candidate("bead", "region", "given", 1, has, masks), range(40), fills(FILLS, 0))
    for trial in trials.remove.values():
        assert trial.effect.mean().item() == pytest.approx(exact, rel=0.05)
        assert trial.control.abs().mean().item() < 0.02 * exact
    assert trials.paste["neutral"].effect.mean().item() > 0.8 * exact


def test_a_fill_in_a_window_is_that_of_the_whole() -> None:
    from heatproof.metrics._inpaint import harmonic
    from heatproof.shortcuts._fills import _continued

    g = torch.Generator().manual_seed(2)
    x = torch.randn(4, 2, 30, 41, generator=g)
    unknown = torch.zeros(4, 1, 30, 41, dtype=torch.bool)
    unknown[0, 0, :5, 3:9] = True  # at the edge
    unknown[1, 0, 12:20, 30:41] = True
    unknown[2, 0, 4, 4] = unknown[2, 0, 9, 20] = True
    assert torch.allclose(_continued(x, unknown), harmonic(x, unknown), atol=2e-3)
    assert torch.equal(_continued(x, unknown)[3], x[3])
