"""Signals and volumes: bands on the right places, planes through the right sample."""

from dataclasses import replace

import numpy as np
import pytest

from heatproof.report import plot1d
from heatproof.report.overlay import overlay
from heatproof.report.plot1d import _edges, _runs, _strongest
from heatproof.report.view import view
from heatproof.report.volume import draw_volume
from heatproof.types import Axis, Geometry


def signal(explanation, maps, length=100, channels=1, **settings):
    data = np.tile(np.sin(np.arange(length) / 5), (channels, 1))
    axes = [settings.pop("axis", Axis("time", "s", np.arange(length) * 0.01))]
    return explanation(maps, data, axes=axes, picture=False, **settings)


def colored_span(image):
    """Return the first and last colored column, as shares of the plot's width."""
    pixels = np.asarray(image).astype(int)
    dark = (pixels < 60).all(axis=-1).sum(axis=0)
    left, right = np.flatnonzero(dark > 0.5 * dark.max())[[0, -1]]  # the plot's vertical borders
    first, last = np.flatnonzero((np.ptp(pixels, axis=-1) > 40).any(axis=0))[[0, -1]]
    return (first - left) / (right - left), (last + 1 - left) / (right - left)


@pytest.mark.parametrize("backwards", [False, True])
def test_the_band_lies_where_the_evidence_is(explanation, backwards):
    """Five positions of 20 samples, the fourth twice as strong; its center is sample 69.5.

    1.8 or more is within 4 samples of it: 66 to 73, whose edges lie at 66 % and 74 % of the axis, in whichever
    direction its coordinates run.
    """
    times = np.arange(100) * 0.01
    axis = Axis("time", "s", times[::-1] if backwards else times)
    image = overlay(signal(explanation, [1.0, 1.0, 1.0, 2.0, 1.0], axis=axis), frame=False, threshold=0.9)
    assert colored_span(image) == pytest.approx((0.66, 0.74), abs=0.002)


def test_a_blank_map_leaves_the_paper_white(explanation):
    image = np.asarray(overlay(signal(explanation, np.zeros(5)), frame=False)).astype(int)
    assert np.ptp(image, axis=-1).max() == 0
    assert np.ptp(np.asarray(overlay(signal(explanation, np.ones(5)), frame=False)).astype(int), axis=-1).max() > 50


@pytest.mark.parametrize(
    ("axis", "edges"),
    [
        (Axis("x"), [-0.5, 0.5, 1.5, 2.5]),
        (Axis("x", "s", np.array([0.0, 1.0, 3.0])), [-0.5, 0.5, 2.0, 4.0]),
        (Axis("x", "nm", np.array([3.0, 2.0, 0.0])), [3.5, 2.5, 1.0, -1.0]),
        (Axis("x", "nm", np.array([3.0, 4.0, 0.0])), None),
    ],
)
def test_borders_between_samples(axis, edges):
    found = _edges(axis, 3)
    assert (found is None) == (edges is None)
    assert edges is None or (found is not None and found.tolist() == edges)


def test_reducing_a_long_signal_keeps_the_strongest_evidence():
    values = np.array([1.0, -3.0, 2.0, 0.5, np.nan, 1.5, np.nan, np.nan])
    assert _strongest(values, np.array([0, 2, 4, 6]))[:3].tolist() == [-3.0, 2.0, 1.5]
    assert np.isnan(_strongest(values, np.array([0, 2, 4, 6]))[3])
    assert _runs(np.array([True, True, False, True])) == [(0, 2), (3, 4)]
    assert _runs(np.zeros(3, dtype=bool)) == []


def test_what_a_plots_caption_says(explanation):
    long = signal(explanation, np.eye(9)[3], length=9000, channels=13)
    lines = overlay(long).info["caption"]
    assert "The line is the mean of 13 channels." in lines
    assert "within each of 1800 steps" in lines
    geometry = Geometry((100,), (80,), (1.0,), (10.0,))
    assert "Hatched" in overlay(signal(explanation, np.ones(4), geometry=geometry)).info["caption"]
    mixed = signal(explanation, np.ones(4), length=3, axis=Axis("band", "nm", np.array([1.0, 3.0, 2.0])))
    assert "not in order" in overlay(mixed).info["caption"]
    assert (
        "Resolution: 5 positions, each 0.2 s of the input."
        in overlay(signal(explanation, np.eye(5)[0])).info["caption"]
    )


