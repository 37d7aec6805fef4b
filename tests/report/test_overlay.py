"""Overlays, pixel by pixel: only what the map says is changed, and nothing is stretched."""

from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pytest
import torch

from heatproof.errors import TargetError, UsageError
from heatproof.inputs.prepare import Preprocess, restore
from heatproof.report.overlay import overlay
from heatproof.report.picture import backdrop
from heatproof.types import Axis, Geometry, Input


def one_hot(grid, position, value=2.0):
    maps = np.zeros(grid, dtype=np.float32)
    maps[position] = value
    return maps


def original(ex):
    return np.moveaxis(np.rint(ex.inputs[0].data.numpy() * 255).astype(np.uint8), 0, -1)


def pixels(ex, **settings):
    return np.asarray(overlay(ex, 0, 0, frame=False, **settings))


@pytest.mark.parametrize("threshold", [0.0, 0.15, 0.5])
def test_a_one_hot_map_changes_exactly_the_pixels_above_the_threshold(explanation, threshold):
    black = np.zeros((3, 49, 63))  # on black every color of the palette is a change
    ex = explanation(one_hot((7, 9), (2, 5)), black)
    field = restore(ex.maps[0, 0], ex.geometries[0]).numpy()
    expected = (field >= threshold * 2.0) & (field > 0)
    assert 0 < expected.sum() < expected.size
    assert np.array_equal((pixels(ex, threshold=threshold) != original(ex)).any(axis=-1), expected)


def test_unexplained_pixels_are_the_inputs_own_bits(explanation):
    ex = explanation(one_hot((6, 8), (0, 0)))
    field = restore(ex.maps[0, 0], ex.geometries[0]).numpy()
    below = field < 0.15 * 2.0
    assert np.array_equal(pixels(ex)[below], original(ex)[below])


def test_every_8_bit_level_survives(explanation):
    levels = np.tile(np.arange(256, dtype=np.float32) / 255, (3, 4, 1))
    ex = explanation(np.zeros((2, 2)), levels)
    assert np.array_equal(pixels(ex)[0, :, 0], np.arange(256))


def test_colors_do_not_depend_on_the_strength_of_other_maps(explanation):
    """Doubling a map doubles the scale, so that the picture stays and only the numbers change."""
    maps = np.random.default_rng(1).normal(size=(6, 8))
    single, double = explanation(maps), explanation(2 * maps)
    assert np.array_equal(pixels(single), pixels(double))
    assert not np.array_equal(pixels(single, vmax=5.0), pixels(double, vmax=5.0))
    assert np.array_equal(pixels(single, vmax=5.0), pixels(double, vmax=10.0))


@pytest.mark.parametrize("size", [(1, 1), (37, 91), (301, 200), (64, 64)])
@pytest.mark.parametrize("crop", [None, (32, 32)])
def test_without_a_frame_it_has_the_original_size(explanation, size, crop):
    data = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    given = Input(data, (Axis("y", "px"), Axis("x", "px")), ("red", "green", "blue"), picture=True)
    geometry = Preprocess(resize=40, crop=crop)(given).geometry
    ex = explanation(one_hot((4, 4), (1, 1)), data, geometry=geometry)
    assert overlay(ex, frame=False).size == size[::-1]


def test_what_was_cropped_away_is_veiled_and_never_colored(explanation):
    geometry = Geometry((40, 60), (40, 40), (1.0, 1.0), (0.0, 10.0))
    gray = np.full((3, 40, 60), 0.5)
    ex = explanation(np.ones((4, 4)), gray, geometry=geometry)
    drawn = pixels(ex)
    outside = np.ones(60, dtype=bool)
    outside[10:50] = False
    veiled = drawn[:, outside]
    assert (veiled == veiled[..., :1]).all()  # gray stays gray: no evidence there
    assert (drawn[:, outside] != 128).any(axis=-1).all()
    inside = drawn[:, ~outside]
    assert (inside == inside[0, 0]).all()
    assert "Hatched: not seen by the model." in overlay(ex).info["caption"]


