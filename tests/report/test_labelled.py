"""Labelled arrays: coordinates of grid positions in the original's own units."""

import builtins

import numpy as np
import pytest

from heatproof.errors import InputError, MissingExtraError, UsageError
from heatproof.report.labelled import to_xarray
from heatproof.report.view import position_axis
from heatproof.types import Axis, Geometry


def test_coordinates_by_hand(explanation):
    """Original 40 × 80 at 0.5 mm, halved and cropped to 20 × 20: positions of 10 model samples."""
    geometry = Geometry((40, 80), (20, 20), (0.5, 0.5), (0.0, 10.0))
    axes = (Axis("y", "mm", 100 + 0.5 * np.arange(40)), Axis("x", "mm", 0.5 * np.arange(80)))
    ex = explanation(
        [[[[1.0, -2.0], [3.0, 4.0]]] * 2], size=(40, 80), geometry=geometry, axes=axes, names=("cat", "dog")
    )
    array = to_xarray(ex, 0)
    assert array.dims == ("target", "y", "x")
    # model centers 4.5 and 14.5; original y 9.5 and 29.5; original x (4.5 + 0.5 + 10) * 2 - 0.5 = 29.5 and 49.5
    assert array.coords["y"].values.tolist() == [104.75, 114.75]
    assert array.coords["x"].values.tolist() == [14.75, 24.75]
    assert array.coords["y"].attrs == {"units": "mm"}
    assert array.coords["target"].values.tolist() == ["cat", "dog"]
    assert array.coords["score"].values.tolist() == [11.25, 11.25]
    assert float(array.sel(target="dog", y=104.75, x=24.75)) == -2.0
    assert array.dtype == np.float32
    assert {key: array.attrs[key] for key in ("method", "layer", "model")} == {
        "method": "gradcam",
        "layer": "layer4",
        "model": "bundled:test",
    }


def test_coordinates_of_a_flipped_axis_run_backwards(explanation):
    geometry = Geometry((8,), (8,), (-1.0,), (-8.0,))
    ex = explanation([1.0, 2.0], np.zeros((1, 8)), geometry=geometry, axes=[Axis("time", "s")], picture=False)
    assert to_xarray(ex).coords["time"].values.tolist() == [5.5, 1.5]


def test_uneven_coordinates_are_interpolated_and_go_straight_on_in_the_padding():
    axis = Axis("wavelength", "nm", np.array([400.0, 410.0, 440.0]))
    places = position_axis(axis, np.array([-1.0, 0.0, 0.5, 1.5, 2.0, 3.0]))
    assert places.tolist() == [390.0, 400.0, 405.0, 425.0, 440.0, 470.0]
    assert position_axis(Axis("x"), np.array([1.5])).tolist() == [1.5]
    assert position_axis(Axis("x", "m", np.array([7.0])), np.array([0.5])).tolist() == [7.5]


def test_without_xarray_the_extra_is_named(explanation, monkeypatch):
    find = builtins.__import__

    def missing(name, *args, **settings):
        if name == "xarray":
            raise ImportError(name)
        return find(name, *args, **settings)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(MissingExtraError, match=r"xarray is needed .* pip install 'heatproof\["):
        to_xarray(explanation(np.eye(4)))


def test_refusals(explanation):
    with pytest.raises(UsageError, match="no input 3: this explanation holds 1"):
        to_xarray(explanation(np.eye(4)), 3)
    with pytest.raises(InputError, match="'x', 'x'"):
        to_xarray(explanation(np.eye(4), axes=(Axis("x"), Axis("x"))))
