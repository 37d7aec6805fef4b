"""Taking out a stain: the stain is gone, the rest stays, and the trained network notices."""

import numpy as np
import pytest
from skimage.color import rgb2hed

from heatproof.demo import dab
from heatproof.demo.stains import remove, without
from heatproof.models import load


@pytest.mark.parametrize(("stain", "channel"), [("DAB", 2), ("hematoxylin", 0)])
def test_the_stain_is_gone(stain, channel):
    tile = dab.tiles("test", 48).images[0]
    before, after = rgb2hed(tile), rgb2hed(without(tile, stain))
    assert before[..., channel].mean() > 0.01
    assert after[..., channel].mean() < 0.1 * before[..., channel].mean()


def test_the_other_stain_stays():
    tile = dab.tiles("test", 48).images[0]
    before, after = rgb2hed(tile)[..., 0], rgb2hed(without(tile, "DAB"))[..., 0]
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] > 0.9


def test_white_stays_white():
    white = np.full((4, 4, 3), 255, np.uint8)
    np.testing.assert_array_equal(without(white, "DAB"), white)


def test_the_trained_network_needs_the_brown_and_not_the_blue():
    tiles = dab.tiles("test", 48)
    pictures = list(tiles.images[tiles.labels == 1])
    model = load("bundled:dab")
    as_is, no_brown, no_blue = (remove(model, pictures, stain) for stain in (None, "DAB", "hematoxylin"))
    assert as_is.tiles == no_brown.tiles == len(pictures)
    assert as_is.called_positive >= 0.9 * len(pictures)
    assert no_brown.called_positive <= 0.1 * len(pictures)
    assert no_blue.called_positive >= 0.9 * len(pictures)
    assert no_brown.score < as_is.score
