"""Detection targets: matched by overlap, followed while the input changes, on torchvision's and DETR-like detectors."""

import pickle

import pytest
import torch

import heatproof as hp
from heatproof import targets
from heatproof.errors import TargetError
from heatproof.explain.asked import kind_of
from heatproof.models.targets import Names, bind
from heatproof.targets._detections import detections, iou

NAMES = Names(["none", "cell", "fiber"].__getitem__, ["none", "cell", "fiber"].index, 3)


def found(scores=(0.9, 0.8, 0.3)):
    """Two overlapping detections of cells and one of a fiber on the same box as the second."""
    boxes = torch.tensor([[0.0, 0, 10, 10], [2.0, 0, 12, 10], [2.0, 0, 12, 10]])
    return {"boxes": boxes, "labels": torch.tensor([1, 1, 2]), "scores": torch.tensor(scores, requires_grad=True)}


def gradient_of(target, out):
    y = target(out)
    (gradient,) = torch.autograd.grad(y, out["scores"])
    return float(y.detach()), gradient.tolist()


def test_overlap_by_hand():
    # 8 x 10 shared of 10 x 10 + 10 x 10 - 80; 5 x 5 of 100 + 100 - 25; none
    boxes = torch.tensor([[2.0, 0, 12, 10], [5.0, 5, 15, 15], [20.0, 20, 30, 30], [0.0, 0, 10, 10]])
    wanted = torch.tensor([80 / 120, 25 / 175, 0, 1])
    torch.testing.assert_close(iou(torch.tensor([0.0, 0, 10, 10]), boxes), wanted)


@pytest.mark.parametrize(("target", "wanted"), [
    # IoU 1 x 0.9 against 2/3 x 0.8
    (targets.Box((0, 0, 10, 10)), ("cell in the box (0, 0, 10, 10)", (0.9, [1, 0, 0]))),
    # 2/3 x 0.9 against 1 x 0.8 and 1 x 0.3
    (targets.Box((2, 0, 12, 10)), ("cell in the box (2, 0, 12, 10)", (0.8, [0, 1, 0]))),
    (targets.Box((2, 0, 12, 10), "fiber"), ("fiber in the box (2, 0, 12, 10)", (0.3, [0, 0, 1]))),
    (targets.Box((0, 0, 10, 10), 2, min_iou=0.6), ("fiber in the box (0, 0, 10, 10)", (0.3, [0, 0, 1]))),
    (targets.Boxes("cell"), ("all boxes of cell", (1.7, [1, 1, 0]))),
    (targets.Boxes(1, 0.85), ("all boxes of cell", (0.9, [1, 0, 0]))),
    (targets.Boxes(2, 0.1), ("all boxes of fiber", (0.3, [0, 0, 1]))),
])  # fmt: skip
def test_name_value_and_gradient_by_hand(target, wanted):
    out = found()
    for one in (target, pickle.loads(pickle.dumps(target))):
        assert one == target
        assert hash(one) == hash(target)
        bound = bind(one, out, NAMES)
        value, gradient = gradient_of(bound.function, out)
        assert (bound.name, gradient) == (wanted[0], wanted[1][1])
        assert value == pytest.approx(wanted[1][0])


def test_a_box_that_vanishes_scores_zero_and_keeps_its_class():
    bound = bind(targets.Box((2, 0, 12, 10)), found(), NAMES).function
    gone = {**found(), "boxes": found()["boxes"] + 100}
    assert gradient_of(bound, gone) == (0.0, [0, 0, 0])
    other = found()
    other["labels"] = torch.tensor([2, 2, 2])
    assert gradient_of(bound, other) == (0.0, [0, 0, 0])
    moved = {**found(), "boxes": found()["boxes"] + 1}
    assert gradient_of(bound, moved)[1] == [1, 0, 0]  # 99/121 x 0.9 against 81/119 x 0.8
    empty = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64), "scores": torch.zeros(0)}
    assert float(bound(empty)) == 0
    assert float(targets.Boxes(1)(empty)) == 0


def queries():
    """Three DETR queries over two classes and "no object"."""
    logits = torch.tensor([[0.0, 2.0, 1.0], [1.0, 0.0, 3.0], [2.0, 1.0, 0.0]], dtype=torch.float64, requires_grad=True)
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.4], [0.5, 0.5, 0.2, 0.4], [0.2, 0.2, 0.2, 0.2]], dtype=torch.float64)
    return {"logits": logits, "pred_boxes": boxes}


