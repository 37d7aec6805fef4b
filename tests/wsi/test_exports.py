"""What is written is what the programs that read it see: values, places, lengths and codes."""

import csv
import json
import subprocess
from shutil import which

import highdicom
import numpy as np
import pydicom
import pytest
import shapely.geometry
import tifffile
import zarr
from PIL import Image

from heatproof.report.dicom_codes import quantity
from heatproof.wsi.exports import chosen
from heatproof.wsi.exports.dicom_pm import PADDING
from heatproof.wsi.files import write_results
from heatproof.wsi.regions import area_of, find_regions, iso_contours


@pytest.fixture(scope="module")
def regions(found):
    return find_regions(found, top=5)


@pytest.fixture(scope="module")
def written(found, regions):
    return write_results(found, regions, chosen(["all"]))


def values_of(found):
    return np.asarray(found.canvas.level(0)[:])


def test_regions_cover_what_is_above_the_level(found):
    regions = find_regions(found)
    values = values_of(found).astype(np.float64)
    square = (found.canvas.microns / 1000) ** 2
    above = values > found.level
    assert sum(r.area for r in regions) == pytest.approx(above.sum() * square)
    assert sum(r.mass for r in regions) == pytest.approx(values[above].sum() * square, rel=1e-5)
    assert sum(r.share for r in regions) == pytest.approx(1, rel=1e-5)  # the level is 0 here
    assert [r.mass for r in regions] == sorted((r.mass for r in regions), reverse=True)
    assert regions[0].peak == pytest.approx(max(r.peak for r in regions if r.rank == 1))


def test_outlines_have_the_area_that_is_stated(found, regions):
    for region in regions:
        (rings,) = region.outlines
        polygon = shapely.geometry.Polygon(rings[0], rings[1:])
        assert polygon.is_valid
        # corners are cut by half a position
        assert polygon.area * 0.25e-6 == pytest.approx(region.area, rel=0.02)
        x, y = region.at
        assert polygon.contains(shapely.geometry.Point(x, y))


def test_iso_contours_enclose_the_places_above_their_level(found):
    lines = iso_contours(found, [5.0, 20.0])
    step = found.pixels_per_position()[0]
    for level, rings in lines.items():
        enclosed = abs(sum(area_of(ring) for ring in rings)) / step**2
        assert enclosed == pytest.approx((values_of(found) > level).sum(), rel=0.15)


def test_ome_tiff_holds_the_values_and_their_size(found, written):
    with tifffile.TiffFile(found.folder / "map.ome.tif") as tiff:
        assert tiff.is_ome
        series = tiff.series[0]
        assert [level.shape for level in series.levels] == [
            found.canvas.level(n).shape for n in range(found.canvas.levels)
        ]
        np.testing.assert_array_equal(series.asarray(), values_of(found))
        np.testing.assert_array_equal(series.levels[1].asarray(), found.canvas.level(1)[:])
        assert 'PhysicalSizeX="4.0"' in tiff.ome_metadata
    import tiffslide

    with tiffslide.TiffSlide(found.folder / "map.ome.tif") as slide:
        assert slide.level_count == found.canvas.levels


def test_the_same_map_gives_the_same_ome_tiff(found, written):
    before = (found.folder / "map.ome.tif").read_bytes()
    write_results(found, find_regions(found, top=5), chosen(["ometiff"]))
    assert (found.folder / "map.ome.tif").read_bytes() == before
    write_results(found, find_regions(found, top=5), chosen(["all"]))


