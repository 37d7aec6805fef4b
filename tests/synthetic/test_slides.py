"""Synthetic slides are small files that OpenSlide reads, with the planted kinds where they are said to be."""

import numpy as np
import openslide
import pytest

from heatproof.errors import UsageError
from heatproof.synthetic.slides import write_slide
from heatproof.synthetic.slides.plant import GLASS, PEN, STAINED, TILE, TISSUE


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return write_slide(tmp_path_factory.mktemp("s") / "a.tiff", (3072, 2560), pen=True, seed=2)


def test_every_tile_shows_its_kind(planted):
    with openslide.OpenSlide(str(planted.path)) as slide:
        whole = np.asarray(slide.read_region((0, 0), 0, slide.dimensions).convert("RGB")).astype(float)
    for row, column in np.ndindex(9, 11):
        tile = whole[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
        red, green, blue = tile.reshape(-1, 3).T
        brown = ((red - blue > 40) & (red > green)).mean()
        match planted.kinds[row, column]:
            case 0:
                assert tile.min() > 225
            case 1:
                assert brown < 0.001
                assert (red < 200).mean() > 0.05  # nuclei
            case 2:
                assert 0.1 < brown < 0.7
            case 3:
                assert (green - red > 60).all()
    assert set(np.unique(planted.kinds)) == {GLASS, TISSUE, STAINED, PEN}


def test_coarser_levels_are_means_of_the_finest(planted):
    with openslide.OpenSlide(str(planted.path)) as slide:
        assert slide.level_dimensions == ((3072, 2560), (1536, 1280), (768, 640))
        fine = np.asarray(slide.read_region((0, 0), 0, (2800, 2400)).convert("RGB")).astype(float)
        coarse = np.asarray(slide.read_region((0, 0), 2, (700, 600)).convert("RGB")).astype(float)
    mean = fine.reshape(600, 4, 700, 4, 3).mean((1, 3))
    assert np.abs(coarse - mean).mean() < 3  # what JPEG loses, twice


def test_equal_tiles_share_their_bytes(tmp_path):
    planted = write_slide(tmp_path / "big.tiff", (16384, 16384), seed=1)
    assert planted.path.stat().st_size < 3_000_000  # as pixels it is 805 MB


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    one, two, other = (write_slide(tmp_path / f"{i}.tiff", (1100, 1100), seed=s) for i, s in enumerate((1, 1, 2)))
    assert one.path.read_bytes() == two.path.read_bytes() != other.path.read_bytes()


def test_a_blank_slide_and_one_level(tmp_path):
    blank = write_slide(tmp_path / "blank.tiff", (2100, 2100), tissue=False, levels=1)
    assert not blank.tissue.any()
    with openslide.OpenSlide(str(blank.path)) as slide:
        assert slide.level_count == 1


def test_a_size_without_room_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"size=\(500, 500\) is too small"):
        write_slide(tmp_path / "a.tiff", (500, 500))