def test_detr_by_hand():
    out = queries()
    soft = out["logits"].detach().exp() / out["logits"].detach().exp().sum(1, keepdim=True)
    box = (0.4, 0.3, 0.6, 0.7)
    bound = bind(targets.Box(box), out, NAMES)
    assert bound.name == "cell in the box (0.4, 0.3, 0.6, 0.7)"
    y = bound.function(out)
    assert float(y.detach()) == pytest.approx(float(soft[0, 1]))
    (gradient,) = torch.autograd.grad(y, out["logits"])
    p = soft[0]
    wanted = torch.zeros(3, 3, dtype=torch.float64)
    wanted[0] = p[1] * (torch.tensor([0.0, 1.0, 0.0]) - p)  # the softmax's derivative
    torch.testing.assert_close(gradient, wanted)
    pixels = targets.Box((40, 60, 60, 140), size=(200, 100))
    assert float(bind(pixels, out, NAMES).function(out).detach()) == pytest.approx(float(soft[0, 1]))
    original = {"pred_logits": out["logits"], "pred_boxes": out["pred_boxes"]}
    assert float(targets.Box(box, 0)(original).detach()) == pytest.approx(float(soft[1, 0].maximum(soft[0, 0])))
    independent = targets.Boxes(2, 0.6, activation="sigmoid")(out)
    # the sigmoid of 1, 3 and 0: two of 0.6 or more
    assert float(independent.detach()) == pytest.approx(
        1 / (1 + 2.718281828459045**-1) + 1 / (1 + 2.718281828459045**-3)
    )


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: targets.Box((5, 0, 5, 9)), "has no extent; give x0, y0, x1, y1"),
    (lambda: targets.Box((5, 0, 5)), "has no extent"),
    (lambda: targets.Box(0), "The box is 0; give four numbers"),
    (lambda: targets.Box(None), "The box is None; give four numbers"),
    (lambda: targets.Box((0, 0, 1, 1), min_iou=0.0), "min_iou is 0.0; it must be above 0"),
    (lambda: targets.Box((0, 0, 1, 1), size=(0, 4)), r"size=\(0, 4\) is not"),
    (lambda: targets.Box((0, 0, 1, 1), activation="relu"), "activation is 'relu'"),
    (lambda: targets.Boxes(1, min_score=1.0), "min_score is 1.0"),
    (lambda: bind(targets.Box((6, 0, 16, 10)), found(), NAMES),
     r"No detection overlaps the box \(6.0, 0.0, 16.0, 10.0\) with IoU 0.5 or more: the best of 3 has IoU 0.43, "
     r"at \(2, 0, 12, 10\); give a detected box, or a lower min_iou"),
    (lambda: bind(targets.Box((0, 0, 5, 5), "fiber"), found(), NAMES), "No detection of 'fiber' overlaps"),
    (lambda: bind(targets.Box((0, 0, 5, 5), "none"), found(), NAMES), "finds no box of 'none' in this input"),
    (lambda: bind(targets.Boxes("fiber"), found(), NAMES), r"'fiber' scores 0.5 or more.*best of 1 scores 0.3"),
    (lambda: bind(targets.Boxes("none"), found(), NAMES), "there is none at all"),
    (lambda: bind(targets.Box((0, 0, 5, 5), size=(9, 9)), found(), NAMES), "are pixels of its input"),
    (lambda: bind(targets.Box((10, 10, 20, 20)), queries(), NAMES), "not in fractions of the picture"),
    (lambda: bind(targets.Box((0, 0, 1, 1), 2), queries(), NAMES), "Class 2 does not exist: the detector has 2"),
    (lambda: targets.Box((0, 0, 1, 1))(torch.ones(3)), "Tensor for one input, not the boxes of a detector"),
    (lambda: targets.Box((0, 0, 1, 1))({"out": torch.ones(3)}), r"keys \['out'\] for one input"),
    (lambda: targets.Box((0, 0, 1, 1), "cell")(found()), "'cell' is looked up"),
])  # fmt: skip
def test_what_is_refused(make, sentence):
    with pytest.raises(TargetError, match=sentence):
        make()