def test_ome_zarr_is_a_pyramid_of_means(found):
    group = zarr.open_group(found.canvas.path, mode="r")
    (image,) = group.attrs["ome"]["multiscales"]
    first, second = (d["coordinateTransformations"] for d in image["datasets"][:2])
    assert first[0]["scale"] == [4.0, 4.0]
    assert second[0]["scale"] == [8.0, 8.0]
    assert second[1]["translation"] == [2.0, 2.0]
    fine, coarse = group["0"][:], group["1"][:]
    assert np.isfinite(fine).any()
    for row, column in [(40, 60), (30, 100), (64, 80)]:
        block = fine[2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
        expected = np.mean(block[np.isfinite(block)]) if np.isfinite(block).any() else np.nan
        np.testing.assert_allclose(coarse[row, column], expected, rtol=1e-6)


def test_geojson_is_what_qupath_reads(found, regions, written):
    told = json.loads((found.folder / "map.geojson").read_text())
    kinds = [f["properties"]["objectType"] for f in told["features"]]
    assert kinds.count("annotation") == len(regions)
    assert 0 < kinds.count("tile") <= 20_000
    first = told["features"][0]
    polygon = shapely.geometry.shape(first["geometry"])
    assert polygon.is_valid
    assert first["properties"]["measurements"]["Area mm^2"] == pytest.approx(polygon.area * 0.25e-6, rel=0.02)
    assert first["properties"]["classification"]["name"] == "DAB-positive"
    assert len({f["id"] for f in told["features"]}) == len(told["features"])
    tile = next(f for f in told["features"] if f["properties"]["objectType"] == "tile")
    x, y = tile["geometry"]["coordinates"][0][0]
    side = tile["geometry"]["coordinates"][0][1][0] - x
    number = round(np.log2(side / found.pixels_per_position()[0]))
    value = found.canvas.level(number)[round(y / side), round(x / side)]
    assert tile["properties"]["measurements"]["Evidence"] == pytest.approx(float(value))


def test_deepzoom_has_every_tile_of_every_level(found, written):
    text = (found.folder / "overlay.dzi").read_text()
    width, height = (int(text.split(f'{name}="')[1].split('"')[0]) for name in ("Width", "Height"))
    levels = sorted(int(p.name) for p in (found.folder / "overlay_files").iterdir())
    assert levels == list(range(int(np.ceil(np.log2(max(width, height)))) + 1))
    total = [0, 0]
    for file in (found.folder / "overlay_files" / str(levels[-1])).iterdir():
        column, row = map(int, file.stem.split("_"))
        with Image.open(file) as tile:
            total = [max(total[0], column * 512 + tile.width), max(total[1], row * 512 + tile.height)]
    assert total == [width, height]


def test_tables_and_loupes(found, regions, written):
    with (found.folder / "regions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["area_mm2"]) for row in rows] == [r.area for r in regions]
    assert json.loads((found.folder / "regions.json").read_text())[0]["evidence_mass"] == regions[0].mass
    with Image.open(found.folder / "regions" / "01.png") as plain:
        expected = found.slide.read(round(regions[0].at[0]) - 256, round(regions[0].at[1]) - 256, 512, 512, 0.5)
        np.testing.assert_array_equal(np.asarray(plain)[:400], expected[:400])  # the scale bar is below
    manifest = json.loads((found.folder / "slide.json").read_text())
    assert manifest["slide_score"] == pytest.approx(np.nanmean(values_of(found).astype(float)) + manifest["bias"])
    assert set(manifest["files"]) == set(written.files)
    assert all((found.folder / name).exists() for name in written.files)


def test_parametric_map_is_read_back_with_its_values_and_place(found, written):
    files = sorted((found.folder / "dicom_pm").glob("*.dcm"))
    assert len(files) == found.canvas.levels
    image = highdicom.imread(files[0])
    whole = image.get_total_pixel_matrix(apply_real_world_transform=False)
    values = values_of(found)
    np.testing.assert_array_equal(whole, np.where(np.isfinite(values), values, np.float32(PADDING)))
    told = pydicom.dcmread(files[0])
    assert told.ContentLabel == "HEATMAP"
    (mapping,) = told.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    code = mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0]
    assert (code.CodeValue, code.CodingSchemeDesignator) == ("130403", "DCM")
    assert code.CodeMeaning == "Gradient-weighted class activation"
    spacing = told.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    assert [float(s) for s in spacing] == [0.004, 0.004]
    origin = told.TotalPixelMatrixOriginSequence[0]  # mm; half a position minus half a pixel from the slide's corner
    assert float(origin.XOffsetInSlideCoordinateSystem) == pytest.approx(2100 * 0.0005 - (0.004 - 0.0005) / 2, abs=1e-6)
    assert float(origin.YOffsetInSlideCoordinateSystem) == pytest.approx(2500 * 0.0005 - (0.004 - 0.0005) / 2, abs=1e-6)
    pyramid = {pydicom.dcmread(file).PyramidUID for file in files}
    assert len(pyramid) == 1


def test_segmentation_is_read_back(found, written):
    seg = highdicom.seg.segread(found.folder / "regions.seg.dcm")
    mask = seg.get_total_pixel_matrix(combine_segments=True)
    np.testing.assert_array_equal(mask.astype(bool), values_of(found) > found.level)


@pytest.mark.skipif(which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")
def test_the_standards_own_checker_finds_no_error(found, written):
    for file in (found.folder / "dicom_pm" / "level_0.dcm", found.folder / "regions.seg.dcm"):
        told = subprocess.run(["dciodvfy", file], capture_output=True, text=True, check=False).stderr
        assert not [line for line in told.splitlines() if line.startswith("Error")]


@pytest.mark.parametrize(
    ("method", "value"),
    [("gradcam", "130403"), ("hirescam", "130403"), ("cam", "130402"), ("scorecam", "130402"), ("gradient", "130404")],
)
def test_methods_have_the_standards_codes(method, value):
    assert quantity(method).value == value
