"""The figure of a check: what is drawn where, and that no label lies on another."""

from itertools import combinations
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from heatproof.report.check import interval_text
from heatproof.types import CheckResult, Interval

NAN = float("nan")


def result(**changed: Any) -> CheckResult:
    """A result with everything that a figure shows."""
    given: dict[str, Any] = {
        "check": "faithfulness",
        "claim": "The score depends more on what the map calls important than on what another map calls important.",
        "about": "map",
        "statistic": "superiority of the SRG",
        "value": Interval(0.8, 0.7, 0.9),
        "null": Interval(0.5, 0.5, 0.5),
        "null_name": "maps of the same smoothness: shifted, turned, other input",
        "ceiling": Interval(0.95, 0.9, 1.0),
        "margin": 0.15,
        "alpha": 0.05,
        "n": 12,
        "unit": "input",
        "verdict": "supports",
        "why": "Maps beat others.",
        "details": {"controls": {"center_prior": Interval(0.55, 0.4, 0.7)}},
        "curves": {
            f"{way} influential first, {kind}": ([0.0, 0.5, 1.0], [3.0, y, 1.0])
            for kind in ("blur", "noisy_linear")
            for way, y in (("most", 1.5), ("least", 2.5))
        },
    }
    return CheckResult(**given | changed)


def ticks(axis: Any) -> list[Any]:
    """Return the labels of the ticks that are drawn."""
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 if tick.label1.get_visible() else tick.label2 for tick in axis.get_major_ticks()
            if axis.get_visible() and low - 1e-9 <= tick.get_loc() <= high + 1e-9]  # fmt: skip


def drawn(one: CheckResult) -> tuple[Any, list[tuple[str, Any]]]:
    """Return the figure as it is drawn, and the texts in it with their places in pixels."""
    figure = one.plot()
    FigureCanvasAgg(figure).draw()
    texts: list[Any] = []
    for axes in figure.axes:
        legend = axes.get_legend()
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label, *ticks(axes.xaxis), *ticks(axes.yaxis)]
        texts += [axes.xaxis.offsetText, *(legend.texts if legend else [])]
    shown = [text for text in texts if text.get_visible() and text.get_text().strip()]
    return figure, [(text.get_text(), text.get_window_extent()) for text in shown]


CASES = {
    "all": {},
    "no controls or curves": {"details": {}, "curves": {}},
    "large numbers": {"value": Interval(1.2e6, 1e6, 1.5e6), "null": Interval(-3e3, -5e3, 2e3), "margin": 250.0},
    "long words": {"null_name": "a long name of a null " * 6, "claim": "A claim that takes its time. " * 8},
    "no interval": {"value": Interval(0.4, NAN, NAN), "null": Interval(NAN, NAN, NAN), "ceiling": None},
    "whole steps": {"curves": {"top-down": ([1.0, 2.0, 3.0], [0.9, 0.5, 0.3])}, "check": "sanity"},
    "no formulas": {"null_name": r"$\frac{a$", "claim": r"A class of $\bad{t$ to $9.", "unit": r"$\id{$"},
    "an unknown check": {"check": "symmetry", "unit": "patient_id"},
}


@pytest.mark.parametrize("changed", CASES.values(), ids=CASES)
def test_no_label_lies_on_another_or_is_cut_off(changed: dict[str, Any]) -> None:
    figure, texts = drawn(result(**changed))
    assert len(texts) >= 6
    for (one, a), (other, b) in combinations(texts, 2):
        assert not (a.x0 < b.x1 and b.x0 < a.x1 and a.y0 < b.y1 and b.y0 < a.y1), (one, other)
    width, height = figure.bbox.size
    for text, box in texts:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= width + 1, text
        assert box.y1 <= height + 1, text


def test_intervals_margin_and_numbers_are_where_they_belong() -> None:
    one = result()
    axes, curves, numbers = one.plot().axes
    bars = [list(line.get_xdata()) for line in axes.lines if len(line.get_xdata()) == 2 and line.get_linewidth() == 3]
    assert bars == [[0.7, 0.9], [0.5, 0.5], [0.9, 1.0], [0.4, 0.7]]
    dots = [float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() == "o"]
    assert dots == [0.8, 0.5, 0.95, 0.55]
    (band,) = axes.patches
    # matplotlib before 3.9 draws it as a polygon
    extent = axes.transData.inverted().transform_bbox(band.get_extents())
    assert tuple(extent.intervalx) == pytest.approx((0.35, 0.65))
    labels = [label.get_text().replace("\n", " ") for label in axes.get_yticklabels()]
    assert labels == ["statistic", f"null: {one.null_name}", "ceiling", "control: center prior"]
    assert [label.get_text() for label in numbers.get_yticklabels()] == [
        "0.80 [0.70, 0.90]", "0.50", "0.95 [0.90, 1.00]", "0.55 [0.40, 0.70]",
    ]  # fmt: skip
    assert "margin 0.15" in axes.get_xlabel()
    assert [list(line.get_ydata()) for line in curves.lines] == [list(ys) for _, ys in one.curves.values()]
    assert [line.get_linestyle() for line in curves.lines] == ["-", "--", "-", "--"]
    assert curves.lines[0].get_color() == curves.lines[1].get_color() != curves.lines[2].get_color()


def test_without_a_statistic_it_says_why() -> None:
    nothing = {"value": None, "null": None, "ceiling": None, "details": {}, "curves": {}}
    (axes,) = result(**nothing, verdict="not applicable", why="The grid has one position.").plot().axes
    assert axes.texts[0].get_text() == "The grid has one position."
    assert "not applicable" in axes.get_title()


@pytest.mark.parametrize(
    ("interval", "text"),
    [
        (None, "none"),
        (Interval(0.5, 0.5, 0.5), "0.50"),
        (Interval(-0.126, -1.0, 0.0), "-0.13 [-1.00, 0.00]"),
        (Interval(0.00012, 0.0001, 1234.5), "0.00012 [0.0001, 1.23e+03]"),
        (Interval(0.4, NAN, NAN), "0.40 (no interval)"),
    ],
)
def test_an_interval_in_words(interval: Interval | None, text: str) -> None:
    assert interval_text(interval) == text
