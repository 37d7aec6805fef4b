"""Fields with their maps as contours: what is refused, and texts that users wrote."""

from dataclasses import replace

import numpy as np
import pytest

from heatproof.errors import InputError, UsageError
from heatproof.report.field import plot_field
from heatproof.types import Axis

MAP = [[0.0, 1.0], [0.5, 0.0]]


def test_dollar_signs_are_no_formulas(explanation):
    axes = [Axis(r"$\bad{t$", r"$m_{$"), Axis("x", "$")]
    made = explanation(MAP, np.ones((1, 6, 8)), picture=False, axes=axes, names=[r"$\frac{a$"])
    made = replace(made, inputs=tuple(replace(one, channels=(r"$\alpha{$",)) for one in made.inputs))
    figure = plot_field(made)
    figure.canvas.draw()
    assert figure.axes[0].get_ylabel() == r"\$\bad{t\$ (\$m_{\$)"


def test_what_cannot_be_drawn_gets_a_sentence(explanation):
    with pytest.raises(InputError, match="contours take 2 samples a side"):
        plot_field(explanation([[1.0, 0.0]], np.ones((1, 1, 8)), picture=False))
    with pytest.raises(InputError, match="1 spatial axes"):
        plot_field(explanation([1.0, 0.0], np.ones((1, 8)), picture=False))
    with pytest.raises(UsageError, match=r"vector=\(0, 5\) names channels of 2"):
        plot_field(explanation(MAP, np.ones((2, 6, 8)), picture=False), vector=(0, 5))


def test_a_field_without_finite_samples_keeps_its_contours(explanation):
    figure = plot_field(explanation(MAP, np.full((1, 6, 8), np.nan), picture=False))
    figure.canvas.draw()
    assert "contours at 25%" in figure.axes[0].get_title()
