"""Segmentation and field targets: regions resampled by area, hand-computed means, real segmentation networks."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

import heatproof as hp
from heatproof import targets
from heatproof.errors import TargetError
from heatproof.models.targets import Names, bind
from heatproof.targets._region import Region

NAMES = Names(["road", "tree"].__getitem__, ["road", "tree"].index, 2)
LOGITS = torch.tensor([[[1.0, 5.0, 0.0], [2.0, 7.0, 1.0]], [[4.0, 3.0, 2.0], [0.0, 0.0, 0.0]]], dtype=torch.float64)
"""(classes 2, height 2, width 3): tree wins at (0, 0) and (0, 2)."""


def told(target, out=LOGITS, names=NAMES):
    bound = bind(target, out, names)
    return bound.name, float(bound.function(out))


@pytest.mark.parametrize(("target", "wanted"), [
    (targets.Segmentation("tree"), ("tree, mean over where it is predicted", (4 + 2) / 2)),
    (targets.Segmentation(0), ("road, mean over where it is predicted", (5 + 2 + 7 + 1) / 4)),
    (targets.Segmentation(0, np.eye(2, 3, dtype=bool)), ("road, mean over a mask", (1 + 7) / 2)),
    # each position of the output covers 2 x 2 of this mask: shares 1/4 and 1
    (targets.Segmentation(1, torch.tensor([[1, 0, 1, 1, 0, 0], [0, 0, 1, 1, 0, 0], [0] * 6, [0] * 6])),
     ("tree, mean over a mask (4 x 6 resampled to 2 x 3)", (4 / 4 + 3) / 1.25)),
    # a coarser mask: the left half is 1.5 positions wide
    (targets.Segmentation(0, [[1, 0]]),
     ("road, mean over a mask (1 x 2 resampled to 2 x 3)", (1 + 2 + 5 / 2 + 7 / 2) / 3)),
    (targets.Segmentation(0, box=(0.5, 0, 2, 1)), ("road, mean over the box (0.5, 0, 2, 1)", (1 / 2 + 5) / 1.5)),
    (targets.Segmentation(0, box=(50, 0, 200, 20), size=(40, 300)),
     ("road, mean over the box (50, 0, 200, 20)", (1 / 2 + 5) / 1.5)),
    (targets.Field(), ("mean of the output", 25 / 12)),
    (targets.Field("max", box=(0, 1, 1, 2)), ("max of the output over the box (0, 1, 1, 2)", 2.0)),
    (targets.Field("min", channel=0), ("min of channel 0", 0.0)),
    (targets.Field("sum", [[1, 0, 0], [0, 0, 0]], channel=1), ("sum of channel 1 over a mask", 4.0)),
    (targets.Field("rms", [[1, 1, 0], [0, 0, 0]], channel=1), ("rms of channel 1 over a mask", 12.5**0.5)),
    (targets.Field("std", [[1, 1, 0], [0, 0, 0]], channel=1), ("std of channel 1 over a mask", 0.5)),
    (targets.Field(torch.median, [[1, 1, 1], [0, 0, 0]], channel=1), ("median of channel 1 over a mask", 3.0)),
])  # fmt: skip
def test_name_and_value_by_hand(target, wanted):
    name, value = told(target)
    assert name == wanted[0]
    assert value == pytest.approx(wanted[1], abs=1e-12)
    copy = pickle.loads(pickle.dumps(target))
    assert copy == target
    assert hash(copy) == hash(target)
    assert told(copy) == (name, value)


def test_resampling_a_mask_keeps_its_share_of_every_area_exactly():
    generator = torch.Generator().manual_seed(0)
    mask = torch.rand(7, 5, generator=generator, dtype=torch.float64)
    region = Region.of(mask, None, None)
    found = region.weights(torch.zeros(3, 8, dtype=torch.float64))
    # slow: cut both grids into 1/21 x 1/40 tiles, which are parts of one position of each
    fine = mask.repeat_interleave(3, 0).repeat_interleave(8, 1)
    wanted = fine.reshape(3, 7, 8, 5).mean((1, 3))
    torch.testing.assert_close(found, wanted)
    volume = Region.of(mask[None, :, :].repeat(4, 1, 1), None, None).weights(torch.zeros(2, 7, 5, dtype=torch.float64))
    torch.testing.assert_close(volume, mask.expand(2, 7, 5))
    line = Region.of(None, (1, 2.5), None).weights(torch.zeros(4))
    assert line.tolist() == [0, 1, 0.5, 0]


def test_where_a_class_is_predicted_is_kept_while_inputs_change():
    bound = bind(targets.Segmentation(1), LOGITS, NAMES)
    assert float(bound.function(LOGITS.flip(0))) == pytest.approx((1 + 0) / 2)
    assert pickle.loads(pickle.dumps(bound)) == bound


def test_a_single_channel_is_above_zero_where_it_is_predicted():
    out = torch.tensor([[[1.0, -3.0], [3.0, -1.0]]])
    assert told(targets.Segmentation("tree"), out) == ("tree, mean over where it is predicted", 2.0)
    assert told(targets.Segmentation(0), {"out": out, "aux": None})[1] == 2.0
    with pytest.raises(TargetError, match=r"logit of 'tree'; use Against\(Segmentation\(0\)\)"):
        told(targets.Segmentation("road"), out)
    with pytest.raises(TargetError, match="Class 0 is predicted nowhere in this input; pass a mask"):
        told(targets.Segmentation(0), -out.abs())


def test_the_root_of_a_constant_field_has_a_gradient_of_zero():
    out = torch.full((1, 2, 2), 3.0, requires_grad=True)
    targets.Field("std")(out).backward()
    assert not out.grad.any()


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: targets.Segmentation(0, np.zeros((2, 2))), r"mask of shape \(2, 2\) has no place"),
    (lambda: targets.Segmentation(0, [[-1.0, 2.0]]), "a negative one"),
    (lambda: targets.Segmentation(0, [[1.0]], box=(0, 0, 1, 1)), "not both"),
    (lambda: targets.Segmentation(0, size=(4, 4)), "there is no box"),
    (lambda: targets.Segmentation(0, box=(3, 0, 1, 1)), r"\(3.0, 0.0, 1.0, 1.0\) has no extent"),
    (lambda: targets.Segmentation(0, box=(0, 0, 1, 1), size=(4,)), "does not fit a box with 2 axes"),
    (lambda: told(targets.Segmentation(0, box=(0, 1))), "box with 1 axes does not fit"),
    (lambda: told(targets.Segmentation(0, box=(9, 9, 12, 12))), r"lies outside of the picture, whose size is \(2, 3\)"),
    (lambda: told(targets.Segmentation(0, np.ones((2, 2, 3)))), r"mask of shape \(2, 2, 3\) does not fit"),
    (lambda: told(targets.Segmentation(5, np.ones((2, 3)))), "Class 5 does not exist: the output has 2 classes"),
    (lambda: told(targets.Segmentation(1), torch.stack([LOGITS[0], LOGITS[0] - 1])), r"nowhere .*predicted are \[0\]"),
    (lambda: told(targets.Segmentation(0), torch.ones(3)), r"\(3,\), not \(classes, \*spatial\)"),
    (lambda: told(targets.Segmentation(0), {"masks": LOGITS}), r"keys \['masks'\], which has no segmentation"),
    (lambda: targets.Segmentation("tree", [[1.0]])(LOGITS), "'tree' is looked up"),
    (lambda: targets.Field("meen"), "did you mean 'mean'"),
    (lambda: told(targets.Field(channel=2)), "Channel 2 does not exist: the field has 2 channels"),
    (lambda: targets.Field()(torch.tensor(1.0)), "one number, not a field"),
])  # fmt: skip
def test_what_is_refused(make, sentence):
    with pytest.raises(TargetError, match=sentence):
        make()


def test_the_map_of_a_region_is_the_gradient_formula_written_out():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(6, 2, 3, padding=1)).double()
    x = torch.rand(2, 3, 8, 12, dtype=torch.float64)
    mask = torch.zeros(8, 12)
    mask[2:4, 4:8] = 1
    ex = hp.explain(net, x, target=targets.Segmentation(1, mask), layer="1")
    acts = net[:2](x)
    y = net[2](acts)[:, 1, 1, 2:4].mean(1)  # the output has half the size
    (g,) = torch.autograd.grad(y.sum(), acts)
    wanted = (g.mean((2, 3), keepdim=True) * acts).sum(1, keepdim=True)
    torch.testing.assert_close(ex.maps, wanted.detach().to(ex.maps.dtype))
    torch.testing.assert_close(ex.scores[:, 0], y.detach().to(ex.scores.dtype))
    assert ex.targets[0][0].name == "class 1, mean over a mask (8 x 12 resampled to 4 x 6)"


@pytest.mark.parametrize("build", ["deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"])
def test_torchvision_segmentation(build):
    segmentation = pytest.importorskip("torchvision.models.segmentation")
    torch.manual_seed(0)
    net = getattr(segmentation, build)(weights=None, weights_backbone=None, num_classes=3).eval()
    x = torch.rand(2, 3, 64, 64)
    ex = hp.explain(net, x, target=targets.Segmentation(1, box=(0, 0, 32, 64)))
    torch.testing.assert_close(ex.scores[:, 0], net(x)["out"][:, 1, :, :32].mean((1, 2)).detach(), atol=1e-5, rtol=1e-4)
    assert ex.maps.isfinite().all()
    assert ex.maps.any()
    one = hp.explain(net, x[1:], target=targets.Segmentation(1, box=(0, 0, 32, 64)))
    torch.testing.assert_close(one.maps[0], ex.maps[1], atol=1e-6, rtol=1e-3)


def test_segformer_at_a_quarter_of_the_size():
    transformers = pytest.importorskip("transformers")
    config = transformers.SegformerConfig(
        num_labels=3, depths=[1] * 4, hidden_sizes=[8, 8, 8, 8], decoder_hidden_size=8, num_attention_heads=[1] * 4
    )
    torch.manual_seed(0)
    net = transformers.SegformerForSemanticSegmentation(config).eval()
    x = torch.rand(2, 3, 64, 64)
    mask = np.zeros((64, 64), dtype=bool)
    mask[:, 32:] = True
    ex = hp.explain(net, x, target=targets.Segmentation(2, mask))
    logits = net(x).logits
    assert logits.shape[2:] == (16, 16)
    torch.testing.assert_close(ex.scores[:, 0], logits[:, 2, :, 8:].mean((1, 2)).detach(), atol=1e-5, rtol=1e-4)
    assert ex.targets[0][0].name == "class 2, mean over a mask (64 x 64 resampled to 16 x 16)"
    assert ex.maps.any()
