"""Colors: monotone, neutral at zero, the same for the same evidence."""

import numpy as np
import pytest
from skimage.color import rgb2lab

from heatproof.report.color import Scale, blend, number, palette, veil


def lightness(colors):
    return rgb2lab(colors[None])[0, :, 0]


def test_the_sequential_palette_is_monotone_and_even_in_lightness():
    light = lightness(palette(False))
    assert (np.diff(light) > -0.05).all()  # rounding to 8 bits moves single entries by less than the eye can tell
    steps = np.diff(light[::3])
    assert (steps > 0).all()
    assert steps.max() < 3 * steps.mean()  # no place where a small difference looks large


def test_both_arms_of_the_diverging_palette_darken_evenly_from_neutral():
    light = lightness(palette(True))
    assert len(light) == 257
    assert (np.diff(light[:129]) > 0).all()
    assert (np.diff(light[128:]) < 0).all()
    assert np.abs(light - light[::-1]).max() < 10  # neither sign shouts louder


@pytest.mark.parametrize("signed", [False, True])
def test_a_cached_palette_cannot_be_changed(signed):
    with pytest.raises(ValueError, match="read-only"):
        palette(signed)[0] = 0


def test_colors_of_hand_picked_values():
    scale = Scale(vmax=4.0, threshold=0.25, signed=True)
    colors = scale.colors(np.array([-4.0, 0.0, 4.0, 9.0]))
    assert colors.tolist() == [[8, 81, 156], [247, 247, 247], [166, 54, 3], [166, 54, 3]]
    plain = Scale(vmax=4.0, threshold=0.25).colors(np.array([0.0, 4.0, 9.0, -3.0]))
    assert plain.tolist() == [[68, 1, 84], [253, 231, 37], [253, 231, 37], [68, 1, 84]]  # viridis' published ends


def test_what_is_drawn():
    values = np.array([-4.0, -1.0, -0.99, 0.0, 0.99, 1.0, np.nan])
    assert Scale(4.0, 0.25).drawn(values).tolist() == [False] * 5 + [True, False]
    assert Scale(4.0, 0.25, signed=True).drawn(values).tolist() == [True, True, False, False, False, True, False]
    assert not Scale(4.0, 0.0).drawn(np.array([0.0]))[0]  # no evidence is never drawn


def test_blend_by_hand():
    picture = np.full((1, 3, 3), 100, dtype=np.uint8)
    out = blend(picture, np.array([[0.9, 4.0, np.nan]]), Scale(4.0, 0.25), opacity=0.5)
    # (100 + 253) / 2, (100 + 231) / 2, (100 + 37) / 2, halves to even
    assert out.tolist() == [[[100, 100, 100], [176, 166, 68], [100, 100, 100]]]
    assert (picture == 100).all()


def test_blending_in_strips_equals_blending_at_once():
    generator = np.random.default_rng(0)
    picture = generator.integers(0, 256, (700, 5, 3), dtype=np.uint8)
    values = generator.normal(size=(700, 5))
    scale = Scale(2.0, 0.15, signed=True)
    rows = [blend(picture[i : i + 1], values[i : i + 1], scale, 0.6) for i in range(700)]
    assert np.array_equal(blend(picture, values, scale, 0.6), np.concatenate(rows))


def test_the_veil_changes_only_what_was_not_seen():
    picture = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    unseen = np.zeros((50, 60), dtype=bool)
    unseen[:, :20] = True
    out = veil(picture, unseen)
    assert np.array_equal(out[~unseen], picture[~unseen])
    assert len(np.unique(veil(np.full_like(picture, 128), unseen)[unseen], axis=0)) == 2  # ground and hatching


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (3.14159, "3.14"),
        (-0.48, "−0.48"),
        (12345.6, "12346"),
        (1.2e-7, "1.2e-07"),
        (float("nan"), "nan"),
        (-0.0, "0"),
    ],
)
def test_number(value, text):
    assert number(value) == text
