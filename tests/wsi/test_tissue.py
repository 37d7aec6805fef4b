"""The tissue mask: planted tissue to the tile, pen marks and glass left out, masks that are given."""

import numpy as np
import pytest
from skimage.data import immunohistochemistry

from heatproof.errors import InputError
from heatproof.inputs.slide import open_slide
from heatproof.synthetic.slides import write_slide
from heatproof.synthetic.slides.plant import TILE
from heatproof.wsi.tissue import everything, find_tissue, given, pen_marks


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    return write_slide(tmp_path_factory.mktemp("t") / "marked.tiff", (3001, 2500), pen=True, seed=2)


def test_the_mask_is_the_planted_tissue_without_the_pen(marked):
    with open_slide(marked.path) as slide:
        tissue = find_tissue(slide)
    found = tissue.over(0.0, 0.0, TILE * 0.5, marked.kinds.shape)
    np.testing.assert_array_equal(found, marked.tissue)
    assert tissue.area == pytest.approx(marked.tissue.sum() * (TILE * 0.0005) ** 2, rel=0.05)


def test_no_stain_is_taken_for_pen():
    assert pen_marks(immunohistochemistry()).mean() == 0


def test_a_slide_without_tissue_is_refused(tmp_path):
    write_slide(tmp_path / "blank.tiff", (2100, 2100), tissue=False)
    with open_slide(tmp_path / "blank.tiff") as slide, pytest.raises(InputError, match=r"blank\.tiff shows no tissue"):
        find_tissue(slide)


def test_positions_beyond_the_slide_are_no_tissue(marked):
    with open_slide(marked.path) as slide:
        over = everything(slide).over(-100.0, 0.0, 50.0, (2, 100))
    assert not over[:, :2].any()
    assert over[:, 2:32].all()
    assert not over[:, 33:].any()


def test_a_given_mask_lies_over_the_whole_slide(marked):
    mask = np.zeros((250, 300), bool)
    mask[:125, :150] = True
    with open_slide(marked.path) as slide:
        tissue = given(slide, mask, "mask.png")
    quarter = np.prod([side / 1000 * 0.5 for side in (3001, 2500)]) / 4
    assert tissue.area == pytest.approx(quarter, rel=0.02)


def test_a_given_mask_of_another_shape_or_without_tissue_is_refused(marked):
    with open_slide(marked.path) as slide:
        with pytest.raises(InputError, match="their proportions differ"):
            given(slide, np.ones((250, 150), bool), "mask.png")
        with pytest.raises(InputError, match="marks nothing"):
            given(slide, np.zeros((250, 300), bool), "mask.png")
