"""pytorch-grad-cam's calls give what pytorch-grad-cam gives, wherever it is right."""

import inspect
import subprocess
import sys

import numpy as np
import pytest
import pytorch_grad_cam as peer
import torch
import torchvision
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection, get_2d_projection_kernel
from tests.compat.peers import SCALE, best, inputs, known, silent, small
from torch import nn

from heatproof.compat import pytorch_grad_cam as ours
from heatproof.compat.pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget, _of_class
from heatproof.compat.pytorch_grad_cam.utils.reshape_transforms import vit_reshape_transform
from heatproof.errors import HeatproofWarning, LayerError, MethodError, TargetError

SAME = [
    "GradCAM",
    "GradCAMPlusPlus",
    "XGradCAM",
    "HiResCAM",
    "LayerCAM",
    "GradCAMElementWise",
    "ScoreCAM",
    "AblationCAM",
]
BY_GRADIENT = ["GradCAM", "XGradCAM", "HiResCAM", "LayerCAM", "GradCAMElementWise"]
CLOSE = 1e-4


def both(name, net, layers, x, classes, **how):
    targets = [ClassifierOutputTarget(index) for index in classes]
    with getattr(ours, name)(net, layers) as method:
        mine = method(x, targets=targets, **how)
    with silent(), getattr(peer, name)(net, layers) as method:
        theirs = method(x, targets=targets, **how)
    net.zero_grad()
    assert mine.dtype == theirs.dtype == np.float32
    assert theirs.max() > 0.5
    return mine, theirs


@pytest.mark.parametrize("name", SAME)
def test_same_numbers_on_a_small_network(name):
    # ScoreCAM: scaled logits would let one channel win; its masks agree where the grid is the input's (docs)
    net, x = small(1.0 if name == "ScoreCAM" else SCALE), inputs()
    mine, theirs = both(name, net, [net[1]], x, best(net, x))
    np.testing.assert_allclose(mine, theirs, atol=CLOSE)


@pytest.fixture(scope="module", params=[("resnet18", "layer2"), ("mobilenet_v2", "features.13")], ids=lambda p: p[0])
def network(request):
    name, layer = request.param
    net = known(name)
    return net, net.get_submodule(layer)


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_same_numbers_on_networks_of_torchvision(network, name):
    net, layer = network
    if name == "XGradCAM" and isinstance(net, torchvision.models.MobileNetV2):
        layer = net.features[12].conv[1]  # behind a ReLU6: sums of signed activations may cancel into its epsilon
    x = inputs(64)
    mine, theirs = both(name, net, [layer], x, best(net, x))
    np.testing.assert_allclose(mine, theirs, atol=CLOSE)


def test_several_layers_are_scaled_then_averaged():
    net, x = small(SCALE), inputs()
    mine, theirs = both("HiResCAM", net, [net[1], net[3]], x, best(net, x))
    np.testing.assert_allclose(mine, theirs, atol=CLOSE)


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_aug_smooth(name):
    net, x = small(SCALE), inputs()
    mine, theirs = both(name, net, [net[1]], x, best(net, x), aug_smooth=True)
    np.testing.assert_allclose(mine, theirs, atol=CLOSE)


