"""Painting over the strongest region lowers the score by what the whole picture says, and more than elsewhere."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from tests.wsi.conftest import MPP, SIDE

from heatproof.wsi import prepare
from heatproof.wsi.masking import Painter, mask_region
from heatproof.wsi.regions import find_regions


@pytest.fixture(scope="module")
def ready(slide, dab):
    return prepare(dab, slide, "DAB-positive", mpp=MPP, side=SIDE)


def test_the_fall_is_that_of_the_whole_picture(ready, found, slide, dab):
    (region,) = find_regions(found, top=1)
    painter = Painter(ready, found)
    rings = [polygon[0] for polygon in region.outlines]
    width, height = slide.size_at(MPP)
    whole = slide.read(0, 0, width // 4 * 4, height // 4 * 4, MPP)
    painted = Image.fromarray(whole)
    for ring in rings:
        ImageDraw.Draw(painted).polygon([tuple(p / 2) for p in ring], fill=painter.color)
    seen = np.isfinite(np.asarray(found.canvas.level(0)[:]))[: height // 4, : width // 4]
    means = []
    for picture in (whole, np.asarray(painted)):
        with torch.no_grad():
            features = dab.net.features(ready.network.batch([picture]).args[0])[0]
            means.append(float(torch.einsum("k,khw->hw", dab.net.head.weight[1], features)[seen].double().mean()))
    assert painter.drop(rings) == pytest.approx(means[0] - means[1], rel=1e-3)
    assert means[0] - means[1] > 0.05


def test_no_other_place_counts_as_much(ready, found):
    (region,) = find_regions(found, top=1)
    answer = mask_region(ready, found, region, controls=4, seed=1)
    assert len(answer.drops_elsewhere) == 4
    assert answer.drop > 2 * max(answer.drops_elsewhere)  # one of them lies half on the other spot
    assert answer.as_large == 0
    assert answer.told()["verdict"].startswith("none")
