"""Slides with planted stain, the network that finds it, and one run that many tests look at."""

import pytest

import heatproof
from heatproof.inputs.slide import open_slide
from heatproof.synthetic.slides import write_slide
from heatproof.wsi import explain_slide, prepare

MPP = 1.0  # half the slides' resolution: a quarter of the work, and reading has to resample
SIDE = 240  # small tiles, so that there are many borders


@pytest.fixture(scope="session")
def dab():
    return heatproof.load("bundled:dab")


@pytest.fixture(scope="session")
def planted(tmp_path_factory):
    return write_slide(tmp_path_factory.mktemp("slides") / "planted.tiff", (2500, 2100), seed=3)


@pytest.fixture(scope="session")
def slide(planted):
    with open_slide(planted.path) as opened:
        yield opened


@pytest.fixture(scope="session")
def found(slide, dab, tmp_path_factory):
    ready = prepare(dab, slide, "DAB-positive", mpp=MPP, side=SIDE)
    return explain_slide(ready, tmp_path_factory.mktemp("run"))
