"""Figures: every place computed by hand."""

import re
from math import nan

import pytest
from tests.report.audit.made import result

from heatproof.report.audit.figure import effects_figure, reliability_figure, result_figure, share_figure, ticks
from heatproof.types import Interval


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (-0.31, 0.28, [-0.2, 0.0, 0.2]),
        (0.12, 0.94, [0.2, 0.4, 0.6, 0.8]),
        (-1200.0, 3900.0, [0.0, 2000.0]),
    ],
)
def test_ticks_are_round_and_inside(low, high, expected):
    assert ticks(low, high) == expected


def test_a_result_lies_where_its_numbers_say():
    # values from 0.4 (null - margin) to 0.9, 5 % around: 0.375 to 0.925 on 10 to 290
    drawn = result_figure(result("faithfulness", "supports"), "good")
    zone = re.search(r'class="zone" x="([\d.]+)" y="4" width="([\d.]+)"', drawn)
    assert [float(x) for x in zone.groups()] == pytest.approx([10 + 280 * 0.025 / 0.55, 280 * 0.2 / 0.55], abs=0.1)
    bar = re.search(r'class="value good" x1="([\d.]+)" y1="30" x2="([\d.]+)"', drawn)
    assert [float(x) for x in bar.groups()] == pytest.approx(
        [10 + 280 * 0.325 / 0.55, 10 + 280 * 0.525 / 0.55], abs=0.1
    )
    dot = float(re.search(r'class="value good" cx="([\d.]+)"', drawn)[1])
    assert dot == pytest.approx(10 + 280 * 0.425 / 0.55, abs=0.1)
    assert 'aria-label="statistic of faithfulness 0.80 [0.70, 0.90]; null 0.50 (chance), margin 0.1"' in drawn


def test_what_is_not_known_is_not_drawn():
    assert result_figure(result("sanity", "inconclusive", value=None), "open") == ""
    assert result_figure(result("sanity", "inconclusive", value=Interval(nan, nan, nan)), "open") == ""
    assert share_figure(Interval(nan, nan, nan), "accuracy") == ""
    assert effects_figure([("a", Interval(nan, nan, nan))], 0.25) == ""
    assert reliability_figure(()) == ""
    half = result_figure(result("sanity", "supports", value=Interval(0.8, nan, nan)), "good")
    assert "<circle" in half
    assert "nan" not in half.replace("no interval", "")


def test_a_share_lies_on_the_axis_from_0_to_1():
    drawn = share_figure(Interval(0.25, 0.0, 0.5), "accuracy")
    assert 'cx="80.0"' in drawn
    assert 'x1="10.0" y1="8" x2="150.0"' in drawn


def test_names_in_figures_are_escaped():
    drawn = effects_figure([('<b>"', Interval(1.0, 0.5, 1.5))], 0.25)
    assert "<b>" not in drawn
    assert "&lt;b&gt;" in drawn
    assert "&lt;i&gt;" in result_figure(result("x", "supports", null_name="<i>"), "good")


def test_a_bin_of_the_reliability_diagram_lies_at_its_probability_and_share():
    drawn = reliability_figure([(0.5, 0.25, 4), (1.0, 1.0, 16)])
    assert 'cx="130.0" cy="160.0" r="6.0"' in drawn  # radius 3 + 6 sqrt(4 / 16)
    assert 'cx="230.0" cy="10.0" r="9.0"' in drawn
