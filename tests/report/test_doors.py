"""The doors of an Explanation lead to what the report layer makes."""

import numpy as np

from heatproof.report.overlay import overlay
from heatproof.types import Axis


def test_every_door_opens(explanation, tmp_path):
    ex = explanation(np.array([[1.0, -2.0], [0.5, 0.0]]))
    assert np.array_equal(np.asarray(ex.overlay(signed=True)), np.asarray(overlay(ex, signed=True)))
    assert not np.array_equal(np.asarray(ex.overlay(signed=True)), np.asarray(ex.overlay()))
    assert ex.save(str(tmp_path / "out")) == tmp_path / "out"
    assert (tmp_path / "out" / "manifest.json").exists()
    assert np.array_equal(ex.to_xarray(0).values, ex.maps[0].numpy())
    assert ex._repr_html_().startswith('<div class="heatproof-explanation">')


def test_signals_and_volumes_are_saved_and_shown_too(explanation, tmp_path):
    for name, ex in {
        "signal": explanation(np.eye(5)[1], np.zeros((2, 50)), axes=[Axis("time", "s")], picture=False),
        "volume": explanation(np.ones((2, 2, 2)), np.zeros((1, 6, 6, 6)), picture=False),
    }.items():
        assert (ex.save(tmp_path / name) / "overlay.png").stat().st_size > 1000
        assert "<img" in ex._repr_html_()
        assert ex.to_xarray().shape == ex.maps.shape[1:]