def volume(explanation, maps, size=(8, 12, 16), **settings):
    return explanation(maps, np.full((1, *size), 0.5), picture=False, **settings)


def drawn(ex, **settings):
    seen = view(ex, 0, 0, **{"signed": False, "threshold": 0.15, "opacity": 0.6, "vmax": None, **settings})
    return draw_volume(seen, 0.6)


def test_the_planes_go_through_the_strongest_evidence(explanation, monkeypatch):
    titles = []
    from heatproof.report import volume as module

    wrap = module.wrap
    monkeypatch.setattr(module, "wrap", lambda line, *rest: titles.append(line) or wrap(line, *rest))
    maps = np.zeros((4, 3, 4))
    maps[1, 2, 3] = 5.0
    axes = (Axis("z", "mm", np.arange(8) * 2.0), Axis("y", "mm", np.arange(12.0)), Axis("x", "mm", np.arange(16.0)))
    _, notes = drawn(volume(explanation, maps, axes=axes))
    # z: positions of 2 samples, center 2.5, both neighbors equally strong: the first; y: 4 samples, center 9.5,
    # beyond it the last position's value: constant from 10 on; x: 4 samples, center 13.5
    assert titles == [
        "z = 4 mm (sample 2): y down, x right",
        "y = 10 mm (sample 10): z down, x right",
        "x = 14 mm (sample 14): z down, y right",
    ]
    assert "Three planes through the strongest evidence; marks at the edges show where the others cut." in notes
    # 240 // 16 = 15 pixels a sample, twice that along z, whose samples are twice as far apart
    assert "Pixels per sample: 30 (z) × 15 (y) × 15 (x)." in notes


def test_a_blank_volume_is_cut_at_its_center_and_not_colored(explanation):
    picture, notes = drawn(volume(explanation, np.zeros((2, 2, 2))))
    assert np.ptp(picture.astype(int), axis=-1).max() == 0
    assert any("through the center" in note for note in notes)


def test_signed_evidence_picks_the_strongest_of_either_sign(explanation):
    maps = np.zeros((2, 2, 2))
    maps[0, 0, 0], maps[1, 1, 1] = 1.0, -2.0
    picture, _ = drawn(volume(explanation, maps), signed=True)
    red, blue = picture[..., 0].astype(int), picture[..., 2].astype(int)
    assert (blue - red > 40).any()  # blue: against
    one, _ = drawn(volume(explanation, maps))
    assert not np.array_equal(one, picture)


def _ylims(explanation, monkeypatch, data, **how):
    """Return the y limits of every plot that a signal's overlay draws."""
    seen = []
    keep = plot1d._plot

    def plot(axes, *rest):
        keep(axes, *rest)
        seen.append((axes, axes.get_ylim()))

    monkeypatch.setattr(plot1d, "_plot", plot)
    image = explanation([0.0, 1.0, 0.5, 0.0], data, picture=False, **how).overlay(0)
    return seen, image.info["caption"]


def test_the_lines_own_range_sets_the_axis(explanation, monkeypatch):
    data = np.random.default_rng(0).normal(size=(1, 40)) * 1e-3 + 5
    ((_, (bottom, top)),), _ = _ylims(explanation, monkeypatch, data)
    spread = data.max() - data.min()
    assert bottom == pytest.approx(data.min() - 0.05 * spread, abs=1e-6)
    assert top == pytest.approx(data.max() + 0.05 * spread, abs=1e-6)


def test_samples_that_are_not_finite_are_told_and_samples_between_them_are_seen(explanation, monkeypatch):
    data = np.ones((1, 9))
    data[0, [1, 3]] = np.nan, np.inf
    ((axes, _),), caption = _ylims(explanation, monkeypatch, data)
    assert "2 of 9 samples are not finite and are not drawn." in caption
    dots = next(line for line in axes.lines if line.get_marker() == ".")
    assert list(dots.get_xdata()) == [0, 2]


def test_dollar_signs_are_no_formulas(explanation, monkeypatch):
    axes = [Axis(r"$\time{t$", r"$m_{$")]
    made = explanation([0.0, 1.0, 0.5, 0.0], np.ones((1, 9)), picture=False, axes=axes, names=[r"$\frac{a$"])
    inputs = tuple(replace(one, channels=(r"$\alpha{$",)) for one in made.inputs)
    assert replace(made, inputs=inputs).overlay(0).info["caption"].startswith(r"$\frac{a$")
