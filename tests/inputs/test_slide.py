"""Slides are read by microns per pixel, without seams, and what cannot be read is refused in a sentence."""

import numpy as np
import pytest
import tifffile

from heatproof.errors import HeatproofWarning, InputError, UsageError
from heatproof.inputs.readers._reader import Unreadable, level_scale
from heatproof.inputs.slide import open_slide
from heatproof.synthetic.slides import write_slide


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_slide(tmp_path_factory.mktemp("slide") / "slide.tiff", (2100, 1500), seed=1).path


@pytest.fixture(scope="module")
def slide(file):
    with open_slide(file) as opened:
        yield opened


def test_size_and_resolution_are_the_files(slide):
    assert slide.size == (2100, 1500)
    assert slide.mpp == (0.5, 0.5)
    assert slide.size_at(1.0) == (1050, 750)
    assert slide.millimeters == pytest.approx((1.05, 0.75))


def test_the_finest_level_is_read_as_openslide_reads_it(slide, file):
    import openslide

    with openslide.OpenSlide(str(file)) as other:
        expected = np.asarray(other.read_region((800, 600), 0, (300, 200)).convert("RGB"))
    np.testing.assert_array_equal(slide.read(800, 600, 300, 200, 0.5), expected)


@pytest.mark.parametrize("mpp", [0.5, 0.7, 1.0, 1.3, 2.0])
def test_a_region_does_not_depend_on_what_it_is_read_with(slide, mpp):
    whole = slide.read(100, 80, 260, 140, mpp).astype(int)
    parts = np.hstack([slide.read(100, 80, 97, 140, mpp), slide.read(197, 80, 163, 140, mpp)]).astype(int)
    assert np.abs(whole - parts).max() <= 1  # Pillow rounds to 8 bits after each axis


def test_a_side_that_does_not_halve_evenly_is_read_as_consistently(tmp_path):
    planted = write_slide(tmp_path / "odd.tiff", (2101, 1501), seed=1)
    with open_slide(planted.path) as slide:
        whole = slide.read(100, 80, 260, 140, 1.0).astype(int)
        parts = np.hstack([slide.read(100, 80, 97, 140, 1.0), slide.read(197, 80, 163, 140, 1.0)]).astype(int)
    np.testing.assert_array_equal(whole, parts)


def test_a_place_stays_where_it_is_at_every_resolution(tmp_path):
    picture = np.full((1200, 1600, 3), 255, np.uint8)
    picture[700:740, 1000:1060] = (200, 0, 0)
    tifffile.imwrite(tmp_path / "spot.tiff", picture, tile=(256, 256), photometric="rgb")
    with open_slide(tmp_path / "spot.tiff", mpp=0.5) as slide:
        for mpp in (0.5, 0.8, 1.0, 1.7, 4.0):
            red = 255 - slide.read(0, 0, *slide.size_at(mpp), mpp)[..., 1].astype(float)
            y, x = (np.average(np.arange(n) + 0.5, weights=red.sum(1 - a)) for a, n in enumerate(red.shape))
            assert (x * mpp / 0.5, y * mpp / 0.5) == pytest.approx((1030, 720), abs=0.2)
            assert red.sum() * (mpp / 0.5) ** 2 == pytest.approx(40 * 60 * 255, rel=0.02)


def test_outside_is_white(slide):
    corner = slide.read(-20, -10, 40, 40, 0.5)
    assert (corner[:10] == 255).all()
    assert (corner[:, :20] == 255).all()
    assert (corner[10:, 20:] < 255).any()
    assert (slide.read(5000, 5000, 10, 10, 0.5) == 255).all()


def test_levels_of_odd_sizes_do_not_drift():
    assert level_scale((4000, 3001), (1000, 751)).y == 4
    assert level_scale((3001, 3001), (1501, 1501)).x == 2
    assert level_scale((1000, 1000), (400, 400)).x == 2.5


def test_an_overview_read_in_parts_is_the_whole(file):
    with open_slide(file, mpp=0.001) as fine:  # so coarse a view of it needs several parts
        assert np.ptp(fine.overview(0.004).astype(int)) > 100
    with open_slide(file) as slide:
        assert slide.overview(4.0).shape == (188, 263, 3)


