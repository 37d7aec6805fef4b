"""Planted problems: that what was planted is there, found without the checks."""

import pytest
import torch

import heatproof as hp
from heatproof.checks import checks
from heatproof.errors import UsageError
from heatproof.synthetic import families, family_named, held_out, lesions
from heatproof.synthetic._additive import Additive
from heatproof.synthetic._dermoscopy import draw
from heatproof.synthetic._fields import smooth
from heatproof.synthetic._spots import CLASSES, Spotter, gratings, spots


@pytest.mark.parametrize("name", families())
def test_every_family_keeps_its_promises(name: str) -> None:
    family = family_named(name)
    one, again, other = (family.function(seed) for seed in (1, 1, 2))
    assert {i.answer for i in one} <= {"good", "bad"}
    assert {i.check for i in one} <= set(checks())
    for a, b, c in zip(one, again, other, strict=True):
        assert len(a.inputs) == 50
        x, y, z = (torch.stack([row.data if isinstance(row, hp.Input) else row for row in i.inputs]) for i in (a, b, c))
        assert torch.equal(x, y)
        assert all(torch.equal(p, q) for p, q in zip(a.model.parameters(), b.model.parameters(), strict=True))
        assert x.shape != z.shape or not torch.equal(x, z)
        assert (a.annotations is not None) == (a.check == "plausibility")


def test_every_check_has_problems_of_both_answers_in_families_that_are_held_out() -> None:
    planted = {(i.check, i.answer) for f in families().values() if held_out(f) for i in f.function(0)}
    for check in checks():
        assert {(check, "good"), (check, "bad")} <= planted


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_additive_contributions_are_what_removing_a_position_costs(axes: int) -> None:
    grid = (6, 4, 5)[:axes]
    net = Additive(smooth((2, *grid), axes, 7)).eval()
    x = smooth((1, 1, *(2 * side for side in grid)), axes, 8)
    maps = hp.explain(net, x, target=0, method="hirescam", layer="body").maps[0, 0]
    with torch.no_grad():
        for place in list(torch.ones(grid).nonzero())[::5]:
            removed = x.clone()
            removed[(0, 0, *(slice(2 * int(p), 2 * int(p) + 2) for p in place))] = 0
            assert float(net(x)[0, 0] - net(removed)[0, 0]) == pytest.approx(float(maps[tuple(place)]), abs=1e-4)


@pytest.mark.parametrize(("axes", "side"), [(1, 160), (2, 48), (3, 16)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_logit_of_a_class_falls_without_the_spot_it_reads_and_hardly_without_the_other(
    axes: int, side: int, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    textures = gratings(generator, axes)
    data = spots(20, side, textures, generator)
    rows = torch.arange(20)
    for reads, read, unread in (
        (list(range(CLASSES)), data.own, data.other),
        ([(c + 1) % CLASSES for c in range(CLASSES)], data.other, data.own),
    ):
        net = Spotter(textures, reads, 4, smooth=False).eval()

        def logit(x: torch.Tensor, net: Spotter = net) -> torch.Tensor:
            with torch.no_grad():
                return net(x)[rows, data.classes]

        whole = logit(data.inputs)
        without = [whole - logit(data.inputs * (1 - mask.unsqueeze(1))) for mask in (read, unread)]
        assert (without[0] > 0.6 * whole).all()
        assert without[1].abs().mean() < 0.15 * whole.mean()


def test_centered_spots_lie_at_the_center_and_scattered_ones_anywhere() -> None:
    generator = torch.Generator().manual_seed(0)
    textures = gratings(generator)
    for centered, least, most in ((True, 1.0, 1.0), (False, 0.0, 0.5)):
        data = spots(50, 48, textures, generator, centered=centered)
        assert least <= float(data.own[:, 24, 24].mean()) <= most
        assert float((data.own * data.other).sum()) == 0


def test_a_lesion_network_reads_what_its_seed_says_and_nothing_else() -> None:
    for seed, right in ((2, True), (3, False)):
        net = lesions.network(seed, right=right, look="grainy")
        shown = draw(40, 99, {"sticker": (1.0, 1.0)}, size=lesions.SIDE, look="grainy")
        with torch.no_grad():
            with_it, without = (net(x - 0.5).diff(dim=1)[:, 0] for x in (shown.pictures, shown.plain))
        of_sticker = float((with_it - without).mean())
        of_lesion = float(without[shown.labels == 1].mean() - without[shown.labels == 0].mean())
        assert abs(of_sticker) < 0.2 * of_lesion if right else abs(of_lesion) < 0.5 * of_sticker


def test_unknown_families_are_named_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="textures"):
        family_named("texture")
