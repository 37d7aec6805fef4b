"""The frame: true numbers on the color bar, and text that fits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heatproof.report.color import Scale, palette
from heatproof.report.frame import Legend, add_frame, bar_strip, font, ticks, wrap
from heatproof.report.overlay import overlay
from heatproof.report.view import view


def test_the_color_bar_ends_at_the_maps_own_maximum(explanation):
    maps = np.array([[0.0, 1.0], [-9.0, 3.25]])
    seen = view(explanation(maps), 0, 0, signed=False, threshold=0.15, opacity=0.6, vmax=None)
    assert seen.scale is not None
    assert seen.scale.vmax == 3.25
    assert ticks(seen.scale)[0] == (3.25, "3.25")
    signed = view(explanation(maps), 0, 0, signed=True, threshold=0.15, opacity=0.6, vmax=None)
    assert signed.scale is not None
    assert [text for _, text in ticks(signed.scale)][:3] == ["9", "−9", "0"]


def test_the_bar_shows_each_value_as_it_looks_on_white_and_on_black():
    scale = Scale(2.0, 0.5)
    strip = bar_strip(np.array([0.0, 0.9, 1.0, 2.0]), Legend(scale, "logit evidence", 0.5, (255, 0)), 10)
    last = palette(False)[-1].astype(float)
    assert strip[0, 3].tolist() == np.rint(0.5 * 255 + 0.5 * last).tolist()
    assert strip[9, 3].tolist() == np.rint(0.5 * last).tolist()
    checkers = {tuple(color) for color in strip[:, :2].reshape(-1, 3).tolist()}
    assert checkers == {(255, 255, 255), (214, 214, 214)}  # nothing is drawn below the threshold


def test_the_bars_colors_equal_the_pictures(explanation):
    """On white, the color of the map's strongest pixel is the color at the right end of the bar's upper half."""
    ex = explanation(np.full((2, 2), 5.0), np.ones((3, 20, 30)))
    drawn = np.asarray(overlay(ex, frame=False))[0, 0]
    strip = bar_strip(np.array([5.0]), Legend(Scale(5.0, 0.15), "", 0.6, (255, 0)), 4)
    assert drawn.tolist() == strip[0, 0].tolist()


def test_the_text_grows_with_the_picture():
    def text_height(side):
        picture = np.full((side, side, 3), 255, dtype=np.uint8)
        framed = np.asarray(add_frame(picture, ["H"], None).convert("L"))
        return int((framed < 128).any(axis=1).sum())

    assert text_height(64) >= 9  # pixels of a capital letter: still legible
    assert 7 < text_height(3000) / text_height(330) < 11


@given(st.text(max_size=80), st.integers(60, 400))
def test_no_wrapped_line_is_too_wide_and_no_letter_is_lost(line, width):
    parts = wrap(line, font(12), width)
    assert all(font(12).getlength(part) <= width for part in parts)
    assert "".join("".join(parts).split()) == "".join(line.split())


def test_the_unit_is_a_logit_only_where_the_target_is_a_class(explanation):
    def unit(**settings):
        ex = explanation(np.eye(2), **settings)
        return view(ex, 0, 0, signed=False, threshold=0.15, opacity=0.6, vmax=None).unit()

    assert unit() == "logit evidence"
    assert unit(index=None, names=("mask mean",)) == "evidence, in the target's units"
    assert unit(index=0, names=("output",)) == "evidence, in the target's units"


@pytest.mark.parametrize("threshold", [0.0, 0.001, 0.15, 0.99])
def test_a_bar_can_be_drawn_for_every_threshold(explanation, threshold):
    framed = overlay(explanation(np.eye(4)), threshold=threshold, signed=True)
    assert "(" in framed.info["caption"]
