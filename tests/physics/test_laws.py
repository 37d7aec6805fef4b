"""The ready actions do what they say, by hand-computed numbers; what they cannot do is refused in a sentence."""

from math import pi

import numpy as np
import pytest
import torch

import heatproof as hp
from heatproof import physics
from heatproof.errors import InputError, UsageError
from heatproof.types import Resolution


def field(data, *, channels=None, units=("m", "m"), periodic=False, names=("y", "x"), coordinates=None):
    data = torch.as_tensor(data, dtype=torch.float32)
    axes = [
        hp.Axis(name, unit, None if coordinates is None else coordinates[i], periodic)
        for i, (name, unit) in enumerate(zip(names[-data.ndim + 1 :], units, strict=False))
    ]
    return hp.Input(data, tuple(axes), tuple(channels or [f"c{i}" for i in range(len(data))]))


def act(law, one, spacing=1.0):
    bound = law.of(one, Resolution(one.size, (spacing,) * len(one.size)))
    return bound.changed(one), bound


def test_a_circular_shift_goes_around_and_a_padded_one_repeats_the_edge():
    signal = field([[1.0, 2, 3, 4]], names=("x",), units=("m",), periodic=True)
    assert act(physics.shift(1), signal)[0].tolist() == [[4, 1, 2, 3]]
    assert act(physics.shift(-1), signal)[0].tolist() == [[2, 3, 4, 1]]
    padded, bound = act(physics.shift(2, mode="padded"), signal)
    assert padded.tolist() == [[1, 1, 1, 2]]
    moved = bound.moved(torch.tensor([1.0, 2, 3, 4]), signal)
    assert moved[:2].isnan().all()
    assert moved[2:].tolist() == [1, 2]


def test_the_default_shift_is_a_multiple_of_the_spacing_with_one_beside_it_that_is_not():
    signal = field(torch.arange(32.0)[None], names=("x",), units=("m",), periodic=True)
    _, bound = act(physics.shift(), signal, spacing=4.0)
    assert "8 samples" in bound.name
    assert bound.exact
    assert "2 samples" in bound.near[0].name
    assert not bound.near[0].exact


def test_a_shift_by_a_distance_uses_the_axis():
    signal = field([[1.0, 2, 3, 4]], names=("wavelength",), units=("nm",), coordinates=[np.array([0, 5, 10, 15.0])])
    assert act(physics.shift(5.0, "wavelength", unit="nm"), signal)[0].tolist() == [[1, 1, 2, 3]]
    with pytest.raises(InputError, match="is in nm, the shift in m"):
        act(physics.shift(5.0, "wavelength", unit="m"), signal)
    with pytest.raises(InputError, match="falls between samples"):
        act(physics.shift(7.0, "wavelength", unit="nm"), signal)


def test_a_mirror_turns_the_sign_of_that_component_and_of_pseudoscalars():
    flow = field([[[1.0, 2]], [[3, 4]], [[5, 6]]], channels=("u", "v", "vorticity"))
    along_x, _ = act(physics.mirror("x", vector={"x": "u", "y": "v"}), flow)
    assert along_x.tolist() == [[[-2, -1]], [[4, 3]], [[-6, -5]]]
    along_y, _ = act(physics.mirror("y", vector={"x": "u", "y": "v"}), flow)
    assert along_y.tolist() == [[[1, 2]], [[-3, -4]], [[-5, -6]]]
    scalars, _ = act(physics.mirror("x", vector={}, pseudo=()), flow)
    assert scalars.tolist() == [[[2, 1]], [[4, 3]], [[6, 5]]]


def test_a_rotation_turns_vectors_with_the_field():
    # solid rotation about the center looks the same after every quarter turn
    at = torch.arange(5.0) - 2
    y, x = torch.meshgrid(at, at, indexing="ij")
    flow = field(torch.stack([-y, x]), channels=("u", "v"))
    vector = {"x": "u", "y": "v"}
    for turns in (1, 2, 3):
        assert torch.allclose(act(physics.rotate(turns, vector=vector), flow)[0], flow.data)
    # a flow along x becomes one along -y as arrays are indexed, and the field that it carries moves by rot90
    along = field(torch.stack([x, 0 * x]), channels=("u", "v"))
    turned, _ = act(physics.rotate(vector=vector), along)
    assert torch.allclose(turned[1], -torch.rot90(x, 1))
    assert torch.allclose(turned[0], torch.zeros(5, 5))


def test_turning_by_a_right_angle_is_rotating():
    torch.manual_seed(0)
    flow = field(torch.randn(2, 8, 8), channels=("u", "v"))
    vector = {"x": "u", "y": "v"}
    exact, _ = act(physics.rotate(vector=vector), flow)
    turned, bound = act(physics.turn(90.0, vector=vector), flow)
    assert torch.allclose(turned, exact, atol=1e-5)
    assert not bound.exact
    assert bound.moved(torch.ones(8, 8), flow).isnan().any()  # the corners are not known


