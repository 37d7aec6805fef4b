"""torchcam's calls give what torchcam gives, wherever it is right."""

import functools
import gc
import inspect

import numpy as np
import pytest
import torch
import torchcam.methods as peer
import torchcam.metrics as metrics_peer
import torchcam.utils as utils_peer
from PIL import Image
from tests.compat.peers import SCALE, best, inputs, known, silent, small
from torch import nn

from heatproof.compat.torchcam import methods as ours
from heatproof.compat.torchcam import metrics, utils
from heatproof.errors import InputError, LayerError, MethodError, TargetError, UsageError

SAME = ["GradCAM", "XGradCAM", "LayerCAM", "ScoreCAM"]
CLOSE = 1e-4


def run(module, name, net, layer, x, classes, normalized=True, **how):
    with silent(), getattr(module, name)(net, layer, **how) as extractor:
        return extractor(classes, net(x), normalized)


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("name", SAME)
def test_same_numbers_on_a_small_network(name, normalized):
    net, x = small(1.0 if name == "ScoreCAM" else SCALE), inputs()
    (mine,), (theirs,) = (run(m, name, net, "1", x, best(net, x), normalized) for m in (ours, peer))
    torch.testing.assert_close(mine, theirs, atol=CLOSE * float(theirs.max()), rtol=0)


@pytest.mark.parametrize(("model", "layer"), [("resnet18", "layer3"), ("mobilenet_v2", "features.12.conv.1")])
@pytest.mark.parametrize("name", ["GradCAM", "XGradCAM", "LayerCAM"])
def test_same_numbers_on_networks_of_torchvision(model, layer, name):
    net, x = known(model), inputs(64)
    (mine,), (theirs,) = (run(m, name, net, layer, x, best(net, x)) for m in (ours, peer))
    torch.testing.assert_close(mine, theirs, atol=CLOSE, rtol=0)


@pytest.fixture
def pooled():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        return nn.Sequential(*body, nn.Linear(4, 3)).eval()


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("how", [{}, {"fc_layer": "4"}])
def test_cam_is_signed_as_theirs_is(pooled, how, normalized):
    (mine,), (theirs,) = (run(m, "CAM", pooled, "1", inputs(), [0, 2], normalized, **how) for m in (ours, peer))
    assert normalized or bool((theirs < 0).any())
    torch.testing.assert_close(mine, theirs, atol=CLOSE, rtol=0)


def test_one_class_for_all_or_targets_instead():
    net, x = small(SCALE), inputs()
    (mine,), (theirs,) = (run(m, "GradCAM", net, "1", x, 2) for m in (ours, peer))
    torch.testing.assert_close(mine, theirs, atol=CLOSE, rtol=0)
    with ours.GradCAM(net, "1") as extractor:
        out = net(x)
        (called,) = extractor(scores=out, targets=lambda one: one[2])
    torch.testing.assert_close(called, mine)


@pytest.mark.parametrize("name", ["GradCAM", "LayerCAM"])
def test_fuse_cams(name):
    net, x = small(SCALE), inputs()
    mine, theirs = (run(m, name, net, ["1", "3"], x, [0, 1]) for m in (ours, peer))
    assert [m.shape for m in mine] == [m.shape for m in theirs] == [(2, 9, 9), (2, 5, 5)]
    fused = getattr(ours, name).fuse_cams(mine)
    torch.testing.assert_close(fused, getattr(peer, name).fuse_cams(theirs), atol=CLOSE, rtol=0)
    with pytest.raises(InputError, match="at least one tensor"):
        ours.GradCAM.fuse_cams([])


def test_hooks_remember_the_last_input_until_removed():
    net, x = small(), inputs()
    extractor = ours.GradCAM(net, net[1])
    with pytest.raises(InputError, match="has not run"):
        extractor(0)
    net(x[:1])
    first = extractor(0)[0]
    extractor.disable_hooks()
    net(x)
    torch.testing.assert_close(extractor(0)[0], first)
    extractor.enable_hooks()
    net(x)
    assert len(extractor(0)[0]) == 2  # and again: there is no graph that the first call could have freed
    assert len(extractor(0)[0]) == 2
    assert not net[1]._forward_hooks
    extractor.remove_hooks()
    assert not net._forward_pre_hooks
    extractor.reset_hooks()
    with pytest.raises(InputError, match="has not run"):
        extractor(0)


def test_explaining_is_not_remembered_even_where_the_model_itself_must_run():
    class Closed(nn.Module):
        """Its forward closes over the original, so that no view of it can be run."""

        def __init__(self):
            super().__init__()
            self.net = small()
            self.forward = lambda x: self.net(x)

    net, x = Closed(), inputs()
    with ours.ScoreCAM(net, net.net[1], batch_size=3) as extractor:
        net(x)
        extractor([0, 1])
        torch.testing.assert_close(extractor._input, x)


