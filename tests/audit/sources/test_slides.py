"""Tiles of slides: which they are, what they are called, and an audit over a cohort."""

import csv
import hashlib
import json
import pickle

import numpy as np
import pytest

import heatproof as hp
from heatproof.audit.entry import Roles
from heatproof.audit.sources import open_source
from heatproof.errors import InputError
from heatproof.inputs.slide import Unreadable, open_slide
from heatproof.synthetic.slides import write_slide
from heatproof.synthetic.slides.plant import TILE

SIDE, MPP = 64, 1.0  # a planted tile of 256 pixels at 0.5 microns is two by two of these
POSITIVE = "DAB-positive"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Four slides of two patients with every stained tile outlined, one without outlines, one that is broken."""
    folder = tmp_path_factory.mktemp("cohort")
    rows, planted = [("slide", "outlines", "patient_id", "mpp", "tile", "site")], {}
    for number in range(5):
        name = f"s{number}.tiff"
        planted[name] = write_slide(folder / name, (2048, 2048), seed=number, spots=3 if number < 4 else 0)
        if number < 4:
            (folder / f"{number}.geojson").write_text(json.dumps(outlined(planted[name].stained)))
        rows.append((name, f"{number}.geojson" if number < 4 else "", f"p{number // 2}", MPP, SIDE, "AB"[number % 2]))
    (folder / "broken.tiff").write_bytes(b"II*\0 and no more")
    rows.append(("broken.tiff", "", "p9", MPP, SIDE, "A"))
    with (folder / "slides.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return folder / "slides.csv", planted


def outlined(stained):
    rings = [
        [[x * TILE, y * TILE], [(x + 1) * TILE, y * TILE], [(x + 1) * TILE, (y + 1) * TILE], [x * TILE, (y + 1) * TILE]]
        for y, x in np.argwhere(stained).tolist()
    ]
    return {
        "type": "FeatureCollection",
        "features": [
            {
                "type": "Feature",
                "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
                "properties": {"classification": {"name": POSITIVE}},
            }
            for ring in rings
        ],
    }


def source_of(cohort):
    return open_source(str(cohort[0]), Roles(annotation="outlines"))


def test_tiles_are_the_tissue_and_carry_the_class_that_is_outlined(cohort):
    source = source_of(cohort)
    entries = list(source)
    assert source.kind == "slides"
    assert source.columns == ("site", "slide")
    assert entries == list(source) == list(source_of(cohort))
    assert len({entry.id for entry in entries}) == len(entries)
    for name, planted in cohort[1].items():
        mine = [entry for entry in entries if entry.columns["slide"] == name]
        found = np.zeros((16, 16), int)
        for entry in mine:
            x, y = map(int, entry.id.rpartition("@")[2].split(","))
            found[y // SIDE, x // SIDE] = 2 if entry.label == POSITIVE else 1
            assert entry.label in ((POSITIVE, "other") if name != "s4.tiff" else (None,))
            assert entry.cluster == f"p{int(name[1]) // 2}"
        tissue, stained = (np.kron(one, np.ones((2, 2), int)) > 0 for one in (planted.tissue, planted.stained))
        assert ((found > 0) == tissue).mean() > 0.97  # the edge of the tissue is smoothed
        assert np.array_equal(found == 2, stained & (found > 0))


def test_reading_gives_the_pixels_of_the_slide_at_the_resolution_asked_for(cohort):
    source = source_of(cohort)
    entry = list(source)[7]
    one, digest = pickle.loads(pickle.dumps(source)).read(entry)
    x, y = map(int, entry.id.rpartition("@")[2].split(","))
    with open_slide(cohort[0].parent / "s0.tiff") as slide:
        pixels = slide.read(x, y, SIDE, SIDE, MPP)
    assert (one.name, one.size, one.picture) == (entry.id, (SIDE, SIDE), True)
    assert np.array_equal((one.data * 255).round().byte().permute(1, 2, 0).numpy(), pixels)
    assert digest == hashlib.sha256(pixels.tobytes()).hexdigest()


def test_outlines_become_masks_of_tiles(cohort):
    source = source_of(cohort)
    for entry in source:
        mask = source.annotation(entry)
        assert (mask is None) == (entry.label != POSITIVE)
        assert mask is None or mask.shape == (SIDE, SIDE)
        assert mask is None or float(mask.float().mean()) > 0.95


def test_a_slide_that_cannot_be_read_is_one_failure(cohort):
    source = source_of(cohort)
    (entry,) = (entry for entry in source if entry.id == "broken.tiff")
    assert set(entry.columns) == set(source.columns)
    with pytest.raises(InputError, match=r"^broken\.tiff is truncated or broken"):
        source.read(entry)


@pytest.mark.parametrize(
    ("column", "value", "sentence"),
    [
        ("mpp", "", "nothing in the column mpp"),
        ("mpp", "fine", "'fine' in the column mpp"),
        ("mpp", 0.1, "scanned at 0.5"),
    ],
)
def test_a_row_without_what_it_takes_is_one_failure(cohort, tmp_path, column, value, sentence):
    file = tmp_path / "slides.csv"
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows([("slide", column), (cohort[0].parent / "s0.tiff", value), ("none.svs", 1)])
    source = open_source(str(file))
    one, other = source
    with pytest.raises(InputError, match=sentence):
        source.read(one)
    with pytest.raises(InputError, match=r"none\.svs does not exist"):
        source.read(other)


def write(file, rows):
    with file.open("w", newline="") as opened:
        csv.writer(opened).writerows(rows)
    return str(file)


def test_a_table_of_ready_pictures_stays_one_though_it_says_mpp(tmp_path):
    assert open_source(write(tmp_path / "tiles.csv", [("path", "label", "mpp"), ("t.png", "x", 0.5)])).kind == "table"


def test_slides_with_nothing_to_look_at_are_failures_and_not_forgotten(cohort, tmp_path):
    slide = cohort[0].parent / "s0.tiff"
    write_slide(tmp_path / "blank.tiff", (1024, 1024), tissue=False)
    rows = [
        ("slide", "mpp", "tile"),
        (slide, 1, 4096),
        (slide, 224, 0.5),
        (slide, "inf", 64),
        (tmp_path / "blank.tiff", 1, 64),
    ]
    source = open_source(write(tmp_path / "slides.csv", rows))
    sentences = [
        "no tile of 4096 pixels",
        "tiles of 0.5 pixels",
        "'inf' in the column mpp|inf in the column mpp",
        "shows no tissue",
    ]
    for entry, sentence in zip(source, sentences, strict=True):
        with pytest.raises(InputError, match=sentence) as told:
            source.read(entry)
        assert str(tmp_path) not in str(told.value)
        assert "--" not in str(told.value)


def test_a_stray_or_nameless_outline_does_not_lose_the_slide_and_a_mended_file_is_read_anew(cohort, tmp_path):
    slide, stained = cohort[0].parent / "s0.tiff", outlined(cohort[1]["s0.tiff"].stained)
    far = outlined(np.array([[False] * 40] * 39 + [[False] * 39 + [True]]))["features"]
    far[0]["properties"] = {"classification": {"name": "Artifact"}}
    nameless = json.loads(json.dumps(stained["features"][:1]))
    nameless[0]["properties"] = {}
    outlines = tmp_path / "s0.geojson"
    rows = [("slide", "geojson", "mpp", "tile"), (slide, outlines, 1, 64)]
    prints, labels = [], []
    for features in (far, [*stained["features"], *far, *nameless]):
        outlines.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
        source = open_source(write(tmp_path / "slides.csv", rows))
        prints.append(source.fingerprint())
        labels.append({entry.label for entry in source})
    assert prints[0] != prints[1]
    assert labels == [{None}, {POSITIVE, "other"}]


def test_what_belongs_together_may_be_told_to_be_the_slide(cohort):
    source = open_source(str(cohort[0]), Roles(annotation="outlines", cluster="slide"))
    again = open_source(str(cohort[0]), source.roles)
    for one in (source, again):
        assert one.roles.cluster == "slide"
        assert {entry.cluster for entry in one} == {*cohort[1], None}  # what cannot be read belongs to nothing


def test_a_column_of_that_name_is_the_users(cohort, tmp_path):
    rows = [("path", "slide", "mpp", "tile"), (cohort[0].parent / "s0.tiff", "CASE-1", 1, 256)]
    source = open_source(write(tmp_path / "slides.csv", rows), Roles(cluster="slide"))
    assert source.columns == ("slide",)
    assert {entry.cluster for entry in source} == {"CASE-1"}


def test_a_broken_tile_loses_no_other_tile_to_any_thread(tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    import tifffile

    whole, broken = tmp_path / "whole.tiff", tmp_path / "broken.tiff"
    pixels = np.random.default_rng(0).integers(0, 255, (512, 1024, 3), dtype=np.uint8)
    tifffile.imwrite(
        whole,
        pixels,
        tile=(256, 256),
        compression="jpeg",
        photometric="ycbcr",
        resolution=(20000, 20000),
        resolutionunit="CENTIMETER",
    )
    data = bytearray(whole.read_bytes())
    with tifffile.TiffFile(whole) as file:
        place, count = file.pages[0].dataoffsets[5], file.pages[0].databytecounts[5]
    data[place : place + count] = bytes(count)
    broken.write_bytes(data)
    places = [(x, y) for y in (0, 256) for x in range(0, 1024, 256)] * 8
    with open_slide(broken, 0.5) as slide, ThreadPoolExecutor(4) as pool:

        def ask(place):
            try:
                slide.read(*place, 256, 256, 0.5)
            except Unreadable:
                return place
            return None

        assert {one for one in pool.map(ask, places) if one} <= {(256, 256)}


def test_a_cohort_is_audited_by_patients(cohort, tmp_path):
    run = hp.audit(
        hp.load("bundled:dab"),
        str(cohort[0]),
        tmp_path / "run",
        ["plausibility"],
        annotations="outlines",
        subgroups=["site"],
        label_map={"other": "DAB-negative"},
    )
    assert run.finished
    assert run.plan.data.cluster_name == "patient_id"
    assert [row["id"] for row in run.failures] == ["broken.tiff"]
    assert run.performance.whole.measures["accuracy"].estimate > 0.9
    (answer,) = (one for one in run.answers if one.primary)
    assert answer.result.verdict == "inconclusive", "three patients are too few, however many tiles they have"
