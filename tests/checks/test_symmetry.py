"""Three outcomes told apart on networks that keep or break laws by construction; statistics by hand; wrong calls."""

import pytest
import torch
from tests.checks.symmetric import Round, periodic_fields
from torch import nn

import heatproof as hp
from heatproof import physics
from heatproof.checks._acted import correlation, over, to_grid
from heatproof.checks.symmetry import BOTH, MAP, MODEL, OPEN, concordance
from heatproof.errors import HeatproofWarning, InputError, UsageError
from heatproof.types import Geometry


def answer(net, law, inputs=None, *, target=0, **more):
    inputs = periodic_fields() if inputs is None else inputs
    settings = {"laws": law, **{name: more.pop(name) for name in ("tolerance", "margin") if name in more}}
    return hp.check(net.eval(), inputs, "symmetry", target=target, settings={"symmetry": settings}, **more)[0]


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("law", [physics.rotate(), physics.rotate(2), physics.mirror("x"), physics.shift(axis="y")])
def test_a_round_circular_network_keeps_its_laws(law, seed):
    found = answer(Round(seed), law)
    assert found.details["outcome"] == BOTH, found.why
    assert found.verdict == "supports"
    assert found.about == "map"
    assert found.details["outputs"].low > 0.999
    assert found.value is not None
    assert found.value.low > 0.999


def test_a_network_that_sees_coordinates_breaks_them():
    for law in (physics.rotate(), physics.shift(axis="x")):
        found = answer(Round(coordinates=True), law)
        assert found.details["outcome"] == MODEL
        assert (found.verdict, found.about) == ("undermines", "model")


def test_a_map_that_does_not_move_is_to_blame_where_the_network_keeps_the_law():
    found = answer(Round(), physics.shift(axis="x"), method="center_prior")
    assert found.details["outcome"] == MAP
    assert (found.verdict, found.about) == ("undermines", "map")
    assert found.details["outputs"].low > 0.999


def test_maps_that_are_all_alike_show_nothing():
    found = answer(Round(), physics.rotate(), method="center_prior")  # round itself, so that it seems to turn
    assert found.details["outcome"] == OPEN
    assert "too alike" in found.why


def test_shifts_that_the_grid_cannot_follow_are_measured_beside():
    found = answer(Round(), physics.shift(axis="x"))
    (name,) = found.details["beside it"]
    assert "by 1 sample" in name
    beside = found.details["beside it"][name]
    assert beside["floor"].estimate < 0.999 < found.value.estimate


def test_the_law_of_the_target_is_tested_too():
    class Odd(nn.Module):
        """One score that changes sign with its input."""

        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular", bias=False)
            self.head = nn.Linear(4, 1, bias=False)

        def forward(self, x):
            return self.head(self.body(x).pow(3).mean((2, 3)))

    torch.manual_seed(0)
    net = Odd()
    assert answer(net, physics.flip_sign(target=physics.negated)).details["outcome"] == BOTH
    assert answer(net, physics.flip_sign()).details["outcome"] == MODEL
    assert answer(net, physics.rescale(2.0, target=physics.scaled(8.0))).details["outcome"] == BOTH


def test_several_laws_share_alpha():
    laws = [physics.rotate(), physics.mirror("x")]
    found = hp.check(Round().eval(), periodic_fields(), "symmetry", target=0, settings={"symmetry": {"laws": laws}})
    assert [one.alpha for one in found] == [0.025, 0.025]
    assert [one.details["law"] for one in found] == ["rotate by 90°", "mirror x"]


