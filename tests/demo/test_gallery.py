"""The demonstration's pictures: written and embedded alike, and truthful."""

import base64
import io

import numpy as np
from PIL import Image

from heatproof.demo.gallery import Gallery, legend, panel, stained, with_lines
from heatproof.report.color import Scale

RED = np.full((3, 5, 3), (200, 0, 0), np.uint8)


def test_file_and_page_hold_the_same_picture(tmp_path):
    gallery = Gallery(tmp_path)
    uri = gallery.add("red", Image.fromarray(RED))
    head, data = uri.split(",")
    assert head == "data:image/png;base64"
    assert gallery.files == [tmp_path / "red.png"]
    assert base64.b64decode(data) == gallery.files[0].read_bytes()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), RED)


def test_enlarging_repeats_pixels_and_invents_none():
    picture = np.random.default_rng(0).integers(0, 256, (3, 5, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(panel(picture, 4)), picture.repeat(4, 0).repeat(4, 1))


def test_stained_pixels_stay_and_others_fade_by_hand():
    truth = np.zeros((3, 5), bool)
    truth[1, 2] = True
    shown = stained(RED, truth)
    assert shown[1, 2].tolist() == [200, 0, 0]
    assert shown[0, 0].tolist() == [245, 209, 209]  # 0.18 * 200 + 0.82 * 255, 0.82 * 255


def test_lines_are_drawn_on_a_copy():
    picture = Image.fromarray(np.zeros((40, 40, 3), np.uint8))
    lined = np.asarray(with_lines(picture, [10]))
    assert lined[:, 9:12].any()
    assert not lined[:, 20:].any()
    assert not np.asarray(picture).any()


def test_legend_says_the_scale():
    bar = legend(Scale(0.5, 0.15))
    assert (bar["empty"], bar["floor"], bar["end"]) == ("15%", "0.075", "0.5")
    assert bar["gradient"].startswith("linear-gradient(90deg, rgb(68 1 84) 0.0%")  # viridis begins so
    assert bar["gradient"].endswith("rgb(253 231 37) 100.0%)")  # and ends so