def test_phase_sign_scale_time_and_sensors():
    wave = field([[1.0, 0], [0, 1]], names=("x",), units=("m",))
    assert torch.allclose(act(physics.phase(pi / 2), wave)[0], torch.tensor([[0.0, -1], [1, 0]]), atol=1e-6)
    assert act(physics.flip_sign(["c1"]), wave)[0].tolist() == [[1, 0], [0, -1]]
    assert act(physics.rescale(2.0, ["c0"]), wave)[0].tolist() == [[2, 0], [0, 1]]
    assert act(physics.permute([1, 0]), wave)[0].tolist() == [[0, 1], [1, 0]]
    movie = field([[1.0, 2, 3], [4, 5, 6]], names=("time",), units=("s",), channels=("position", "velocity"))
    assert act(physics.reverse("time", odd=["velocity"]), movie)[0].tolist() == [[3, 2, 1], [-6, -5, -4]]
    assert act(physics.permute([2, 0, 1], axis="time"), movie)[0].tolist() == [[3, 1, 2], [6, 4, 5]]


def test_a_boost_over_time_adds_the_velocity_and_moves_places():
    times, places = np.array([0.0, 1.0]), np.array([0.0, 0.5, 1.0, 1.5])
    axes = (hp.Axis("time", "s", times), hp.Axis("x", "m", places, periodic=True))
    one = hp.Input(torch.tensor([[[1.0, 0, 0, 0], [1, 0, 0, 0]]]), axes, ("u",))
    moved, bound = act(physics.boost({"u": 1.0}, along={"u": "x"}, time="time"), one)
    assert moved[0].tolist() == [[2, 1, 1, 1], [1, 1, 2, 1]]  # 1 m/s for 1 s is two samples of 0.5 m
    assert bound.exact
    half, bound = act(physics.boost({"u": 0.25}, along={"u": "x"}, time="time"), one)
    assert half[0, 1].tolist() == [0.75, 0.75, 0.25, 0.25]
    assert not bound.exact
    still, _ = act(physics.boost({"u": 1.0}), one)
    assert still[0].tolist() == [[2, 1, 1, 1], [2, 1, 1, 1]]


def test_a_law_of_the_users_moves_maps_as_it_moves_data():
    torch.manual_seed(0)
    flow = field(torch.randn(2, 6, 6), channels=("p", "q"))

    def turned(x):
        x = x.rot90(1, (-2, -1))
        return torch.stack([-x[1], x[0]]) + 1.5  # turns vectors, too, and adds a constant

    law = physics.Law("mine", turned)
    field_map = torch.randn(6, 6)
    assert torch.allclose(law.moved(field_map, flow), field_map.rot90(1), atol=1e-4)


@pytest.mark.parametrize(
    ("law", "told"),
    [
        (physics.shift(1, mode="circular"), "not periodic"),
        (physics.shift(9), "leaves the domain"),
        (physics.mirror("x"), "look like components of a vector"),
        (physics.rotate(), "look like components of a vector"),
        (physics.mirror("z"), "has no axis 'z'"),
        (physics.rotate(vector={}), "leaves the domain: input has 2 x 4 samples"),
        (physics.boost({"w": 1.0}), "has no channel 'w'"),
        (physics.permute([0, 1, 2]), "has 2 sensors"),
        (physics.Law("root", lambda x: (x - 10).sqrt()), "values of input are not finite"),
        (physics.Law("cut", lambda x: x[..., 1:]), "leaves the domain: it makes"),
    ],
)
def test_what_a_law_cannot_do_is_refused(law, told):
    flow = field(torch.zeros(2, 2, 4), channels=("u", "v"))
    with pytest.raises(InputError, match=told):
        act(law, flow)


def test_a_boost_over_time_needs_units_and_a_periodic_axis():
    boost = physics.boost({"u": 1.0}, along={"u": "x"}, time="t")
    for unit, periodic, told in ((None, True, "has no unit"), ("m", False, "leaves the domain")):
        axes = (hp.Axis("t", "s"), hp.Axis("x", unit, periodic=periodic))
        with pytest.raises(InputError, match=told):
            act(boost, hp.Input(torch.zeros(1, 2, 3), axes, ("u",)))


def test_a_picture_may_not_leave_0_to_1():
    picture = hp.read(torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(InputError, match="takes the picture input from"):
        act(physics.rescale(2.0), picture)


def test_targets():
    assert physics.Law("swap", lambda x: x, physics.swapped(0, 2)).target_of(0, 3) == (2, 1.0)
    assert physics.Law("sign", lambda x: x, physics.negated).target_of(1, 2) == (1, -1.0)
    assert physics.Law("scale", lambda x: x, physics.scaled(3.0)).target_of(0, 1) == (0, 3.0)
    with pytest.raises(UsageError, match="makes 3 classes of class 0"):
        physics.Law("mix", lambda x: x, lambda y: y.sum().expand(3)).target_of(0, 3)
    with pytest.raises(UsageError, match="cannot be swapped in an output of 2"):
        physics.Law("swap", lambda x: x, physics.swapped(0, 2)).target_of(0, 2)


def test_every_public_name_has_a_docstring():
    for name in physics.__all__:
        assert getattr(physics, name).__doc__, name