def test_a_law_acts_on_the_original_not_on_what_was_normalized():
    # with a mean of 1 taken off, the network is odd in x - 1; the law turns the sign of x itself
    class Mean(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(1, 2, 1)

        def forward(self, x):
            return self.body(x).pow(3).mean((2, 3))

    torch.manual_seed(1)
    from heatproof.inputs import Preprocess

    plain, shifted = hp.Model(Mean().eval()), hp.Model(Mean().eval(), Preprocess(mean=(5.0,), std=(1.0,)))
    inputs = periodic_fields()
    one, other = (
        hp.check(net, inputs, "symmetry", target=0, settings={"symmetry": {"laws": physics.rescale(3.0)}})[0]
        for net in (plain, shifted)
    )
    net = shifted.net
    before = torch.stack([net(x.data[None] - 5.0)[0] for x in inputs]).double()
    after = torch.stack([net(3 * x.data[None] - 5.0)[0] for x in inputs]).double()
    assert other.details["outputs"].estimate == pytest.approx(float(concordance(before, after).mean()), abs=1e-5)
    assert one.details["outputs"].estimate != pytest.approx(other.details["outputs"].estimate, abs=1e-3)


def test_concordance_by_hand():
    a = torch.tensor([[1.0], [2], [3]]).double()
    b = torch.tensor([[2.0], [3], [4]]).double()
    # Lin: 2 cov / (var a + var b + (mean a - mean b)^2) = 2 (2/3) / (2/3 + 2/3 + 1)
    assert concordance(a, b).mean() == pytest.approx(4 / 7)
    assert concordance(a, a).tolist() == [1, 1, 1]
    assert concordance(a, -a + 4).mean() == pytest.approx(-1)
    assert concordance(torch.ones(3, 2).double(), torch.ones(3, 2).double()).isnan().all()


def test_correlation_leaves_out_what_is_not_known():
    a = torch.tensor([[[1.0, 2, 3, torch.nan]]])
    b = torch.tensor([[[2.0, 4, 6, -100]]])
    assert correlation(a, b).item() == pytest.approx(1)
    assert correlation(a, torch.ones(1, 1, 4)).isnan().all()


def test_maps_go_to_the_original_and_back():
    grid = torch.arange(16.0).reshape(4, 4)
    same = Geometry.identity((8, 8))
    assert torch.equal(to_grid(over(grid, same), same, (4, 4)).float(), grid)
    # the model sees the middle half of a 16 x 16 original
    cropped = Geometry((16, 16), (8, 8), (1.0, 1.0), (4.0, 4.0))
    wide = over(grid, cropped)
    assert wide[:4].isnan().all()
    assert torch.equal(to_grid(wide, cropped, (4, 4)).float(), grid)


def test_a_network_that_says_the_same_of_all_is_not_judged():
    class Deaf(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(1, 2, 1)

        def forward(self, x):
            return 0 * self.body(x).mean((2, 3)) + torch.tensor([1.0, 2.0])

    found = answer(Deaf(), physics.rotate())
    assert found.verdict == "inconclusive"
    assert "the same for all inputs" in found.why


def test_few_inputs_decide_nothing():
    found = answer(Round(), physics.rotate(), periodic_fields(5))
    assert found.verdict == "inconclusive"
    assert found.n_needed == 10


def test_a_law_in_five_lines():
    def act(x):
        return x.rot90(1, (-2, -1))

    found = answer(Round(), physics.Law("a quarter turn", act))
    assert found.details["outcome"] == BOTH
    assert "a quarter turn" in found.claim


@pytest.mark.parametrize(
    ("laws", "told"),
    [
        (None, "say which laws your problem has"),
        (["mirror"], "say which laws your problem has"),
        (physics.mirror("x", target=physics.swapped(0, 7)), "cannot be swapped in an output of 3"),
        (physics.Law("list", lambda x: x.tolist()), "must return a tensor"),
        (physics.Law("shape", lambda x: x, lambda y: y[:2]), "changes the shape of an output of 3|makes"),
    ],
)
def test_wrong_laws_are_told(laws, told):
    with pytest.raises(UsageError, match=told):
        answer(Round(), laws)


def test_a_circular_shift_of_what_is_not_periodic_is_refused():
    inputs = [hp.Input(one.data, (hp.Axis("y"), hp.Axis("x")), one.channels) for one in periodic_fields()]
    with pytest.raises(InputError, match="is not periodic, so a circular shift"):
        answer(Round(), physics.shift(4, mode="circular"), inputs)
    assert "padded" in answer(Round(), physics.shift(4), inputs).claim


def flows(n=12):
    data = torch.randn(n, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    return [hp.Input(one, (hp.Axis("y", "m"), hp.Axis("x", "m")), ("u", "v")) for one in data]


def test_a_mirrored_velocity_without_its_sign_is_refused_or_warned_of():
    class Flow(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(2, 4, 3, padding=1)
            self.head = nn.Linear(4, 2)

        def forward(self, x):
            return self.head(self.body(x).relu().mean((2, 3)))

    with pytest.raises(InputError, match="look like components of a vector"):
        answer(Flow(), physics.mirror("x"), flows())
    with pytest.warns(HeatproofWarning, match="leaves the sign of 'u'"):
        answer(Flow(), physics.Law("mirror", lambda x: x.flip(-1)), flows())


def test_settings_out_of_range():
    with pytest.raises(UsageError, match="each must lie between 0 and 1"):
        answer(Round(), physics.rotate(), tolerance=1.5)
