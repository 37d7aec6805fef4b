"""DICOM slides: by a file or by their folder, in whatever syntax, never mixed with another slide's files."""

import numpy as np
import pytest
from tests.inputs.dicom_slides import write_dicom_slide

from heatproof.errors import InputError
from heatproof.inputs.slide import open_slide

pytest.importorskip("pydicom")
pytest.importorskip("openslide")
pytest.importorskip("wsidicom")


def picture(seed):
    return np.random.default_rng(seed).integers(0, 255, (700, 900, 3), np.uint8)


@pytest.fixture
def levels():
    fine = picture(0)
    return [fine, fine[::2, ::2].copy(), fine[::4, ::4].copy()]


@pytest.mark.parametrize("rle", [False, True], ids=["plain", "a syntax that OpenSlide does not decode"])
@pytest.mark.parametrize("by", ["file", "folder"])
def test_its_levels_are_read_to_the_byte(tmp_path, levels, rle, by):
    files = write_dicom_slide(tmp_path / "slide", levels, 0.25, rle=rle)
    with open_slide(files[0] if by == "file" else tmp_path / "slide") as slide:
        assert slide.mpp == pytest.approx((0.25, 0.25))
        assert slide.reader.levels == ((900, 700), (450, 350), (225, 175))
        for shrink, level in zip((1, 2, 4), levels, strict=True):
            got = slide.read(10, 20, 150, 140, 0.25 * shrink)
            np.testing.assert_array_equal(got, level[20:160, 10:160])
        outside = slide.read(850, 650, 100, 100, 0.25)
        assert (outside[50:] == 255).all()
        np.testing.assert_array_equal(outside[:50, :50], levels[0][650:, 850:])


@pytest.mark.parametrize("rle", [False, True])
def test_any_of_its_files_stands_for_the_slide_and_a_neighbor_is_left_alone(tmp_path, levels, rle):
    mine = write_dicom_slide(tmp_path, levels, 0.25, rle=rle, name="a")
    write_dicom_slide(tmp_path, [picture(1)], 0.5, rle=rle, name="b")
    with open_slide(mine[1]) as slide:
        assert slide.mpp == pytest.approx((0.25, 0.25))
        np.testing.assert_array_equal(slide.read(0, 0, 900, 700, 0.25), levels[0])


def test_a_folder_with_two_slides_asks_which(tmp_path, levels):
    write_dicom_slide(tmp_path / "two", levels, 0.25, name="a")
    write_dicom_slide(tmp_path / "two", [picture(1)], 0.5, name="b")
    with pytest.raises(
        InputError, match=r"two is not a slide that can be read .*it holds 2 series; name a file of one"
    ):
        open_slide(tmp_path / "two")


def test_a_folder_without_slides_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputError, match="it holds no DICOM file"):
        open_slide(tmp_path)


def test_exports_take_the_header_of_the_finest_level_of_the_same_slide(tmp_path, levels):
    import pydicom

    from heatproof.wsi.exports._dicom import _own_header

    write_dicom_slide(tmp_path, [np.concatenate([levels[0]] * 2)], 0.5, name="a")
    mine = write_dicom_slide(tmp_path, levels, 0.25, name="b")
    (tmp_path / "notes.txt").write_text("nothing")
    for given in mine:
        assert _own_header(given).SOPInstanceUID == pydicom.dcmread(mine[0]).SOPInstanceUID
    assert _own_header(tmp_path) is None  # whose it would be is not to be told
    assert _own_header(tmp_path / "notes.txt") is None