def test_scores_of_something_else_raise():
    net, x = small(), inputs()
    with ours.GradCAM(net, "1") as extractor:
        out = net(x)
        with pytest.raises(InputError, match="targets=a_function"):
            extractor(0, out.softmax(1))
        with pytest.raises(InputError, match="not what the model"):
            extractor(0, out[:1])


def test_bad_targets_raise():
    net, x = small(), inputs()
    with ours.GradCAM(net, "1") as extractor:
        out = net(x)
        for classes, message in (([0], "1 targets for 2 inputs"), (-1, "-1 is not a target"), (None, "Pass either")):
            with pytest.raises(TargetError, match=message):
                extractor(classes, out)
        with pytest.raises(TargetError, match="Class 5 does not exist"):
            extractor(5, out)
    with pytest.raises(LayerError, match="There is no layer 'nowhere'"):
        ours.GradCAM(net, "nowhere")
    with pytest.raises(LayerError, match="did you mean 'layer4'"):
        ours.GradCAM(known("resnet18"), "layer5")
    with pytest.raises(LayerError, match="not a module"):
        ours.GradCAM(net, nn.ReLU())
    with pytest.raises(LayerError, match="2 were given"):
        ours.CAM(net, ["1", "3"])


def test_every_parameter_of_theirs_is_accepted():
    found = 0
    for name in peer.__dict__:
        theirs = getattr(peer, name)
        if not inspect.isclass(theirs) or name.startswith("_"):
            continue
        known = list(inspect.signature(getattr(ours, name)).parameters)
        named = [p for p, how in inspect.signature(theirs).parameters.items() if how.kind is not how.VAR_KEYWORD]
        assert "settings" in known or set(named) <= set(known), name
        if name != "LeGrad":  # theirs scores single layers, which ours does not
            assert known[: len(named)] == named, name
        called = [n for n, p in inspect.signature(theirs.__call__).parameters.items() if p.kind is not p.VAR_KEYWORD]
        assert list(inspect.signature(getattr(ours, name).__call__).parameters)[: len(called)] == called, name
        found += 1
    assert found >= 9
    with pytest.raises(MethodError, match="no setting"):
        ours.GradCAM(small(), "1", num_samples=3)


@pytest.mark.parametrize("name", ["SSCAM", "ISCAM", "SmoothGradCAMpp"])
def test_sampling_methods_take_their_settings(name):
    net, x = small(), inputs()
    with getattr(ours, name)(net, "1", num_samples=2) as extractor:
        net(x)
        assert 2 in extractor.settings.values()
        (maps,) = extractor([0, 1])
    assert maps.shape == (2, 9, 9)
    assert float(maps.max()) == 1


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_overlay_mask(mode):
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (12, 10, 3), dtype=np.uint8)).convert(mode)
    mask = Image.fromarray(np.random.default_rng(1).random((4, 4), dtype=np.float32), mode="F")
    mine, theirs = (np.asarray(m.overlay_mask(picture, mask, alpha=0.4)) for m in (utils, utils_peer))
    np.testing.assert_array_equal(mine, theirs)
    with pytest.raises(UsageError, match="alpha is"):
        utils.overlay_mask(picture, mask, alpha=1.0)


def test_classification_metric():
    net, x = small(), inputs()
    found = []
    for methods, module in ((ours, metrics), (peer, metrics_peer)):
        with silent(), methods.LayerCAM(net, "1") as extractor:
            metric = module.ClassificationMetric(extractor, functools.partial(torch.softmax, dim=-1))
            metric.update(x)
            metric.update(x, [0, 1])
            found.append(metric.summary())
    assert found[0] == pytest.approx(found[1], abs=1e-4)
    assert found[0]["avg_drop"] > 0


def test_names_of_layers_that_were_chosen_are_known_with_the_maps():
    net, x = known("resnet18"), inputs(64)
    with ours.LayerCAM(net) as extractor:
        maps = extractor([0, 1], net(x))
        assert [name for name, _ in zip(extractor.target_names, maps, strict=True)] == ["layer4"]


def test_layers_by_the_names_inside_a_wrapper():
    net, x = small(SCALE), inputs()
    wrapped = nn.DataParallel(net)
    found = []
    for layer in ("module.1", "1", net[1]):
        with ours.GradCAM(wrapped, layer) as extractor:
            found += extractor([0, 1], wrapped(x))
    torch.testing.assert_close(found[0], found[1])
    torch.testing.assert_close(found[0], found[2])


def test_scores_made_under_autocast_are_those_of_the_model():
    net, x = known("resnet18"), inputs(64)
    with ours.GradCAM(net, "layer4") as extractor:
        with torch.autocast("cpu", torch.bfloat16):
            out = net(x)
        extractor([0, 1], out)
        with pytest.raises(InputError, match="not what the model"):
            extractor([0, 1], out.flip(0))


