"""The experimental CAM methods on paper: hand-computed maps, limits that are known, and what they refuse."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import exp

import pytest
import torch
from tests.cam.paper import network
from tests.contract.captures import Toy, ToySource, toy
from torch import Tensor

from heatproof.cam import methods
from heatproof.cam._noise import mirrored_noise
from heatproof.errors import HeatproofWarning, MethodError
from heatproof.types import Capture

METHODS = methods()
A1, A2 = torch.tensor([[1.0, 2], [3, 0]]), torch.tensor([[1.0, 0], [0, 2]])
GRADCAM_PLUSPLUS = torch.tensor([[15 / 56 + 17 / 35, 30 / 56], [45 / 56, 34 / 35]])  # as in test_goldens.py


def explain(name: str, capture: Capture, **settings) -> Tensor:
    return METHODS[name].function(capture, **settings)


def on_a_line(head: Callable[[Tensor], Tensor], *targets: int) -> Capture:
    """One channel that is 2 and 4 at two places; the input is just that."""
    return Toy(lambda x: x, head, torch.tensor([[[2.0, 4.0]]]), torch.tensor([targets or (0,)])).capture()


def test_fem_on_paper():
    # A^1: mean 3/2, deviation sqrt(5)/2, threshold 2.6: the 3 stands out. A^2: mean 3/4, deviation sqrt(11)/4,
    # threshold 1.6: the 2 stands out
    maps = explain("fem", network("dense").capture())
    torch.testing.assert_close(maps[0, 0], torch.tensor([[0, 0], [3 / 2, 3 / 4]]))


def test_fem_counts_what_is_at_its_threshold():
    # mean 3, deviation 1: the 4 is the threshold itself
    assert explain("fem", on_a_line(lambda a: a.sum(2))).tolist() == [[[0, 3]]]
    assert explain("fem", on_a_line(lambda a: a.sum(2)), sigmas=1.01).tolist() == [[[0, 0]]]


def test_is_cam_on_paper():
    # mask 1 gives y = 59/6 (see Score-CAM); half of it: x = [1/6 2/3; 3/2 0], A^1 is that, A^2 = [11/6 4/3; 1/2 2],
    # y = 10 - 4/3 + 11/4. mask 2 gives y = 49/4; half of it: x = [1/4 0; 0 0], A^2 = [7/4 2; 2 2], y = 10 + 1/4 + 15/8
    first, second = (59 / 6 + 137 / 12) / 2, (49 / 4 + 97 / 8) / 2
    weight = 1 / (1 + exp(second - first))
    maps = explain("is_cam", network("dense").capture(), steps=2)
    torch.testing.assert_close(maps[0, 0], weight * A1 + (1 - weight) * A2)


@pytest.mark.parametrize(("name", "settings"), [("is_cam", {"steps": 1}), ("ss_cam", {"sigma": 0.0})])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_one_step_or_no_noise_is_scorecam(name, settings, axes):
    capture = toy(axes, "dense", dtype=torch.float64).capture()
    torch.testing.assert_close(explain(name, capture, **settings), explain("scorecam", capture))


def test_ss_cam_drowned_in_noise_weighs_all_channels_alike():
    # of masks that are nothing but noise, every channel has the same
    maps = explain("ss_cam", network("dense").capture(), sigma=1e6)
    torch.testing.assert_close(maps[0, 0], (A1 + A2) / 2, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["ss_cam", "is_cam"])
def test_a_constant_added_to_every_logit_changes_nothing(name):
    model = toy(2, "dense", dtype=torch.float64)
    raised = replace(model, head=lambda a: model.head(a) + 1000)
    torch.testing.assert_close(explain(name, raised.capture()), explain(name, model.capture()))


def test_noise_comes_with_its_mirror_images_and_extends():
    draws = mirrored_noise(5, (2, 3, 4), seed=3)
    assert draws.shape == (8, 2, 3, 4)
    for axis in (2, 3):
        assert {tuple(d.flatten().tolist()) for d in draws} == {tuple(d.flatten().tolist()) for d in draws.flip(axis)}
    assert torch.equal(mirrored_noise(4, (2, 3, 4), seed=3), draws[:4])
    many = mirrored_noise(4000, (1, 5), seed=0)
    assert abs(float(many.mean())) < 0.03
    assert abs(float(many.std()) - 1) < 0.03


def test_smoothgradcam_plusplus_without_noise_is_gradcam_plusplus():
    maps = explain("smoothgradcam_plusplus", network("dense").capture(), sigma=0.0, copies=4)
    torch.testing.assert_close(maps[0, 0], GRADCAM_PLUSPLUS)


@dataclass(frozen=True)
class Noisy(ToySource):
    """A source whose noisy inputs have these gradients, one after the other."""

    gradients: list[float]

    def recapture(self, inputs: Tensor, rows: Tensor) -> Capture:
        base = super().recapture(inputs, rows)
        return replace(base, gradients=torch.full_like(base.gradients, self.gradients.pop(0)))


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e-15])
def test_smoothgradcam_plusplus_on_paper(scale):
    # two noisy inputs with gradients 1 and 3 (times the scale) at both places of A = (2 4), whose sum is 6:
    # <g> = 2, <g^2> = 5, <g^3> = 14, alpha = 5 / (10 + 6 * 14 * scale), weight 2 * alpha * 2 * scale
    base = on_a_line(lambda a: scale * a.sum(2))
    capture = replace(base, source=Noisy(base.source.toy, [scale, 3 * scale]))
    weight = 2 * 5 / (10 + 84 * scale) * 2
    maps = explain("smoothgradcam_plusplus", capture, copies=2, batch_size=1)
    torch.testing.assert_close(maps[0, 0] / scale, weight * torch.tensor([2.0, 4.0]))


def test_smoothgradcam_plusplus_says_where_its_weights_change_sign():
    base = on_a_line(lambda a: a.sum(2))
    capture = replace(base, activations=-base.activations)
    with pytest.warns(HeatproofWarning, match=r"Smooth Grad-CAM\+\+ assumes activations that are not negative"):
        explain("smoothgradcam_plusplus", capture)


def test_shapleycam_on_paper():
    # y = a^3 - 8 a + b at a = 2, b = 4: gradient (4 1), H A = (6 a * a, 0) = (24 0), gradient - H A / 2 = (-8 1)
    capture = on_a_line(lambda a: a[:, :, 0] ** 3 - 8 * a[:, :, 0] + a[:, :, 1])
    torch.testing.assert_close(explain("shapleycam", capture)[0, 0], -3.5 * torch.tensor([2.0, 4.0]))


def test_shapleycam_is_exact_where_the_score_is_quadratic_in_one_channel():
    # the Shapley value of the only player is the whole of y(A) - y(0), which the mean weight then gives place by place
    capture = on_a_line(lambda a: 3 * a.mean(2) + 2 * a.mean(2) ** 2)
    assert explain("shapleycam", capture).sum().item() == pytest.approx(3 * 3 + 2 * 9)


@pytest.mark.parametrize("head", ["pooled", "dense"])
def test_shapleycam_without_curvature_is_gradcam(head):
    capture = network(head).capture()
    torch.testing.assert_close(explain("shapleycam", capture), explain("gradcam", capture))


def test_shapleycam_of_a_score_that_does_not_depend_on_the_layer_is_blank():
    assert (explain("shapleycam", on_a_line(lambda a: 0 * a.sum(2) + 1)) == 0).all()


def weighing(*weights: float) -> Callable[[Tensor], Tensor]:
    """A head of one mean and as many classes as weights: scores 3 times each."""
    return lambda a: a.mean(2) * torch.tensor(weights)


def test_finercam_on_paper():
    # scores 3, 3.3, 1.5 and -6; the slopes of the mean are half the weights
    capture = on_a_line(weighing(1, 1.1, 0.5, -2))
    one = (1 - 0.5 * 1.1) / 2
    torch.testing.assert_close(explain("finercam", capture, classes=1, gamma=0.5)[0, 0], one * torch.tensor([2.0, 4]))
    three = (1 - 0.6 * (1.1 + 0.5 - 2) / 3) / 2
    torch.testing.assert_close(explain("finercam", capture)[0, 0], three * torch.tensor([2.0, 4]))
    torch.testing.assert_close(explain("finercam", capture, classes=9), explain("finercam", capture))
    torch.testing.assert_close(explain("finercam", capture, gamma=0.0), explain("gradcam", capture))


def test_finercam_tells_classes_of_equal_score_apart():
    # y_0 = a + b = 6 and y_1 = 1.5 b = 6: mean gradients 1 and 0.75
    capture = on_a_line(lambda a: torch.cat([a.sum(2), 1.5 * a[:, :, 1]], dim=1), 0, 1)
    expected = torch.tensor([[0.5, 1.0], [-0.5, -1.0]])
    torch.testing.assert_close(explain("finercam", capture, gamma=1.0)[0], expected)


def test_finercam_refuses_what_is_no_class():
    capture = on_a_line(weighing(1, 1.1, 0.5))
    other = replace(capture, scores=capture.scores + 0.2, gradients=-capture.gradients)
    with pytest.raises(MethodError, match=r"1 of 1 targets at layer 'trunk' are no class of the output; pass a class"):
        explain("finercam", other)
    with pytest.raises(MethodError, match="this network has one output; use gradcam"):
        explain("finercam", on_a_line(weighing(1)))


@dataclass(frozen=True)
class Stages(ToySource):
    """A source with stages made by hand."""

    captures: tuple[Capture, ...]

    def stages(self) -> tuple[Capture, ...]:
        return self.captures


def test_refinecam_on_paper():
    # the layer's map by HiResCAM is 2 and -5, on a grid twice as fine its ReLU is 2 1.5 .5 0 (linear between centers);
    # the early map is 1 -1 2 4, its share 1/4 0 1/2 1
    def made(values: list[float]) -> Capture:
        a = torch.tensor([[values]])
        base = on_a_line(lambda x: x.sum(2))
        return replace(base, activations=a.abs(), gradients=a.sign().unsqueeze(1))

    early, last = made([1.0, -1, 2, 4]), made([2.0, -5])
    capture = replace(last, source=Stages(last.source.toy, (made([9.0] * 8), early, last)))
    maps = explain("refinecam", capture, stages=2, base="hirescam")
    torch.testing.assert_close(maps[0, 0], torch.tensor([2 / 4, 0, 0.5 / 2, 0]))
    assert explain("refinecam", capture, base="hirescam").shape == (1, 1, 8)
    alone = replace(last, source=Stages(last.source.toy, (last,)))
    with pytest.raises(MethodError, match="up to layer 'trunk' there is none"):
        explain("refinecam", alone)


def test_refinecam_is_blank_where_a_layer_finds_nothing_for_the_target():
    capture = toy(2, "pooled").capture()
    against = replace(capture, gradients=-capture.gradients.abs())
    assert (explain("refinecam", against) == 0).all()


@pytest.mark.parametrize("name", ["smoothgradcam_plusplus", "shapleycam", "finercam", "refinecam"])
def test_a_capture_made_by_hand_cannot_run_the_network_again(name):
    with pytest.raises(
        MethodError, match=r"runs the network again, and this capture of layer 'trunk' was made by hand"
    ):
        explain(name, replace(toy(2).capture(), source=None))


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("smoothgradcam_plusplus", {"sigma": -1.0}, "sigma is -1.0"),
        ("smoothgradcam_plusplus", {"copies": 0}, "copies is 0"),
        ("ss_cam", {"sigma": float("nan")}, "sigma is nan"),
        ("ss_cam", {"copies": 0}, "copies is 0"),
        ("is_cam", {"steps": 0}, "steps is 0"),
        ("fem", {"sigmas": -0.5}, "sigmas is -0.5"),
        ("finercam", {"classes": 0}, "classes is 0"),
        ("finercam", {"gamma": -1.0}, "gamma -1.0"),
        ("refinecam", {"stages": 1}, "stages is 1"),
        ("shapleycam", {"batch_size": 0}, "batch_size is 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(name, settings, message):
    with pytest.raises(MethodError, match=message):
        explain(name, toy(2).capture(), **settings)


@pytest.mark.parametrize("name", ["smoothgradcam_plusplus", "ss_cam", "is_cam"])
def test_methods_that_change_the_input_need_one(name):
    with pytest.raises(MethodError, match="takes several tensors"):
        explain(name, replace(toy(2).capture(), inputs=None))


def test_gradcam_plusplus_weights_by_hand_at_a_gradient_scale_of_a_millionth():
    # g^1 = [1 0; -1 2], sum A^1 = 6; g^2 = [0.5 1; -1 0.5], sum A^2 = 3; nothing of 1e-6 is lost beside an epsilon
    g, plain = 1e-6, network("dense")
    capture = replace(plain, head=lambda a: g * plain.head(a)).capture()
    first = g / (2 + 6 * g) + 2 * g / (2 + 12 * g)
    second = 2 * (0.5 * g) / (2 + 1.5 * g) + g / (2 + 3 * g)
    maps = explain("gradcam_plusplus", capture)
    torch.testing.assert_close(maps[0, 0] / g, (first * A1 + second * A2) / g)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", ["eigencam", "eigengradcam", "kpcacam"])
def test_every_eigen_method_is_positive_on_a_planted_blob(name, axes):
    base = toy(axes, "pooled", n=1, t=1, dtype=torch.float64).capture()
    place = (..., *(slice(0, 2),) * axes)
    noise = torch.randn(base.activations.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    activations = 0.05 * noise
    activations[place] += torch.tensor([3.0, 1, 4, 1, 5, 9]).view(-1, *(1,) * axes)
    capture = replace(base, activations=activations, gradients=torch.ones_like(base.gradients))
    maps = explain(name, capture)
    assert (maps[place] > 0).all()
    assert maps.flatten().argmax() in torch.arange(maps.numel()).view(maps.shape)[place].flatten()