def scaled(maps):
    maps = np.maximum(maps, 0)
    low, high = (f(maps, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    return (maps - low) / (high - low)


@pytest.mark.parametrize("name", BY_GRADIENT)
def test_eigen_smooth_but_for_the_sign_which_theirs_leaves_open(name, monkeypatch):
    net, x = small(SCALE), inputs()
    classes = best(net, x)
    targets = [ClassifierOutputTarget(index) for index in classes]
    mine = getattr(ours, name)(net, [net[1]])(x, targets=targets, eigen_smooth=True)
    either = []
    for sign in (1, -1):
        method = getattr(peer, name)(net, [net[1]])
        inner = method.get_cam_image
        monkeypatch.setattr(method, "get_cam_image", lambda *a, inner=inner, sign=sign: sign * inner(*a))
        with silent():
            either.append(method(x, targets=targets, eigen_smooth=True))
    gap = np.minimum(*(np.abs(mine - other).max((1, 2)) for other in either))
    assert gap.max() < CLOSE


@pytest.mark.parametrize("name", ["EigenCAM", "EigenGradCAM", "KPCA_CAM"])
def test_eigen_methods_but_for_the_sign(name):
    net, x = small(SCALE), inputs()
    activations = net[:2](x).detach().requires_grad_()
    classes = best(net, x)
    net[2:](activations).gather(1, torch.tensor(classes)[:, None]).sum().backward()
    a, g = activations.detach().numpy(), activations.grad.numpy()
    how = {"gamma": 1 / a.shape[1]} if name == "KPCA_CAM" else {}
    raw = {
        "EigenCAM": lambda: get_2d_projection(a),
        "EigenGradCAM": lambda: get_2d_projection(a * g),
        "KPCA_CAM": lambda: get_2d_projection_kernel(a),
    }[name]()
    guide = (a * g).sum(1) if name == "EigenGradCAM" else (a**2).sum(1)
    sign = np.sign(((raw - raw.mean((1, 2), keepdims=True)) * guide).sum((1, 2), keepdims=True))
    mine = getattr(ours, name)(net, [net[1]], **how)(x, [ClassifierOutputTarget(index) for index in classes])
    np.testing.assert_allclose(mine, scaled(sign * raw), atol=CLOSE)


def test_finer_cam_chooses_the_same_classes():
    net, x = small(), inputs()  # with large scores their weights underflow into an epsilon
    with silent():
        theirs = peer.FinerCAM(net, [net[1]], base_method=peer.HiResCAM)(x)
    mine = ours.FinerCAM(net, [net[1]], base_method=ours.HiResCAM)(x)
    np.testing.assert_allclose(mine, theirs, atol=CLOSE)


def test_refine_cam_multiplies_layers():
    net, x = small(SCALE), inputs()
    targets = [ClassifierOutputTarget(index) for index in best(net, x)]
    with silent():
        theirs = peer.RefineCAM(net, [net[1], net[3]], base_method=peer.HiResCAM)(x, targets)
    mine = ours.RefineCAM(net, [net[1], net[3]], base_method=ours.HiResCAM)(x, targets)
    np.testing.assert_allclose(mine, theirs, atol=CLOSE)


def test_volumes_keep_the_order_of_their_axes():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Conv3d(1, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(4, 2)
        )
    x = torch.zeros(1, 1, 5, 6, 7)
    x[0, 0, 1, 4, 2] = 9
    mine, theirs = both("HiResCAM", net, [net[1]], x, [0])
    assert mine.shape == (1, 5, 6, 7)
    np.testing.assert_allclose(mine, theirs, atol=CLOSE)


def test_a_token_network_with_and_without_its_reshape_transform():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5).eval()
        nn.init.normal_(net.heads.head.weight)
    x = inputs(32)
    layer, classes = net.encoder.layers[-1].ln_1, best(net, x)
    targets = [ClassifierOutputTarget(index) for index in classes]

    def transform(tensor):
        return vit_reshape_transform(tensor, 4, 4)

    with silent():
        theirs = peer.HiResCAM(net, [layer], transform)(x, targets)
    np.testing.assert_allclose(ours.HiResCAM(net, [layer], transform)(x, targets), theirs, atol=CLOSE)
    np.testing.assert_allclose(ours.HiResCAM(net, [layer])(x, targets), theirs, atol=CLOSE)
    again = [ours.AblationCAM(net, [layer], how)(x, targets) for how in (transform, None)]
    np.testing.assert_allclose(*again, atol=CLOSE)
    with pytest.raises(LayerError, match="does not fit the layer"):
        ours.GradCAM(net, [layer], vit_reshape_transform)(x, targets)
    with pytest.raises(LayerError, match="more than select and rearrange"):
        ours.AblationCAM(net, [layer], lambda t: transform(t).abs())(x, targets)


def test_outputs_are_the_models_and_the_model_is_as_it_was():
    net, x = small(), inputs()
    net.train()
    method = ours.GradCAM(net, [net[1]])
    method(x)
    torch.testing.assert_close(method.outputs, net(x).detach())
    assert net.training
    assert all(parameter.grad is None for parameter in net.parameters())
    assert not net[1]._forward_hooks


def test_batch_size_bounds_the_runs_and_changes_nothing():
    net, x = small(), inputs()
    method = ours.ScoreCAM(net, [net[1]])
    whole = method(x)
    method.batch_size = 1
    np.testing.assert_allclose(method(x), whole, atol=1e-6)


def test_targets_of_another_length_raise():
    net, x = small(), inputs()
    for count in (1, 3):
        with pytest.raises(TargetError, match=f"{count} targets for 2 inputs"):
            ours.GradCAM(net, [net[1]])(x, [ClassifierOutputTarget(0)] * count)


def test_a_map_of_evidence_against_is_blank_and_says_so():
    net = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1, 1))
    with torch.no_grad():
        net[0].weight.fill_(1)
        net[4].weight.fill_(-1)
    with pytest.warns(HeatproofWarning, match="speaks against its target everywhere"):
        maps = ours.GradCAM(net, [net[1]])(torch.ones(1, 1, 4, 4), [ClassifierOutputTarget(0)])
    assert not maps.any()


