"""A slide's map is the map of the whole picture, without seams, in absolute units, and the same bytes after a break."""

import hashlib

import numpy as np
import pytest
import torch
from PIL import Image
from tests.wsi.conftest import MPP, SIDE

import heatproof
from heatproof.errors import InputError, TargetError, UsageError
from heatproof.inputs.slide import Unreadable, open_slide
from heatproof.models.randomize import randomized
from heatproof.synthetic.slides import write_slide
from heatproof.synthetic.slides.plant import TILE
from heatproof.wsi import explain_slide, prepare


def full_map(model, slide, target="DAB-positive"):
    """The reference: the whole slide as one picture, its evidence per position as a share of the mean."""
    width, height = slide.size_at(MPP)
    whole = slide.read(0, 0, width // 4 * 4, height // 4 * 4, MPP)
    maps = heatproof.explain(model, Image.fromarray(whole), target).maps[0, 0]
    return maps.numpy() * maps.numel()


def values_of(found):
    return np.asarray(found.canvas.level(0)[:])


def seam_ratio(values, core):
    """Mean jump across tile borders over mean jump elsewhere, in both directions."""
    across, down = np.abs(np.diff(values, axis=1)), np.abs(np.diff(values, axis=0))
    at_x = (np.arange(across.shape[1]) + 1) % core == 0
    at_y = (np.arange(down.shape[0]) + 1) % core == 0
    border = np.concatenate([across[:, at_x].ravel(), down[at_y].ravel()])
    inside = np.concatenate([across[:, ~at_x].ravel(), down[~at_y].ravel()])
    return np.nanmean(border) / np.nanmean(inside)


def test_the_network_is_run_without_seams(found):
    assert found.about["mode"] == "seamless"
    assert found.about["grid_spacing_pixels"] == 4
    assert len(found.tiles) > 9


@pytest.fixture(scope="module")
def reference(slide, dab):
    return full_map(dab, slide)


def test_every_position_is_that_of_the_whole_picture(found, reference):
    values = values_of(found)[: reference.shape[0], : reference.shape[1]]
    inner = np.zeros(values.shape, bool)
    inner[4:-4, 4:-4] = True  # the whole picture is padded with zeros at its edge
    seen = np.isfinite(values) & inner
    assert seen.mean() > 0.2
    np.testing.assert_allclose(values[seen], reference[seen], rtol=1e-4, atol=1e-4)


def test_jumps_at_tile_borders_are_those_of_the_whole_picture(found, reference):
    values = values_of(found)[: reference.shape[0], : reference.shape[1]]
    reference = np.where(np.isfinite(values), reference, np.nan)
    core = SIDE // 4
    assert seam_ratio(values, core) == pytest.approx(seam_ratio(reference, core), rel=0.05)


def test_the_mean_of_the_map_and_the_bias_are_the_score(found, dab):
    assert found.about["bias"] == pytest.approx(float(dab.net.head.bias[1].detach()), abs=1e-4)
    tile = max(found.tiles, key=lambda t: t.score)
    x, y, width, _ = (round(side / 8) for side in tile.box)  # level-0 pixels -> positions of 4 pixels at half size
    inside = values_of(found)[y : y + width, x : x + width]
    assert tile.score == pytest.approx(np.nanmean(inside.astype(np.float64)) + found.about["bias"], rel=1e-6)


def share_on(found, planted):
    """Positive evidence on planted tiles as a share of all, and their share of what was looked at."""
    values = values_of(found)
    place = round(TILE / found.pixels_per_position()[0])
    truth = np.kron(planted.stained, np.ones((place, place), bool))[: values.shape[0], : values.shape[1]]
    positive = np.where(np.isfinite(values), values.clip(0), 0)
    return positive[truth].sum() / positive.sum(), truth[np.isfinite(values)].mean()


def test_planted_stain_is_found_and_random_weights_do_not_find_it(found, planted, slide, dab, tmp_path):
    share, chance = share_on(found, planted)
    assert share > 0.95
    assert share > 5 * chance
    others = []
    for seed in range(3):
        random = heatproof.Model(randomized(dab.net, seed), dab.preprocess, dab.labels)
        ready = prepare(random, slide, "DAB-positive", mpp=MPP, side=SIDE, layer="features")
        others.append(share_on(explain_slide(ready, tmp_path / str(seed)), planted)[0])
    assert np.nanmean(others) < share - 0.3


def test_a_negative_slide_stays_cold_and_says_so(dab, tmp_path, found):
    from heatproof.wsi.regions import find_regions

    write_slide(tmp_path / "negative.tiff", (1500, 1300), spots=0, seed=4)
    with open_slide(tmp_path / "negative.tiff") as negative:
        cold = explain_slide(prepare(dab, negative, "DAB-positive", mpp=MPP, side=SIDE), tmp_path / "run")
    assert cold.mean() < -1
    hot = values_of(found)
    mild = values_of(cold)
    assert np.nansum(mild.clip(0)) / np.isfinite(mild).sum() < 0.02 * np.nansum(hot.clip(0)) / np.isfinite(hot).sum()
    assert sum(region.area for region in find_regions(cold)) < 0.02 * cold.tissue.area


def contents(folder):
    files = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(slide, dab, tmp_path):
    class KilledError(Exception):
        pass

    calls = 0

    def kill(_):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KilledError

    ready = prepare(dab, slide, "DAB-positive", mpp=MPP, side=SIDE, batch_size=2)
    with pytest.raises(KilledError):
        explain_slide(ready, tmp_path / "killed", advance=kill)
    with (tmp_path / "killed" / "run" / "journal.jsonl").open("a") as journal:
        journal.write('{"batch": 7, "no')  # the line that was being written
    seen = []
    explain_slide(ready, tmp_path / "killed", advance=seen.append)
    assert seen[0] == 2 * ready.batch_size  # the batches that were done are not run again
    assert sum(seen) == len(ready.plan.tiles)
    explain_slide(ready, tmp_path / "whole")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")


def test_a_folder_with_another_run_is_refused(slide, dab, found):
    ready = prepare(dab, slide, "DAB-negative", mpp=MPP, side=SIDE)
    with pytest.raises(UsageError, match=r"holds a run with another bias, target; choose another folder"):
        explain_slide(ready, found.folder)


def test_unreadable_tiles_are_marked_and_counted_and_the_rest_is_done(slide, dab, tmp_path, found, monkeypatch):
    ready = prepare(dab, slide, "DAB-positive", mpp=MPP, side=SIDE)
    read, broken = type(slide.reader).read, []

    def fails_once(self, level, x, y, width, height):
        if not broken or broken == [(x, y)]:
            broken.append((x, y))
            raise Unreadable("JPEG data is corrupt")
        return read(self, level, x, y, width, height)

    monkeypatch.setattr(type(slide.reader), "read", fails_once)
    partial = explain_slide(ready, tmp_path)
    assert [tile.problem for tile in partial.unreadable] == ["JPEG data is corrupt"]
    assert len(partial.tiles) == len(found.tiles)
    missing = np.isfinite(values_of(found)) & ~np.isfinite(values_of(partial))
    assert 0 < missing.sum() <= (SIDE // 4) ** 2
    kept = np.isfinite(values_of(partial))
    np.testing.assert_array_equal(values_of(partial)[kept], values_of(found)[kept])


def test_a_network_with_several_classes_needs_a_target(slide, dab):
    with pytest.raises(TargetError, match="has 2 classes; name the one to explain over the whole slide with --target"):
        prepare(dab, slide, mpp=MPP)


def test_a_model_that_wants_finer_pixels_than_the_slide_has_is_refused(slide, dab):
    with pytest.raises(InputError, match=r"wants 0\.25 microns per pixel, but planted\.tiff was scanned at 0\.5"):
        prepare(dab, slide, "DAB-positive", mpp=0.25)


def test_the_callers_network_stays_as_it_was(slide, dab):
    before = {name: value.clone() for name, value in dab.net.state_dict().items()}
    prepare(dab, slide, "DAB-positive", mpp=MPP)
    assert all(torch.equal(value, before[name]) for name, value in dab.net.state_dict().items())
    assert not any(m._forward_hooks for m in dab.net.modules())
