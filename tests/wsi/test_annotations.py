"""Outlines of the three programs become the same mask, holes and classes kept; what is exported comes back in."""

import json

import numpy as np
import pytest

from heatproof.errors import InputError, UsageError
from heatproof.wsi.annotations import mask_of, read_outlines
from heatproof.wsi.exports import geojson
from heatproof.wsi.plausibility import plausibility
from heatproof.wsi.regions import find_regions

OUTER = [[400, 300], [1200, 300], [1200, 1100], [400, 1100], [400, 300]]
HOLE = [[600, 500], [800, 500], [800, 700], [600, 700], [600, 500]]


def qupath(path):
    shapes = [("Tumor", [OUTER, HOLE]), ("Stroma", [[[0, 0], [200, 0], [200, 200], [0, 200], [0, 0]]])]
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": rings},
            "properties": {"objectType": "annotation", "classification": {"name": name}},
        }
        for name, rings in shapes
    ]
    features.append({"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 1]}, "properties": {}})
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def imagescope(path):
    def region(ring, negative):
        points = "".join(f'<Vertex X="{x}" Y="{y}" Z="0"/>' for x, y in ring[:-1])
        return f'<Region NegativeROA="{negative}"><Vertices>{points}</Vertices></Region>'

    path.write_text(
        f'<Annotations MicronsPerPixel="0.5"><Annotation Name="Tumor"><Regions>{region(HOLE, 1)}{region(OUTER, 0)}'
        "</Regions></Annotation></Annotations>"
    )


def asap(path):
    points = "".join(f'<Coordinate Order="{i}" X="{x}" Y="{y}"/>' for i, (x, y) in reversed([*enumerate(OUTER[:-1])]))
    path.write_text(
        '<ASAP_Annotations><Annotations><Annotation Name="1" Type="Polygon" PartOfGroup="Tumor"><Coordinates>'
        f"{points}</Coordinates></Annotation></Annotations></ASAP_Annotations>"
    )


@pytest.mark.parametrize(
    ("write", "name", "hole"), [(qupath, "a.geojson", 1), (imagescope, "a.xml", 1), (asap, "b.xml", 0)]
)
def test_outlines_become_masks(tmp_path, slide, write, name, hole):
    write(tmp_path / name)
    mask = mask_of(read_outlines(tmp_path / name), slide, 4.0, ["Tumor"])
    expected = np.zeros(mask.shape, bool)
    expected[37:138, 50:150] = True  # 8 pixels of the finest level each
    if hole:
        expected[62:88, 75:100] = False
    assert (mask != expected).mean() < 0.01
    assert mask.sum() * 64 == pytest.approx(800**2 - hole * 200**2, rel=0.03)


def test_classes_are_told_apart(tmp_path, slide):
    qupath(tmp_path / "a.geojson")
    outlines = read_outlines(tmp_path / "a.geojson")
    both, tumor = (mask_of(outlines, slide, 4.0, labels) for labels in ([], ["Tumor"]))
    assert (both & ~tumor).sum() * 64 == pytest.approx(200**2, rel=0.1)
    with pytest.raises(UsageError, match="No area is outlined as 'Tumour'; did you mean 'Tumor'"):
        mask_of(outlines, slide, 4.0, ["Tumour"])


def test_exported_regions_come_back_as_outlines_that_hold_the_evidence(found, slide, tmp_path):
    geojson.export(found, find_regions(found, top=100), tmp_path)
    outlines = [one for one in read_outlines(tmp_path / "map.geojson") if one.label == "DAB-positive"]
    mask = mask_of(outlines, slide, 4.0)
    answer = plausibility(found, mask, 4.0, "DAB-positive")
    assert answer["share_of_evidence"] > 0.9
    assert answer["peak_inside"]
    assert answer["times_chance"] == pytest.approx(answer["share_of_evidence"] / answer["share_of_tissue"])
    everywhere = plausibility(found, np.ones_like(mask), 4.0, "all")
    assert (everywhere["share_of_evidence"], everywhere["share_of_tissue"]) == (1, 1)


def test_files_that_outline_nothing_are_refused(tmp_path, slide):
    (tmp_path / "a.json").write_text("no json")
    (tmp_path / "b.xml").write_text("<Slide/>")
    (tmp_path / "c.geojson").write_text('{"type": "FeatureCollection", "features": []}')
    for name, sentence in [("a.json", "is not JSON"), ("b.xml", "root <Slide>"), ("c.geojson", "outlines no area")]:
        with pytest.raises(InputError, match=sentence):
            read_outlines(tmp_path / name)
    with pytest.raises(InputError, match="do not exist"):
        read_outlines(tmp_path / "d.xml")
    far = {"type": "Polygon", "coordinates": [[[9e5, 9e5], [9.1e5, 9e5], [9e5, 9.1e5], [9e5, 9e5]]]}
    (tmp_path / "e.geojson").write_text(json.dumps({"type": "Feature", "geometry": far, "properties": {}}))
    with pytest.raises(InputError, match=r"The outlines lie outside of planted\.tiff"):
        mask_of(read_outlines(tmp_path / "e.geojson"), slide, 4.0)
