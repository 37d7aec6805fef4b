"""The map on disk: what was never written is never read, and what was is all found."""

import numpy as np
import pytest

from heatproof.wsi.canvas import Canvas, halved


@pytest.mark.parametrize("chunk", [30, 256, 300])
@pytest.mark.parametrize("side", [None, 512, 700])
def test_parts_are_what_reading_everything_finds(tmp_path, chunk, side):
    canvas = Canvas.create(tmp_path / "map.zarr", (1500, 1100), 1.0, chunk)
    rng = np.random.default_rng(0)
    for row, column in [(0, 0), (600, 300), (1490, 1080), (299, 899)]:
        canvas.write(row, column, rng.normal(size=(41, 37)).astype(np.float32))
    whole = np.asarray(canvas.level(0)[:])
    pieced = np.full_like(whole, np.nan)
    for row, column, values in canvas.parts(side=side):
        pieced[row : row + values.shape[0], column : column + values.shape[1]] = values
    np.testing.assert_array_equal(pieced, whole)


def test_the_pyramid_halves_what_was_written_and_leaves_the_rest_empty(tmp_path):
    canvas = Canvas.create(tmp_path / "map.zarr", (1200, 900), 1.0, 100)
    values = np.random.default_rng(1).normal(size=(80, 60)).astype(np.float32)
    canvas.write(1001, 701, values)
    canvas.build_pyramid()
    expected = np.full((1200, 900), np.nan, np.float32)
    expected[1001:1081, 701:761] = values
    for level in range(1, canvas.levels):
        expected = halved(expected)
        np.testing.assert_array_equal(np.asarray(canvas.level(level)[:]), expected)
    assert len(list((tmp_path / "map.zarr" / "1" / "c").glob("*/*"))) == 2  # of six: rows 500 to 540 lie in two