@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.parametrize("base", ["XGradCAM", "LayerCAM"])
def test_refine_cam(base, normalized):
    net, x = small(SCALE), inputs()
    maps = []
    for module in (ours, peer):
        with silent(), module.RefineCAM(net, ["1", "3"], base_method=getattr(module, base)) as extractor:
            (found,) = extractor(best(net, x), net(x), normalized)
            assert extractor.target_names == ["1", "3"]
            assert "RefineCAM" in repr(extractor)
            maps.append(found)
    torch.testing.assert_close(maps[0], maps[1], atol=CLOSE, rtol=0)
    assert not net._forward_pre_hooks
    with pytest.raises(LayerError, match="at least two"):
        ours.RefineCAM(net, ["1"])


@pytest.mark.parametrize("compared", [None, 1, [2, 1], [[1, 2], [0, 4]]])
@pytest.mark.parametrize("base", ["GradCAM", "LayerCAM"])
def test_finer_cam(base, compared):
    net, x = small(SCALE), inputs()
    maps = []
    for module in (ours, peer):
        how = {"base_method": getattr(module, base), "gamma": 0.5, "num_references": 2}
        with silent(), module.FinerCAM(net, "1", **how) as extractor:
            maps += extractor([3, 3], net(x), compared)
    torch.testing.assert_close(maps[0], maps[1], atol=CLOSE, rtol=0)
    assert float(maps[0].amax()) == 1


def test_finer_cam_refuses():
    net, x = small(), inputs()
    with pytest.raises(MethodError, match="gamma is -1"):
        ours.FinerCAM(net, "1", gamma=-1.0)
    with ours.FinerCAM(net, "1") as extractor:
        with pytest.raises(InputError, match="has not run"):
            extractor(1)
        out = net(x)
        for classes, compared, message in (
            (1, 1, r"Class 1 is compared with \[1\]"),
            (1, [2, 2], "each once"),
            (1, [7], "Class 7 does not exist"),
            (5, None, "Class 5 does not exist"),
            (1, [[2]], "1 lists of classes to compare with for 2 inputs"),
        ):
            with pytest.raises(TargetError, match=message):
                extractor(classes, out, compared)
        with pytest.raises(MethodError, match="knows no other targets"):
            extractor(scores=out, targets=lambda output: output[1])


def test_what_is_not_offered_says_what_to_use():
    with pytest.raises(UsageError, match="save"):
        from heatproof.compat.torchcam.explain import explain  # noqa: F401 - the import itself is what is tested
    with pytest.raises(MethodError, match="all attention layers"):
        ours.LeGrad(small(), ["1", "3"])


@pytest.mark.parametrize("wrapped", [False, True])
def test_classification_metric_of_targets(wrapped):
    net, x = small(), inputs()
    targets = [lambda scores: scores[1] + scores[2], lambda scores: scores[0]]
    found = []
    for methods, module in ((ours, metrics), (peer, metrics_peer)):
        how = {"base_method": methods.LayerCAM} if wrapped else {}
        with silent(), getattr(methods, "RefineCAM" if wrapped else "LayerCAM")(net, ["1", "3"], **how) as extractor:
            metric = module.ClassificationMetric(extractor, functools.partial(torch.softmax, dim=-1))
            metric.update(x, targets=targets)
            metric.update(x, targets=targets[1])
            found.append(metric.summary())
    assert found[0] == pytest.approx(found[1], abs=1e-4)
    with pytest.raises(TargetError, match="Class 5 does not exist"):
        metrics.ClassificationMetric(ours.LayerCAM(net, "1")).update(x, 5)


def test_an_extractor_that_is_dropped_leaves_nothing_on_the_model():
    net = small()
    extractor = ours.GradCAM(net, "1")
    assert len(net._forward_pre_hooks) == 1
    del extractor
    gc.collect()
    assert not net._forward_pre_hooks


def test_cam_of_a_head_that_does_not_fit(pooled):
    (plain,) = run(ours, "CAM", pooled, "1", inputs(), [0, 2], fc_layer="4")
    (wrapped,) = run(ours, "CAM", nn.DataParallel(pooled), "module.1", inputs(), [0, 2], fc_layer="module.4")
    torch.testing.assert_close(plain, wrapped)
    with pytest.raises(LayerError, match="There is no layer 'head'"):
        ours.CAM(pooled, "1", "head")
    with pytest.raises(TargetError, match="Class 7 does not exist: fc_layer has 3 classes"):
        run(ours, "CAM", pooled, "1", inputs(), [0, 7], fc_layer="4")
    with pytest.raises(LayerError, match="fc_layer takes 4 values and the layer '0' has 3 channels"):
        run(ours, "CAM", nn.Sequential(nn.ReLU(), pooled), "0", inputs(), [0, 2], fc_layer="1.4")


def test_overlay_mask_refuses():
    picture, mask = Image.new("RGB", (8, 8)), Image.new("F", (4, 4))
    with pytest.raises(InputError, match="16 bits"):
        utils.overlay_mask(Image.new("I;16", (8, 8)), mask)
    with pytest.raises(InputError, match="mask has the bands"):
        utils.overlay_mask(picture, picture)
    with pytest.raises(UsageError, match="colormap is 'nosuch'"):
        utils.overlay_mask(picture, mask, "nosuch")