@pytest.mark.parametrize(
    ("maps", "says"),
    [
        (np.zeros((4, 4)), "The map is zero everywhere: no positive evidence for tabby cat, and none against it."),
        (np.full((4, 4), -2.0), "No positive evidence for tabby cat: all evidence is against it (−2 to −2)."),
        (-one_hot((4, 4), (1, 1)), "No positive evidence for tabby cat, only evidence against it (−2 to 0)."),
        (one_hot((4, 4), (1, 1), np.nan), "The map is not finite (NaN or infinite): it is not drawn."),
        (one_hot((4, 4), (1, 1), np.inf), "The map is not finite (NaN or infinite): it is not drawn."),
    ],
)
def test_a_map_without_positive_evidence_leaves_the_picture_as_it_is(explanation, maps, says):
    ex = explanation(maps)
    assert np.array_equal(pixels(ex), original(ex))
    assert np.array_equal(pixels(ex, vmax=1.0), original(ex))
    assert overlay(ex).info["caption"].splitlines()[1] == says


def test_a_map_flagged_as_blank_is_not_drawn(explanation):
    ex = explanation(one_hot((4, 4), (1, 1), 1e-9), flags=((("blank",),),))
    assert np.array_equal(pixels(ex), original(ex))
    assert np.array_equal(pixels(ex, signed=True), original(ex))
    assert "flagged as blank" in overlay(ex).info["caption"]


def test_signed_shows_evidence_against_and_leaves_zero_alone(explanation):
    maps = np.zeros((1, 3))
    maps[0] = [-2.0, 0.0, 1.0]
    ex = explanation(maps, np.full((3, 3, 9), 0.5))
    drawn = pixels(ex, signed=True, opacity=1.0)
    assert drawn[0, 0].tolist() == [8, 81, 156]  # the end of the blue arm: the scale is symmetric about zero
    assert drawn[0, 4].tolist() == [128, 128, 128]
    assert drawn[0, 8].tolist() == [253, 141, 60]  # half of the orange arm
    negative = explanation(np.full((4, 4), -2.0))
    assert not np.array_equal(pixels(negative, signed=True), original(negative))
    assert "All evidence is against tabby cat." in overlay(negative, signed=True).info["caption"]


def test_a_constant_map_says_that_it_points_nowhere(explanation):
    assert "The map is constant: it points at no place." in overlay(explanation(np.ones((4, 4)))).info["caption"]


def test_evidence_in_the_padding_is_told(explanation):
    geometry = Geometry((20, 40), (40, 40), (1.0, 1.0), (-10.0, 0.0))
    padded = explanation(one_hot((4, 4), (0, 2)), size=(20, 40), geometry=geometry)
    assert "strongest evidence (2) lies in the padding" in overlay(padded).info["caption"]
    inside = explanation(one_hot((4, 4), (1, 2)), size=(20, 40), geometry=geometry)
    assert "padding" not in overlay(inside).info["caption"]


def test_the_caption_says_all_that_is_needed_to_read_the_map(explanation):
    geometry = Geometry((300, 200), (150, 50), (0.5, 0.25), (0.0, 0.0))
    axes = (Axis("y", "µm", np.arange(300) * 0.5), Axis("x", "µm", np.arange(200) * 0.5))
    ex = explanation(one_hot((15, 5), (3, 3)), size=(300, 200), geometry=geometry, axes=axes)
    assert overlay(ex).info["caption"].splitlines() == [
        "tabby cat: score 11.2",
        "gradcam at layer4, bundled:test; input: input 0",
        # 10 model samples a position = 20 and 40 samples of the original = 10 and 20 µm
        "Resolution: 15 × 5 positions, each 10 × 20 µm of the input.",
        "No color below 0.3 (15% of the scale).",
        "Color bar: upper half as on white, lower half as on black (60% opaque).",
    ]


def test_an_assumed_geometry_is_told(explanation):
    geometry = Geometry((48, 64), (48, 64), (1.0, 1.0), (0.0, 0.0), exact=False)
    assert "Place assumed" in overlay(explanation(np.eye(4), geometry=geometry)).info["caption"]


