"""CAM methods on a network small enough to do on paper, and at the edges of their formulas."""

from dataclasses import replace

import pytest
import torch
from tests.cam.paper import network
from tests.contract.captures import Toy
from torch import Tensor

from heatproof.cam import methods
from heatproof.errors import HeatproofWarning, MethodError


def explain(name: str, toy: Toy) -> Tensor:
    return methods()[name].function(toy.capture())[0, 0]


def test_the_network_is_the_one_on_paper():
    assert network("dense").capture().scores.item() == 9.5
    assert network("pooled").capture().scores.item() == 8.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # mean(g^1) = 1/2, mean(g^2) = 1/4: A^1 / 2 + A^2 / 4
        ("gradcam", [[3 / 4, 1], [3 / 2, 1 / 2]]),
        # g^1 A^1 = [1 0; -3 0], g^2 A^2 = [0.5 0; 0 1]; sums to y - 10 = -0.5
        ("hirescam", [[3 / 2, 0], [-3, 1]]),
        # the same without the negative gradient
        ("layercam", [[3 / 2, 0], [0, 1]]),
        # the same without the negative products
        ("gradcam_elementwise", [[3 / 2, 0], [0, 1]]),
        # <g^1, A^1> / sum A^1 = -2 / 6, <g^2, A^2> / sum A^2 = 1.5 / 3: -A^1 / 3 + A^2 / 2; sums to -0.5
        ("xgradcam", [[1 / 6, -2 / 3], [-1, 1]]),
        # sum A^1 = 6: 1/(2+6) + 2/(2+12) = 15/56;  sum A^2 = 3: 2 * 0.5/(2+1.5) + 1/(2+3) = 17/35
        ("gradcam_plusplus", [[15 / 56 + 17 / 35, 30 / 56], [45 / 56, 34 / 35]]),
    ],
)
def test_dense_head_on_paper(name, expected):
    torch.testing.assert_close(explain(name, network("dense")), torch.tensor(expected))


@pytest.mark.parametrize(
    ("name", "factor"),
    [("cam", 1), ("gradcam", 1 / 4), ("hirescam", 1 / 4), ("xgradcam", 1 / 4)],
)
def test_pooled_head_on_paper(name, factor):
    # 3 A^1 - 2 A^2, whose mean is y - 5 = 3; methods that use the gradient per position see a quarter of the weights
    expected = factor * torch.tensor([[1.0, 6.0], [9.0, -4.0]])
    torch.testing.assert_close(explain(name, network("pooled")), expected)


def test_elementwise_gradcam_counts_what_layercam_does_not():
    # products of one channel: -1 * -2 = 2 counts here only, 3 * -1 in neither, 2 * 1 in both, -2 * 3 is dropped here
    # and counts against there
    base = network("dense").capture()
    capture = replace(
        base,
        activations=torch.tensor([[[[-1.0, 3.0], [2.0, -2.0]]]]),
        gradients=torch.tensor([[[[[-2.0, -1.0], [1.0, 3.0]]]]]),
    )
    assert methods()["gradcam_elementwise"].function(capture).tolist() == [[[[2, 0], [2, 0]]]]
    assert methods()["layercam"].function(capture).tolist() == [[[[0, 0], [2, -6]]]]


def test_cam_refuses_a_head_that_weighs_positions():
    with pytest.raises(MethodError, match=r"layer 'trunk' .* weighs the positions of the grid differently .*1 of 1"):
        explain("cam", network("dense"))


@pytest.mark.parametrize("bend", [torch.square, torch.tanh])
def test_cam_refuses_a_head_that_pools_but_bends(bend):
    bent = network("pooled")
    with pytest.raises(MethodError, match="is not linear in the activations"):
        explain("cam", replace(bent, head=lambda a: bend(bent.head(a) / 10)))


def test_cam_takes_a_score_that_does_not_depend_on_the_layer():
    still = network("pooled")
    blank = explain("cam", replace(still, head=lambda a: 0 * still.head(a) + 1))
    assert (blank == 0).all()


def test_gradcam_plusplus_keeps_tiny_gradients():
    # g = 1e-12 everywhere, sum A negligible beside it: w_k = 4 g / 2, with no epsilon to swamp it
    capture = network("pooled").capture()
    capture = replace(capture, gradients=torch.full_like(capture.gradients, 1e-12))
    maps = methods()["gradcam_plusplus"].function(capture)
    torch.testing.assert_close(maps / 1e-12, 2 * capture.activations.sum(1, keepdim=True))


def test_gradcam_plusplus_warns_where_a_denominator_changes_sign():
    capture = network("dense").capture()
    negative = replace(capture, activations=-capture.activations)  # 2 - 6 * 2 < 0
    with pytest.warns(
        HeatproofWarning, match="Grad-CAM\\+\\+ assumes activations that are not negative; layer 'trunk'"
    ):
        methods()["gradcam_plusplus"].function(negative)


def test_gradcam_plusplus_gives_no_weight_where_a_denominator_is_zero():
    # one channel, sum A = -2: g = 1 has 2 - 2 = 0 and no weight; g = 0.5 has 0.5 / (2 - 1) = 0.5
    capture = network("dense").capture()
    capture = replace(
        capture,
        activations=torch.tensor([[[[-1.0, -1.0]]]]),
        gradients=torch.tensor([[[[[1.0, 0.5]]]]]),
    )
    with pytest.warns(HeatproofWarning):
        maps = methods()["gradcam_plusplus"].function(capture)
    torch.testing.assert_close(maps, torch.tensor([[[[-0.5, -0.5]]]]))


def test_xgradcam_gives_no_weight_to_a_sum_that_is_rounding_noise():
    # 0.1 + 0.2 - 0.3 is not zero in floating point; the other channel is 1 0 0 with gradient 2
    capture = network("dense").capture()
    capture = replace(
        capture,
        activations=torch.tensor([[[[0.1, 0.2, -0.3]], [[1.0, 0.0, 0.0]]]], dtype=torch.float64),
        gradients=torch.tensor([[[[[5.0, -5.0, 5.0]], [[2.0, 2.0, 2.0]]]]], dtype=torch.float64),
    )
    assert capture.activations[0, 0].sum() != 0
    maps = methods()["xgradcam"].function(capture)
    torch.testing.assert_close(maps, torch.tensor([[[[2.0, 0.0, 0.0]]]], dtype=torch.float64))