BUILDS = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": {"min_size": 64, "max_size": 96, "box_score_thresh": 0.0},
    "ssdlite320_mobilenet_v3_large": {"score_thresh": 0.0},
    "retinanet_resnet50_fpn": {"min_size": 64, "max_size": 96, "score_thresh": 0.0},
}


@pytest.mark.parametrize("build", BUILDS)
def test_torchvision_detectors(build):
    detection = pytest.importorskip("torchvision.models.detection")
    torch.manual_seed(0)
    net = getattr(detection, build)(weights=None, weights_backbone=None, num_classes=4, **BUILDS[build]).eval()
    x = torch.rand(2, 3, 64, 80)
    with torch.no_grad():
        outputs = net(x)
    boxes = [(out["boxes"][0].tolist(), int(out["labels"][0]), float(out["scores"][0])) for out in outputs]
    wanted = [[targets.Box(box, label)] for box, label, _ in boxes]
    ex = hp.explain(net, x, target=wanted)
    torch.testing.assert_close(ex.scores[:, 0], torch.tensor([score for *_, score in boxes]), atol=1e-5, rtol=1e-3)
    assert ex.maps.isfinite().all()
    assert ex.maps.flatten(1).any(1).all()
    one = hp.explain(net, x[1:], target=wanted[1][0])
    torch.testing.assert_close(one.maps[0], ex.maps[1], atol=1e-6, rtol=1e-2)
    with pytest.raises(TargetError, match=r"No detection of 'class 1' overlaps the box|finds no box"):
        hp.explain(net, x, target=targets.Box((0, 0, 0.01, 0.01), 1))


def detr():
    transformers = pytest.importorskip("transformers")
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1] * 4, layer_type="basic", out_features=["stage4"]
    )
    config = transformers.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=backbone, num_labels=3,
        num_queries=5, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16, decoder_ffn_dim=16,
        encoder_attention_heads=2, decoder_attention_heads=2,
    )  # fmt: skip
    torch.manual_seed(0)
    return transformers.DetrForObjectDetection(config).eval()


def test_detr_of_transformers():
    net = detr()
    x = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        out = net(x)
    cx, cy, w, h = out.pred_boxes[1, 2].tolist()
    box = ((cx - w / 2) * 96, (cy - h / 2) * 64, (cx + w / 2) * 96, (cy + h / 2) * 64)
    target = targets.Box(box, label=1, min_iou=0.99, size=(64, 96))
    ex = hp.explain(net, x[1:], target=target)
    torch.testing.assert_close(ex.scores[0, 0], out.logits[1, 2].softmax(0)[1], atol=1e-5, rtol=1e-3)
    assert ex.maps.isfinite().all()
    assert ex.maps.any()
    both = hp.explain(net, x, target=targets.Boxes(1, 0.0))
    wanted = out.logits.softmax(-1)[:, :, 1].sum(1)
    torch.testing.assert_close(both.scores[:, 0], wanted, atol=1e-5, rtol=1e-3)
    assert (
        hp.explain(net, x, target=targets.Box((0, 0, 1, 1), 1, min_iou=1e-9), method="scorecam").maps.isfinite().all()
    )


def test_transformers_detectors_score_classes_with_the_activation_they_are_trained_with():
    from transformers.models.conditional_detr.modeling_conditional_detr import ConditionalDetrObjectDetectionOutput
    from transformers.models.detr.modeling_detr import DetrObjectDetectionOutput

    parts = queries()
    soft = detections(DetrObjectDetectionOutput(**parts), 1, None).scores
    torch.testing.assert_close(soft, parts["logits"].softmax(-1)[:, 1])
    independent = detections(ConditionalDetrObjectDetectionOutput(**parts), 2, None).scores
    torch.testing.assert_close(independent, parts["logits"].sigmoid()[:, 2])


def test_layers_are_chosen_once_for_all_boxes_and_anew_for_other_kinds():
    assert kind_of(targets.Box((0, 0, 10, 10))) == kind_of([targets.Box((2, 0, 12, 10), 2)])
    assert kind_of(targets.Box((0, 0, 10, 10))) != kind_of(targets.Boxes(1))
    assert kind_of(targets.Class(1)) != kind_of(targets.Regression(1))