def test_ome_tiff_is_read_with_its_own_resolution(tmp_path):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (700, 900, 3), np.uint8)
    metadata = {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25, "PhysicalSizeXUnit": "µm"}
    with tifffile.TiffWriter(tmp_path / "s.ome.tif") as writer:
        writer.write(picture, tile=(256, 256), photometric="rgb", metadata=metadata, subifds=1)
        writer.write(picture[::2, ::2], tile=(256, 256), photometric="rgb", subfiletype=1)
    with open_slide(tmp_path / "s.ome.tif") as slide:
        assert slide.mpp == (0.25, 0.25)
        assert slide.reader.levels == ((900, 700), (450, 350))
        np.testing.assert_array_equal(slide.read(10, 20, 50, 40, 0.25), picture[20:60, 10:60])
        np.testing.assert_array_equal(slide.read(10, 20, 50, 40, 0.5), picture[::2, ::2][20:60, 10:60])


@pytest.mark.parametrize("share", [0.3, 0.97])
def test_a_truncated_slide_is_refused(tmp_path, share):
    write_slide(tmp_path / "cut.tiff", (1100, 1100), truncated=share)
    with pytest.raises(InputError, match=r"cut\.tiff is truncated or broken \(.*\); copy it again\."):
        open_slide(tmp_path / "cut.tiff")


def test_a_slide_cut_within_its_tiles_says_how_much_is_missing(tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (1024, 1024, 3), np.uint8)
    tifffile.imwrite(tmp_path / "cut.tiff", picture, tile=(256, 256), photometric="rgb", metadata=None)
    size = (tmp_path / "cut.tiff").stat().st_size
    with (tmp_path / "cut.tiff").open("r+b") as file:
        file.truncate(size - 100_000)
    with pytest.raises(
        InputError, match=rf"its tiles reach to byte [\d,]+, but the file ends at byte {size - 100_000:,}"
    ):
        open_slide(tmp_path / "cut.tiff")


def test_missing_resolution_is_asked_for(tmp_path):
    write_slide(tmp_path / "none.tiff", (1100, 1100), mpp=None)
    with pytest.raises(InputError, match=r"none\.tiff does not say its resolution; give the microns per pixel"):
        open_slide(tmp_path / "none.tiff")
    with open_slide(tmp_path / "none.tiff", mpp=0.25) as slide:
        assert slide.mpp == (0.25, 0.25)


def test_anisotropic_resolution_is_asked_for_and_then_kept(tmp_path):
    planted = write_slide(tmp_path / "flat.tiff", (1100, 1100), mpp=(0.5, 0.25))
    with pytest.raises(InputError, match=r"says 0\.5 microns per pixel across and 0\.25 down"):
        open_slide(planted.path)
    with open_slide(planted.path, mpp=(0.5, 0.25)) as slide:
        assert slide.size_at(0.5) == (1100, 550)


def test_resolution_of_a_picture_program_is_none(tmp_path):
    picture = np.zeros((600, 600, 3), np.uint8)
    tifffile.imwrite(tmp_path / "dpi.tiff", picture, tile=(256, 256), photometric="rgb", resolution=(72, 72))
    with pytest.raises(InputError, match="does not say its resolution"):
        open_slide(tmp_path / "dpi.tiff")


@pytest.mark.parametrize("mpp", [0, -1, float("nan"), (0.5, 0)])
def test_a_senseless_resolution_is_refused(file, mpp):
    with pytest.raises(UsageError, match="it must be above 0"):
        open_slide(file, mpp=mpp)


def test_what_is_no_slide_is_refused(tmp_path):
    (tmp_path / "a.svs").write_text("no slide")
    (tmp_path / "b.svs").touch()
    with pytest.raises(InputError, match=r"a\.svs is not a slide that can be read"):
        open_slide(tmp_path / "a.svs")
    with pytest.raises(InputError, match=r"b\.svs is empty"):
        open_slide(tmp_path / "b.svs")
    with pytest.raises(InputError, match=r"c\.svs does not exist"):
        open_slide(tmp_path / "c.svs")


def test_a_broken_tile_is_unreadable_and_the_next_read_works(tmp_path):
    planted = write_slide(tmp_path / "broken.tiff", (1100, 1100), levels=1)
    data = bytearray(planted.path.read_bytes())
    with tifffile.TiffFile(planted.path) as tiff:
        page = tiff.pages[0]
        place, count = int(page.dataoffsets[0]), int(page.databytecounts[0])
        other = next(i for i, o in enumerate(page.dataoffsets) if o != place)
    data[place : place + count] = b"\0" * count
    planted.path.write_bytes(data)
    with open_slide(planted.path) as slide:
        with pytest.warns(HeatproofWarning, match=r"of the overview of broken\.tiff cannot be decoded"):
            slide.overview(8.0)
        for _ in range(2):
            with pytest.raises(Unreadable, match=r"\w"):
                slide.read(0, 0, 100, 100, 0.5)
            x, y = 256 * (other % 5), 256 * (other // 5)
            assert slide.read(x, y, 100, 100, 0.5).shape == (100, 100, 3)