def test_every_parameter_of_theirs_is_accepted():
    net = small()
    found = 0
    for name in dir(peer):
        theirs = getattr(peer, name)
        if not inspect.isclass(theirs) or name in ours._INSTEAD:
            continue
        mine = getattr(ours, name)
        found += 1
        known = inspect.signature(mine).parameters
        open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
        order = list(inspect.signature(theirs).parameters)
        assert [p for p in order if p not in known and not open_ended] == []
        assert list(known)[:3] == order[:3]
        called = inspect.signature(mine.__call__).parameters
        wanted = set(inspect.signature(theirs.__call__).parameters)
        assert wanted <= set(called) or "kwargs" in called
    assert found >= 15
    assert ours.FEM(net, [net[1]], k=2).settings == {"sigmas": 2}
    assert ours.AblationCAM(net, [net[1]], ratio_channels_to_ablate=0.5).settings == {"ratio": 0.5}


def test_what_is_not_offered_says_what_to_use():
    net, x = small(), inputs()
    with pytest.raises(MethodError, match="aug_smooth"):
        from heatproof.compat.pytorch_grad_cam import SESS  # noqa: F401 - the import itself is what is tested
    with pytest.raises(AttributeError, match="NoSuchCAM"):
        ours.NoSuchCAM  # noqa: B018 - the access itself is what is tested
    with pytest.raises(MethodError, match="has no setting 'kernel'"):
        ours.GradCAM(net, [net[1]], kernel=3)
    with pytest.raises(MethodError, match="eigen_smooth is not offered for Score-CAM"):
        ours.ScoreCAM(net, [net[1]])(x, eigen_smooth=True)


def test_no_peer_is_imported():
    code = """if True:
        import sys
        from heatproof.compat.pytorch_grad_cam import GradCAM
        from heatproof.compat.pytorch_grad_cam.metrics import cam_mult_image
        from heatproof.compat.pytorch_grad_cam.utils import image, model_targets, reshape_transforms
        from heatproof.compat.torchcam import methods, metrics, utils
        sys.exit(any(name.split(".")[0] in ("pytorch_grad_cam", "torchcam", "cv2", "captum") for name in sys.modules))
    """
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_classes_that_would_be_overlooked_are_refused():
    with pytest.raises(MethodError, match="get_cam_weights, which is not called here"):

        class Mine(ours.BaseCAM):
            def get_cam_weights(self, input_tensor, target_layers, targets, activations, grads):
                return grads.max((2, 3))


@pytest.mark.parametrize("targets", [ClassifierOutputTarget(1), 3])
def test_targets_that_are_no_list_get_a_sentence(targets):
    net = small()
    with pytest.raises(TargetError, match="pass a list with one target per input"):
        ours.GradCAM(net, [net[1]])._wanted(targets, 2)  # past the type checks that tests run under


def test_a_class_that_does_not_exist_and_outputs_of_another_kind_get_a_sentence():
    net, x = small(), inputs()
    with pytest.raises(TargetError, match="Class 5 does not exist: the model has 5 classes"):
        ours.GradCAM(net, [net[1]])(x, [ClassifierOutputTarget(5)] * 2)
    with pytest.raises(TargetError, match="The output of the model is dict, not one score per class"):
        _of_class({"logits": net(x)[0]}, 1)  # past the type checks that tests run under


def test_no_layers_leave_the_choice_to_us():
    net, x = small(), inputs()
    np.testing.assert_array_equal(ours.GradCAM(net, None)(x), ours.GradCAM(net, [])(x))


@pytest.mark.parametrize("name", ["EigenCAM", "FEM", "KPCA_CAM", "RandomCAM"])
def test_methods_that_read_no_score_take_any_output(name):
    net, x = small(), inputs()
    field = net[:4]  # a field of scores instead of one per class
    maps = getattr(ours, name)(field, [field[1]])(x)
    np.testing.assert_allclose(maps, getattr(ours, name)(net, [net[1]])(x, [ClassifierOutputTarget(0)] * 2), atol=CLOSE)
    with pytest.raises(TargetError, match="a score for every place"):
        ours.GradCAM(field, [field[1]])(x)


def test_finer_cam_refuses_classes_and_ranks_that_do_not_exist():
    net, x = small(), inputs()
    for how in ({"target_idx": 9}, {"comparison_categories": [1, 9]}):
        with pytest.raises(TargetError, match="the model has 5 classes"):
            ours.FinerCAM(net, [net[1]])(x, **how)


def test_refine_cam_takes_one_layer():
    net, x = small(), inputs()
    np.testing.assert_array_equal(ours.RefineCAM(net, net[1])(x), ours.RefineCAM(net, [net[1]])(x))
