"""The simulators against what is known in closed form, and regions where the answer lies."""

from math import sinh, sqrt

import pytest
import torch

from heatproof.synthetic.systems import ising, rhythm, shocks, spectra


def test_ising_agrees_with_onsager_and_yang():
    cold, hot = 1.8, 4.0
    g = torch.Generator().manual_seed(0)
    spins = ising.simulate(torch.tensor([cold, hot]).repeat(20), g)
    exact = (1 - sinh(2 / cold) ** -4) ** 0.125  # Yang 1952, the magnetization below T_c
    assert float(spins[0::2].mean((1, 2)).abs().mean()) == pytest.approx(exact, abs=0.02)
    # Onsager 1944, the internal energy: -coth(2b) (1 + 2/pi (2 tanh(2b)^2 - 1) K(k)), by a series in high temperature:
    # -2 tanh(b) (1 + 2 tanh(b)^2 ...) within some percent at T = 4
    assert float(ising.energy(spins[1::2]).mean()) == pytest.approx(-0.557, abs=0.02)
    assert set(spins.unique().tolist()) == {-1.0, 1.0}


def test_wolff_turns_over_whole_lattices_in_the_cold_and_single_spins_in_the_heat():
    up = torch.ones(3, 6, 6)
    g = torch.Generator().manual_seed(0)
    assert (ising.wolff(up, torch.full((3, 1, 1), 100.0), g) == -1).all()
    single = ising.wolff(up, torch.full((3, 1, 1), 1e-9), g)
    assert (single == -1).flatten(1).sum(1).tolist() == [1, 1, 1]


def test_order_lies_in_the_disc():
    drawn = ising.draw(20, 4)
    order = [ising.known().of(one, None) for one in drawn.inputs()]
    for one, disc, answer in zip(order, drawn.where, drawn.answers, strict=True):
        assert bool(disc.any()) is bool(answer)
        if answer:
            assert one[disc].mean() > one[~disc].mean() + 0.2


def test_burgers_keeps_mass_and_loses_energy():
    wave = shocks.draw(5, 0).data[:, 0].double()
    later = shocks.evolve(wave, frames=4)
    assert (later.mean(-1) - wave.mean(-1, keepdim=True)).abs().max() < 1e-12
    energy = later.square().mean(-1)
    assert (energy.diff(dim=1) <= 1e-12).all()


def test_a_step_moves_at_the_mean_of_its_sides():
    # 1 on the left, 0 on the right: a shock that moves at 1/2 (Rankine and Hugoniot)
    u = torch.zeros(1, 200)
    u[0, :100] = 1.0
    later = shocks.evolve(u, end=0.2)[0, 0]
    assert int((later > 0.5).nonzero().max()) == pytest.approx(99 + 0.5 * 0.2 * 200, abs=2)


def test_the_loss_is_the_same_for_a_moving_observer_and_in_the_mirror():
    wave = shocks.draw(5, 1).data[:, 0]
    lost = shocks.loss(wave)
    assert (lost > 0).all()
    assert torch.allclose(shocks.loss(wave + 0.7), lost, atol=1e-6)
    assert torch.allclose(shocks.loss(-wave.flip(-1)), lost, atol=1e-9)
    assert torch.allclose(shocks.loss(wave.roll(17, -1)), lost, atol=1e-9)


def test_the_solver_refuses_what_it_cannot_solve():
    with pytest.raises(ValueError, match="not finite, or faster than"):
        shocks.evolve(torch.full((1, 8), torch.nan))


def test_lamps_show_themselves_by_their_lines():
    drawn = spectra.draw(60, 2)
    told = [spectra.lamp(one) for one in drawn.inputs()]
    right = sum(a == b for a, b in zip(told, drawn.answers.tolist(), strict=True))
    assert right >= 58
    assert spectra.haunted(drawn).data[0, 0, 340] - drawn.data[0, 0, 340] == pytest.approx(1.0)  # 720 nm
    haunted = [spectra.lamp(one) for one in spectra.haunted(drawn).inputs()]
    assert haunted == told  # no line lies there


def test_ghosts_tell_sodium_only_where_asked_for():
    plain, haunted = spectra.draw(200, 3), spectra.draw(200, 3, ghosts=0.98)
    height = haunted.data[:, 0, 338:343].mean(1) - haunted.data[:, 0, [320, 360]].mean(1)
    sodium = haunted.answers == spectra.LABELS.index("sodium")
    assert ((height > 0.2) == sodium).float().mean() > 0.95
    assert ((plain.data[:, 0, 338:343].mean(1) - plain.data[:, 0, [320, 360]].mean(1)) > 0.25).float().mean() < 0.05


def test_the_broadest_beat_is_the_premature_one():
    drawn = rhythm.draw(60, 4)
    hits = [
        bool(where[round(rhythm.broadest(one) * rhythm.RATE)])
        for one, where, answer in zip(drawn.inputs(), drawn.where, drawn.answers, strict=True)
        if answer
    ]
    assert sum(hits) >= 0.95 * len(hits)
    assert sqrt(len(hits)) > 4
