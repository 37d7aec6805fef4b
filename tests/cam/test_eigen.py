"""Eigen-CAM and Eigen-Grad-CAM on paper, and the sign that a singular vector lacks."""

from dataclasses import replace
from math import sqrt, tanh

import numpy as np
import pytest
import torch
from tests.cam.paper import network
from tests.contract.captures import toy

from heatproof.cam import methods
from heatproof.errors import MethodError
from heatproof.types import Capture

METHODS = methods()
A = torch.tensor([[1.0, 2.0, 3.0, 0.0], [1.0, 0.0, 0.0, 2.0]])  # the activations on paper, flattened


def explain(name: str, capture: Capture, **settings) -> torch.Tensor:
    return METHODS[name].function(capture, **settings)


def planted(sign: float, axes: int = 2, background: float = 0.1) -> Capture:
    """A capture whose activations are noise and one strong blob at one end, of the given sign."""
    capture = toy(axes, "pooled", dtype=torch.float64).capture()
    noise = torch.randn(capture.activations.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    activations = background * noise
    activations[(..., *(slice(0, 2),) * axes)] += sign * torch.tensor([3.0, 1, 4, 1, 5, 9]).view(-1, *(1,) * axes)
    return replace(capture, activations=activations)


def test_eigencam_on_paper():
    # positions (1 1) (2 0) (3 0) (0 2) give O^T O = [14 1; 1 5], with eigenvalues (19 +- sqrt(85)) / 2 and v_1
    # along ((9 + sqrt(85)) / 2, 1)
    leading = torch.tensor([(9 + sqrt(85)) / 2, 1.0])
    expected = (leading @ A / leading.norm()).view(2, 2)
    torch.testing.assert_close(explain("eigencam", network("dense").capture())[0, 0], expected)


def test_centered_eigencam_on_paper():
    # means 3/2 and 3/4: O = (-.5 .25) (.5 -.75) (1.5 -.75) (-1.5 1.25); O^T O = [5 -3.5; -3.5 2.75], eigenvalues
    # (7.75 +- sqrt(2.25^2 + 7^2)) / 2, v_1 along (lambda - 2.75, -3.5). Energies 2 4 9 4: the third place leads, so
    # that v_1 points to it: the first coordinate is positive
    largest = (7.75 + sqrt(2.25**2 + 49)) / 2
    leading = torch.tensor([largest - 2.75, -3.5])
    expected = (leading @ (A - A.mean(1, keepdim=True)) / leading.norm()).view(2, 2)
    assert expected.view(-1) @ torch.tensor([2.0, 4, 9, 4]) > 0
    torch.testing.assert_close(explain("eigencam", network("dense").capture(), centered=True)[0, 0], expected)


def test_eigengradcam_on_paper():
    # products (1 .5) (0 0) (-3 0) (0 1) give P^T P = [10 .5; .5 1.25], eigenvalues (11.25 +- sqrt(8.75^2 + 1)) / 2;
    # HiResCAM is 1.5 0 -3 1, and the map correlates with it if the first coordinate of v_1 is positive
    leading = torch.tensor([(11.25 + sqrt(8.75**2 + 1)) / 2 - 1.25, 0.5])
    products = torch.tensor([[1.0, 0, -3, 0], [0.5, 0, 0, 1]])
    expected = (leading @ products / leading.norm()).view(2, 2)
    torch.testing.assert_close(explain("eigengradcam", network("dense").capture())[0, 0], expected)


def test_kpcacam_on_paper():
    # two positions, 3 and 1 in one channel: centered 1 and -1, gamma 1, so that K = [tanh 2, 0; 0, tanh 2]; centered in
    # feature space it is tanh 2 / 2 [1 -1; -1 1], with eigenvalue tanh 2 and eigenvector (1 -1) / sqrt 2; the first
    # position has the larger energy
    base = toy(1, "pooled", n=1, t=1).capture()
    capture = replace(base, activations=torch.tensor([[[3.0, 1.0]]]), gradients=torch.ones(1, 1, 1, 2))
    expected = torch.tensor([1.0, -1.0]) * sqrt(tanh(2) / 2)
    torch.testing.assert_close(explain("kpcacam", capture)[0, 0], expected)


def test_kpcacam_is_blank_where_every_position_is_alike():
    base = toy(1, "pooled", n=1, t=1).capture()
    alike = torch.tensor([0.1, 0.7, 0.3]).view(1, 3, 1).expand(1, 3, 9)
    capture = replace(base, activations=alike, gradients=torch.ones(1, 1, 3, 9))
    assert (explain("kpcacam", capture) == 0).all()


def test_kpcacam_refuses_a_grid_whose_square_is_too_large():
    base = toy(2, "pooled", n=1, t=1).capture()
    capture = replace(base, activations=torch.ones(1, 1, 80, 80), gradients=torch.ones(1, 1, 1, 80, 80))
    with pytest.raises(MethodError, match=r"grid \(80, 80\) of layer 'trunk' has 6400 of them, more than 4096"):
        explain("kpcacam", capture)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_kpcacam_shows_a_planted_blob(axes):
    maps = explain("kpcacam", planted(1.0, axes))
    blob = maps[(..., *(slice(0, 2),) * axes)].clone()
    maps[(..., *(slice(0, 2),) * axes)] = -1
    assert (blob > 0).all()
    assert (maps < 0).all()


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_planted_blob_is_positive_whatever_the_sign_of_its_activations(axes, sign, centered):
    maps = explain("eigencam", planted(sign, axes), centered=centered)
    blob = maps[(..., *(slice(0, 2),) * axes)]
    assert (blob > 0).all()
    elsewhere = maps.clone()
    elsewhere[(..., *(slice(0, 2),) * axes)] = 0
    assert (blob.flatten(2).amin(-1) > 1.5 * elsewhere.flatten(2).abs().amax(-1)).all()


def test_rectified_activations_give_a_map_that_is_nowhere_negative():
    # O^T O has no negative entry, so neither has its leading vector (Perron and Frobenius)
    maps = explain("eigencam", toy(2, "dense", rectified=True, dtype=torch.float64).capture())
    assert (maps >= -1e-12).all()


def test_a_place_of_much_energy_beside_the_component_does_not_turn_the_map_around():
    # 1 1 1 0 in one channel, 0 0 0 1.1 in another: the energy is largest where the component is zero
    activations = torch.tensor([[[1.0, 1, 1, 0], [0, 0, 0, 1.1]]])
    base = toy(1, "pooled", n=1, t=1).capture()
    capture = replace(base, activations=activations, gradients=torch.ones(1, 1, 2, 4))
    torch.testing.assert_close(explain("eigencam", capture)[0, 0], torch.tensor([1.0, 1, 1, 0]))


def test_eigencam_does_not_see_the_target():
    capture = toy(2, "dense", t=3).capture()
    maps = explain("eigencam", capture)
    assert torch.equal(maps[:, 0], maps[:, 1])
    changed = replace(capture, gradients=-7 * capture.gradients, scores=capture.scores + 3)
    assert torch.equal(explain("eigencam", changed), maps)


def test_eigengradcam_turns_around_with_the_target():
    capture = toy(2, "dense", dtype=torch.float64).capture()
    turned = replace(capture, gradients=-capture.gradients)
    torch.testing.assert_close(explain("eigengradcam", turned), -explain("eigengradcam", capture))


def test_evidence_against_stays_negative():
    # one channel, active at one place, with a gradient of -2: nothing speaks for the target
    base = toy(1, "pooled", n=1, t=1).capture()
    capture = replace(base, activations=torch.tensor([[[0.0, 3, 0]]]), gradients=torch.tensor([[[[-2.0, -2.0, -2.0]]]]))
    assert explain("eigengradcam", capture).tolist() == [[[0, -6, 0]]]


@pytest.mark.parametrize("shape", [(5, 300), (300, 5)])
def test_both_ways_through_the_decomposition_agree_with_numpy(shape):
    channels, places = shape
    base = toy(1, "pooled", n=2, t=1, dtype=torch.float64).capture()
    draws = torch.Generator().manual_seed(1)
    activations = torch.randn(2, channels, places, generator=draws, dtype=torch.float64)
    capture = replace(base, activations=activations, gradients=torch.ones(2, 1, channels, places, dtype=torch.float64))
    for found, a in zip(explain("eigencam", capture), activations.numpy(), strict=True):
        expected = a.T @ np.linalg.svd(a.T)[2][0]
        np.testing.assert_allclose(np.abs(found[0].numpy()), np.abs(expected), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["eigencam", "eigengradcam", "kpcacam"])
def test_what_is_not_finite_stays_so_and_spoils_no_other_input(name):
    capture = toy(2, "pooled", dtype=torch.float64).capture()
    activations = capture.activations.clone()
    activations[1, 0, 0, 0] = torch.nan
    maps = explain(name, replace(capture, activations=activations))
    assert maps[1].isnan().all()
    assert torch.equal(maps[[0, 2]], explain(name, capture)[[0, 2]])
