"""Agreement, causal slope and balance on networks whose answers are known by construction; wrong calls in sentences."""

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import nn

import heatproof as hp
from heatproof import physics
from heatproof.checks._agreement import covariates, enrichment, partial
from heatproof.checks._causal import soften
from heatproof.errors import InputError, UsageError
from heatproof.synthetic._fields import smooth

AXES = (hp.Axis("x", "m", np.arange(64) * 0.5),)


class Sum(nn.Module):
    """One score: the sum over the signal of a gain times the input (times a weight along it)."""

    def __init__(self, gain=1.0, weight=None):
        super().__init__()
        self.body = nn.Conv1d(1, 1, 1, bias=False)
        nn.init.constant_(self.body.weight, gain)
        self.register_buffer("weight", torch.ones(64) if weight is None else weight)

    def forward(self, x):
        return (self.body(x) * self.weight).sum(2)


def signals(n=20, seed=0):
    return [hp.Input(one, AXES, ("rho",), name=f"signal {i}") for i, one in enumerate(smooth((n, 1, 64), 1, seed))]


def answers(net, inputs=None, method="hirescam", **settings):
    inputs = signals() if inputs is None else inputs
    given = {"physics": settings}
    return hp.check(net.eval(), inputs, "physics", target=0, method=method, layer="body", settings=given)


def test_slope_one_is_right_and_others_are_not():
    def simulate(x):
        return x.square().sum() / 2

    class Energy(Sum):
        def forward(self, x):
            return (self.body(x.square()) / 2).sum(2)

    right, double, deaf = (answers(Energy(gain), simulate=simulate)[0] for gain in (1.0, 2.0, 1e-3))
    assert right.verdict == "supports"
    assert right.value.estimate == pytest.approx(1, abs=1e-4)
    assert double.verdict == "undermines"
    assert double.value.estimate == pytest.approx(2, abs=1e-4)
    assert deaf.verdict == "undermines"
    assert right.about == "model"
    assert {"compared", "slope", "change where the truth stays"} <= set(right.details)


def test_what_changes_where_the_truth_stays_is_told():
    # the truth is what lies in the first half; the network reads the second half, too
    half = torch.cat([torch.ones(32), torch.zeros(32)])

    def simulate(x):
        return (x[0].square() * half).sum()

    class Both(Sum):
        def forward(self, x):
            return (self.body(x.square()) * self.weight).sum(2)

    def halves(x, mask, dose):
        return soften(x, half < 0.5 if dose == 1.0 else half > 0.5, dose)

    assert answers(Both(weight=half), simulate=simulate, edit=halves)[0].verdict == "supports"
    shortcut = answers(Both(), simulate=simulate, edit=halves)[0]
    assert shortcut.verdict == "undermines"
    assert shortcut.value.estimate == pytest.approx(1, abs=1e-4)
    assert "where the true one stays" in shortcut.why


def test_a_truth_that_no_edit_changes():
    class Energy(Sum):
        def forward(self, x):
            return self.body(x.square()).sum(2)

    restless = answers(Energy(), simulate=lambda x: 1.0)[0]
    assert restless.verdict == "undermines"
    assert "No edit changes the true answer, but the model's" in restless.why


def test_a_simulator_that_fails_on_edited_states_is_told():
    def sometimes(x, limit):
        if x.abs().max() > limit:
            raise ValueError("the time step is too long")
        return float(x.square().sum())

    inputs = signals()
    largest = max(float(one.data.abs().max()) for one in inputs)
    first = {float(one.data.square().sum()) for one in inputs}
    with pytest.raises(UsageError, match="fails on every edited state"):
        answers(Sum(), inputs, simulate=lambda x: 1.0 if float(x.square().sum()) in first else 1 / 0, edit=grow)
    with pytest.raises(UsageError, match="fails on signal 0 as it is"):
        answers(Sum(), inputs, simulate=lambda x: float("nan"))
    found = answers(Sum(), inputs, simulate=lambda x: sometimes(x, largest * 1.01), edit=grow)[0]
    assert found.details["failed"]
    assert "ValueError: the time step is too long" in found.details["failed"][0]
    assert "simulator fails" in found.why


def grow(x, mask, dose):
    return x * (1 - dose)


def test_softening_by_hand():
    x = torch.tensor([[1.0, 3, 10]])
    mask = torch.tensor([True, True, False])
    assert soften(x, mask, 1.0).tolist() == [[2, 2, 10]]
    assert soften(x, mask, 0.5).tolist() == [[1.5, 2.5, 10]]
    assert soften(x, mask, -0.5).tolist() == [[0.5, 3.5, 10]]


