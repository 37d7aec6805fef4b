"""Where a peer's map differs, the slow loop from the paper says that ours is right, and the peer's slip is named."""

import pytest
from tests.peers import raw
from tests.peers.bout import off
from tests.peers.networks import CASES
from tests.peers.test_agreement import EPSILON, OVERWRITTEN, RELATIVE

BY_NAME = {case.name: case for case in CASES}
FAR = 1e-3  # ten times the tolerance of agreement


@pytest.mark.parametrize(
    ("bout", "name"),
    [pytest.param(BY_NAME[net], name, id=f"{net}-{name}") for net, name in sorted(OVERWRITTEN)],
    indirect=["bout"],
)
def test_grad_cam_reads_activations_that_were_overwritten(bout, name):
    # densenet's forward ends with F.relu(features, inplace=True), after the layer; grad-cam keeps no copy, so it
    # combines gradients at the layer's output with activations from after the ReLU
    peer = raw.grad_cam(name, *bout.args)
    assert off(peer, bout.slow(name)) > FAR
    assert off(bout.ours(name), bout.slow(name)) < RELATIVE
    activations, gradients = bout.captured()
    overwritten = raw.grad_cam_formula(name, activations.relu(), gradients, unit=1.0)
    assert off(peer, overwritten) < RELATIVE


@pytest.mark.parametrize(
    ("bout", "name"),
    [pytest.param(BY_NAME[net], name, id=f"{net}-{name}") for net, name in sorted(EPSILON)],
    indirect=["bout"],
)
def test_epsilon_of_grad_cam_swamps_small_activations(bout, name):
    # it divides by sum A + 1e-7, and these activations are not much larger
    assert off(raw.grad_cam(name, *bout.args), bout.slow(name)) > FAR
    assert off(bout.ours(name), bout.slow(name)) < RELATIVE


def test_gradcam_plusplus_is_the_papers(every_bout):
    assert off(every_bout.ours("gradcam_plusplus"), every_bout.slow("gradcam_plusplus")) < RELATIVE


def test_gradcam_plusplus_of_grad_cam_is_swamped_by_its_epsilon(every_bout):
    # it adds 1e-6 to a denominator of the order of squared gradients, which are about 1e-6 themselves
    ours = every_bout.ours("gradcam_plusplus")
    assert off(raw.grad_cam("gradcam_plusplus", *every_bout.args), ours) > FAR
    activations, gradients = every_bout.captured()
    unit = 1e6 / float(gradients.abs().max())
    assert off(ours, raw.grad_cam_formula("gradcam_plusplus", activations, gradients, unit)) < RELATIVE


@pytest.mark.parametrize("bout", [BY_NAME["resnet18"]], indirect=True, ids=["resnet18"])
def test_gradcam_plusplus_of_torchcam_never_divides(bout):
    # it divides in place what a boolean index returned: a copy. So alpha stays g^2 and w_k = sum g^2 relu(g)
    peer = raw.torchcam_rectified("gradcam_plusplus", *bout.args)
    assert off(peer, bout.slow("gradcam_plusplus").relu()) > FAR
    assert off(bout.ours("gradcam_plusplus"), bout.slow("gradcam_plusplus")) < RELATIVE
    a, g = (part.double() for part in bout.captured())
    weights = (g**2 * g.relu()).sum((2, 3), keepdim=True)
    assert off(peer, (weights * a).sum(1).relu()) < RELATIVE
