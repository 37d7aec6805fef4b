"""Derived fields and balances, against their values on flows that are known in closed form."""

import numpy as np
import pytest
import torch

import heatproof as hp
from heatproof import physics
from heatproof.errors import InputError
from heatproof.types import Resolution

FINE = Resolution((8, 8), (1.0, 1.0))


def plane(u, v, side=9, step=0.5):
    at = (np.arange(side) - side // 2) * step
    y, x = np.meshgrid(at, at, indexing="ij")
    data = torch.tensor(np.stack([u(x, y), v(x, y)]), dtype=torch.float32)
    return hp.Input(data, (hp.Axis("y", "m", at), hp.Axis("x", "m", at)), ("u", "v"))


def test_solid_rotation_has_twice_its_rate_as_vorticity_and_its_square_as_q():
    flow = plane(lambda x, y: -3 * y, lambda x, y: 3 * x)
    assert torch.allclose(physics.vorticity().of(flow, FINE), torch.full((9, 9), 6.0).double())
    assert torch.allclose(physics.q_criterion().of(flow, FINE), torch.full((9, 9), 9.0).double())


def test_pure_strain_does_not_turn():
    flow = plane(lambda x, y: 2 * x, lambda x, y: -2 * y)
    assert physics.vorticity().of(flow, FINE).abs().max() < 1e-6
    assert torch.allclose(physics.q_criterion().of(flow, FINE), torch.full((9, 9), -4.0).double())
    assert physics.divergence({"x": "u", "y": "v"}).terms(flow).sum(0).abs().max() < 1e-6


def test_energy_and_gradient():
    flow = plane(lambda x, y: 3 + 0 * x, lambda x, y: 4 * y)
    assert torch.allclose(physics.energy(["u"]).of(flow, FINE), torch.full((9, 9), 4.5).double())
    assert torch.allclose(physics.gradient("v").of(flow, FINE), torch.full((9, 9), 4.0).double())


def test_lines_are_as_wide_as_the_tolerance_or_the_map():
    axis = hp.Axis("wavelength", "nm", np.arange(400.0, 420.0, 2.0))
    one = hp.Input(torch.zeros(1, 10), (axis,), ("i",))
    narrow = physics.lines([405.0], unit="nm", tolerance=1.5).of(one, Resolution((10,), (0.5,)))
    assert narrow.tolist() == [0, 0, 1, 1, 0, 0, 0, 0, 0, 0]
    coarse = physics.lines([405.0], unit="nm", tolerance=1.5).of(one, Resolution((5,), (2.0,)))
    assert coarse.tolist() == [0, 1, 1, 1, 1, 0, 0, 0, 0, 0]  # a position of two samples spans 4 nm


def test_lines_need_the_unit():
    bare = hp.Input(torch.zeros(1, 10), (hp.Axis("wavelength"),), ("i",))
    with pytest.raises(InputError, match="has no unit"):
        physics.lines([405.0], unit="nm", tolerance=1.0).of(bare, FINE)
    other = hp.Input(torch.zeros(1, 10), (hp.Axis("wavelength", "um"),), ("i",))
    with pytest.raises(InputError, match="is in um, the known positions are in nm"):
        physics.lines([405.0], unit="nm", tolerance=1.0).of(other, FINE)


def test_a_wave_that_is_carried_conserves_and_a_lump_does_not():
    t, x = np.arange(8) * 0.1, np.arange(64) * (2 * np.pi / 64)
    axes = (hp.Axis("time", "s", t), hp.Axis("x", "m", x, periodic=True))
    wave = np.sin(x[None] - 2.0 * t[:, None])
    carried = hp.Input(torch.tensor(wave[None], dtype=torch.float32), axes, ("rho",))
    balance = physics.continuity("rho", {"x": lambda one: 2.0 * one.data[0]})
    terms = balance.terms(carried)
    inner = terms.sum(0)[1:-1].abs().max() / terms.abs().max()
    assert inner < 0.02
    lumped = carried.data.clone()
    lumped[0, 4, 10:14] += 3.0
    found = balance.terms(hp.Input(lumped, axes, ("rho",))).sum(0).abs()
    assert found[3:6, 9:15].max() > 10 * found[1:2].max()
    bare = hp.Input(carried.data, (hp.Axis("time"), axes[1]), ("rho",))
    with pytest.raises(InputError, match="has no unit"):
        balance.terms(bare)