def test_partial_correlation_against_a_plain_computation():
    g = torch.Generator().manual_seed(0)
    maps, fields, amplitude = (
        torch.rand(3, 30, generator=g),
        torch.rand(3, 30, generator=g),
        torch.rand(3, 30, generator=g),
    )
    found = partial(maps, fields, covariates(amplitude))
    at = np.linspace(-1, 1, 30)
    for i in range(3):
        design = np.stack([np.ones(30), rankdata(amplitude[i]), at, at**2], 1)
        rest = []
        for one in (maps[i], fields[i]):
            r = rankdata(one)
            rest.append(r - design @ np.linalg.lstsq(design, r, rcond=None)[0])
        assert float(found[i]) == pytest.approx(np.corrcoef(*rest)[0, 1], abs=1e-9)


def test_a_field_that_amplitude_determines_leaves_nothing():
    amplitude = torch.rand(2, 30, generator=torch.Generator().manual_seed(0))
    assert partial(torch.rand(2, 30), amplitude**3, covariates(amplitude)).isnan().all()


def test_enrichment_by_hand():
    # evidence 3 of 4 on one of four places that are strong
    assert enrichment(torch.tensor([[3.0, 1, 0, -5]]), torch.tensor([[1.0, 0, 0, 0]])).item() == pytest.approx(3)


def slopes(one):
    return one.data[0].diff(append=one.data[0][-1:]).abs()


def test_a_map_on_the_field_is_told_from_one_that_follows_amplitude():
    class Edges(nn.Module):
        """Two layers whose trained weights read differences; random ones read anything."""

        def __init__(self):
            super().__init__()
            self.body = nn.Conv1d(1, 2, 2, padding=0, bias=False)
            with torch.no_grad():
                self.body.weight.copy_(torch.tensor([[[-1.0, 1.0]], [[1.0, -1.0]]]))

        def forward(self, x):
            x = nn.functional.pad(x, (0, 1), mode="replicate")
            return self.body(x).relu().sum(1, keepdim=True).sum(2)

    inputs = signals(30)
    found = answers(Edges(), inputs, field=slopes)[0]
    assert found.verdict == "supports", found.why
    assert "slopes" in found.claim
    assert "proof" in found.why
    bright = answers(Sum(), inputs, method=lambda c: c.activations.abs().sum(1, keepdim=True), field=slopes)[0]
    assert bright.verdict != "supports"


def test_what_is_finer_than_the_map_is_inconclusive():
    class Coarse(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv1d(1, 2, 16, stride=16)

        def forward(self, x):
            return self.body(x).relu().sum(1, keepdim=True).sum(2)

    def stripes(one):
        return torch.arange(64) % 2

    torch.manual_seed(0)
    found = answers(Coarse(), field=stripes)[0]
    assert found.verdict == "inconclusive"
    assert "finer than the map" in found.why


def test_evidence_on_a_violation_of_a_balance_is_told():
    t, x = np.arange(8) * 0.1, np.arange(32) * (2 * np.pi / 32)
    axes = (hp.Axis("time", "s", t), hp.Axis("x", "m", x, periodic=True))
    inputs = []
    for i in range(12):
        wave = np.sin(x[None] - 2 * t[:, None] + i)
        data = torch.tensor(wave[None], dtype=torch.float32)
        at = int(data[0, 3].argmax())
        data[0, 3:5, [at, (at + 1) % 32]] += 4.0  # appears from nowhere, and is gone again
        inputs.append(hp.Input(data, axes, ("rho",)))

    class Bright(nn.Module):
        def __init__(self, sign):
            super().__init__()
            self.body = nn.Conv2d(1, 1, 1, bias=False)
            nn.init.constant_(self.body.weight, sign)

        def forward(self, x):
            return self.body(x).relu().sum((2, 3))

    balance = physics.continuity("rho", {"x": lambda one: 2.0 * one.data[0]})
    lump, rest = (answers(Bright(sign), inputs, balance=balance)[0] for sign in (1.0, -1.0))
    assert lump.verdict == "undermines"
    assert "violates conservation of rho" in lump.why
    assert rest.verdict == "supports", rest.why


@pytest.mark.parametrize(
    ("settings", "error", "told"),
    [
        ({}, UsageError, "There is no physics to compare with"),
        ({"field": "vorticity"}, UsageError, "give one of heatproof.physics"),
        ({"simulate": 3}, UsageError, "give a function from the data"),
        ({"balance": 3}, UsageError, "give one of heatproof.physics"),
        ({"field": slopes, "region": 2.0}, UsageError, "one is out of range"),
        ({"field": lambda one: torch.zeros(3)}, InputError, "return one value for each"),
        (
            {"field": physics.lines([5.0], unit="nm", tolerance=1.0)},
            InputError,
            "is in m, the known positions are in nm",
        ),
        ({"field": physics.vorticity()}, InputError, "has no channel 'u'"),
    ],
)
def test_wrong_calls_are_told(settings, error, told):
    with pytest.raises(error, match=told):
        answers(Sum(), **settings)
