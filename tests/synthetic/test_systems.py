"""The simulators obey what they simulate, and the shipped networks do what their cards say."""

import json
from importlib.resources import files

import pytest
import torch

import heatproof as hp
from heatproof.synthetic.systems import SYSTEMS, system, vortex
from heatproof.synthetic.systems._drawn import score
from heatproof.synthetic.systems._story import auc, localization, targets_of


@pytest.mark.parametrize("name", SYSTEMS)
def test_one_seed_draws_the_same_and_another_something_else(name):
    module = system(name)
    one, again, other = module.draw(4, 5), module.draw(4, 5), module.draw(4, 6)
    assert torch.equal(one.data, again.data)
    assert not torch.equal(one.data, other.data)
    assert one.data.isfinite().all()
    assert one.where[one.answers != 0].flatten(1).any(1).all()
    assert one.inputs()[0].axes[0].unit


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("kind", ["right", "wrong"])
def test_the_shipped_network_is_as_good_as_its_card_says(name, kind):
    card = json.loads((files("heatproof") / "weights" / f"{name}_{kind}.json").read_text())
    net = hp.load(f"bundled:{name}_{kind}").net
    assert score(net, system(name).draw(150, 1001)) == pytest.approx(
        card["test_accuracy"]["inputs as nature makes them"], abs=0.08, rel=0.05
    )


def test_the_vortex_turns_and_the_source_does_not():
    drawn = vortex.draw(20, 3)
    turning = [vortex.circulation(one) for one in drawn.data]
    assert turning == drawn.answers.tolist()
    known = vortex.known()
    for one, core in zip(drawn.inputs(), drawn.where, strict=True):
        omega = known.of(one, hp.explain(hp.load("bundled:vortex_right"), [one]).resolution)
        assert core.flatten()[omega.argmax()]  # the strongest rotation lies in the core


def test_the_right_network_finds_the_core_and_the_twin_the_wind():
    drawn = vortex.draw(30, 11)
    right, wrong = (
        localization(hp.explain(hp.load(f"bundled:vortex_{kind}"), drawn.inputs(), targets_of(vortex, drawn)), drawn)
        for kind in ("right", "wrong")
    )
    assert right["auc"] > 0.95 > wrong["auc"]
    assert right["pointing"] >= 0.9 > wrong["pointing"]


def test_the_right_network_finds_the_cold_disc_and_the_twin_does_not():
    drawn = system("ising").draw(40, 11)
    right, wrong = (
        localization(
            hp.explain(hp.load(f"bundled:ising_{kind}"), drawn.inputs(), targets_of(system("ising"), drawn)), drawn
        )
        for kind in ("right", "wrong")
    )
    assert right["auc"] > 0.95 > wrong["auc"] + 0.1
    assert right["pointing"] >= 0.9 > wrong["pointing"]


def test_auc_by_hand():
    maps, masks = torch.tensor([[3.0, 1, 2, 0]]), torch.tensor([[True, False, True, False]])
    assert auc(maps, masks).item() == 1
    assert auc(torch.tensor([[1.0, 1, 1, 1]]), masks).item() == 0.5
    assert auc(maps, torch.tensor([[False] * 4])).isnan().all()