def test_a_fixed_scale_is_told_with_the_maps_own_maximum(explanation):
    ex = explanation(one_hot((4, 4), (1, 1)))
    assert "Scale fixed at 8; this map reaches 2." in overlay(ex, vmax=8.0).info["caption"]
    assert "beyond it, up to 2, gets the last color" in overlay(ex, vmax=1.0).info["caption"]


@pytest.mark.parametrize("size", [(300, 200), (48, 64), (8, 20), (500, 20)])
def test_the_frame_does_not_touch_the_picture(explanation, size):
    ex = explanation(one_hot((4, 4), (1, 1)), size=size)
    framed, bare = overlay(ex), pixels(ex)
    inside = np.asarray(framed.crop(framed.info["picture_box"]))
    factor = inside.shape[0] // size[0]
    assert np.array_equal(inside, bare.repeat(factor, axis=0).repeat(factor, axis=1))
    assert (f"Picture shown at {factor} × its size." in framed.info["caption"]) == (factor > 1)
    assert (factor > 1) == (max(size) < 160)


def test_what_is_not_a_picture_is_shown_in_a_stated_gray(explanation):
    data = np.stack([np.linspace(0, 200, 101 * 4).reshape(4, 101), np.zeros((4, 101))])
    ex = explanation(np.zeros((2, 2)), data, picture=False)
    # the mean runs from 0 to 100; its 1st and 99th percentiles are 1 and 99
    says = "Gray: the mean of the input's 2 channels, black 1 to white 99 (1st to 99th percentile)."
    assert says in overlay(ex).info["caption"]
    drawn = pixels(ex)
    middle = drawn.reshape(-1, 3)[[0, 201, -1]]
    assert middle[:, 0].tolist() == [0, 127, 255]
    assert (drawn == drawn[..., :1]).all()


def test_samples_that_are_not_finite_are_told():
    data = torch.tensor([[[0.0, float("nan"), 1.0, 2.0]]])
    given = Input(data, (Axis("y"), Axis("x")), ("gray",))
    shown, note = backdrop(given)
    assert shown[0, 1].tolist() == [0, 0, 0]
    assert "1 samples are not finite" in note
    constant, note = backdrop(Input(torch.full((1, 2, 2), 7.0), given.axes, ("gray",)))
    assert (constant == 128).all()
    assert "is 7 almost everywhere" in note


@pytest.mark.parametrize(
    ("index", "target", "settings", "error", "says"),
    [
        (1, 0, {}, UsageError, "no input 1: this explanation holds 1"),
        (-1, 0, {}, UsageError, "no input -1"),
        (0, 2, {}, TargetError, "no target 2: input 0 has 1"),
        (0, 0, {"threshold": 1.0}, UsageError, "threshold=1.0"),
        (0, 0, {"opacity": 0.0}, UsageError, "opacity=0.0"),
        (0, 0, {"vmax": 0.0}, UsageError, "vmax=0.0"),
        (0, 0, {"vmax": float("nan")}, UsageError, "vmax=nan"),
    ],
)
def test_bad_settings_get_a_sentence(explanation, index, target, settings, error, says):
    with pytest.raises(error, match=says):
        overlay(explanation(np.ones((2, 2))), index, target, **settings)


def test_nothing_of_matplotlib_is_changed(explanation):
    before = dict(mpl.rcParams)
    overlay(explanation(np.ones((2, 2))))
    overlay(explanation(np.eye(4)[0], np.zeros((1, 40)), picture=False, axes=[Axis("time", "s")]))
    assert dict(mpl.rcParams) == before


def test_labels_of_any_kind_stay_in_the_frame(explanation):
    name = "line\nbreak\t" + "x" * 500
    ex = explanation(np.eye(4), names=(name,))
    title = overlay(ex).info["caption"].splitlines()[0]
    assert title.startswith("line break xxx")
    assert len(title) < 200


@pytest.mark.parametrize("scale", [1e-60, 1e60])
def test_maps_of_double_precision_keep_their_range(explanation, scale):
    made = explanation([[0.0, 1.0], [0.5, 0.0]])
    image = replace(made, maps=made.maps.double() * scale).overlay(0, frame=False)
    np.testing.assert_array_equal(np.asarray(image), np.asarray(made.overlay(0, frame=False)))
