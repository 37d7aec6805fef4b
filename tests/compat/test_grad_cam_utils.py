"""pytorch-grad-cam's image functions, targets and metrics give what pytorch-grad-cam's give."""

import numpy as np
import pytest
import pytorch_grad_cam.utils.image as image_peer
import pytorch_grad_cam.utils.model_targets as targets_peer
import torch
from pytorch_grad_cam.metrics import cam_mult_image as metrics_peer
from tests.compat.peers import best, inputs, small

from heatproof.compat.pytorch_grad_cam.metrics import cam_mult_image as metrics
from heatproof.compat.pytorch_grad_cam.utils import image, model_targets
from heatproof.errors import InputError, TargetError, UsageError

PICTURE = np.random.default_rng(0).random((12, 10, 3), dtype=np.float32)
MAP = np.random.default_rng(1).random((12, 10), dtype=np.float32)


@pytest.mark.parametrize("rgb", [True, False])
@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_show_cam_on_image(rgb, weight):
    mine = image.show_cam_on_image(PICTURE, MAP, use_rgb=rgb, image_weight=weight)
    theirs = image_peer.show_cam_on_image(PICTURE, MAP, use_rgb=rgb, image_weight=weight)
    assert mine.dtype == np.uint8
    # OpenCV's table and ours round a few of the 256 colors by one level
    assert np.abs(mine.astype(int) - theirs.astype(int)).max() <= 2


def test_show_cam_on_image_refuses():
    with pytest.raises(InputError, match="divide by 255"):
        image.show_cam_on_image(PICTURE * 255, MAP)
    with pytest.raises(InputError, match="one size"):
        image.show_cam_on_image(PICTURE, MAP.T)
    with pytest.raises(UsageError, match="image_weight is 2"):
        image.show_cam_on_image(PICTURE, MAP, image_weight=2.0)
    with pytest.raises(UsageError, match="OpenCV's numbers"):
        image.show_cam_on_image(PICTURE, MAP, colormap=11)
    with pytest.raises(UsageError, match="colormap is 'nosuch'"):
        image.show_cam_on_image(PICTURE, MAP, colormap="nosuch")
    with pytest.raises(InputError, match="for a gray picture"):
        image.show_cam_on_image(PICTURE[..., 0], MAP)


@pytest.mark.parametrize("number", [*image._SAME.items()])
def test_color_maps_by_the_numbers_of_opencv(number):
    by_number, by_name = number
    theirs = image_peer.show_cam_on_image(PICTURE, MAP, use_rgb=True, colormap=by_number)
    for colormap in number:
        mine = image.show_cam_on_image(PICTURE, MAP, use_rgb=True, colormap=colormap)
        assert np.abs(mine.astype(int) - theirs.astype(int)).max() <= 2
    gray = PICTURE[..., :1]
    np.testing.assert_array_equal(
        image.show_cam_on_image(gray, MAP, colormap=by_name),
        image.show_cam_on_image(gray.repeat(3, axis=2), MAP, colormap=by_name),
    )


@pytest.mark.parametrize("picture", [PICTURE, (PICTURE * 255).astype(np.uint8)], ids=["float", "uint8"])
def test_preprocess_image(picture):
    how = {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
    torch.testing.assert_close(image.preprocess_image(picture, **how), image_peer.preprocess_image(picture, **how))


def test_deprocess_image():
    mine, theirs = image.deprocess_image(PICTURE), image_peer.deprocess_image(PICTURE)
    assert np.abs(mine.astype(int) - theirs.astype(int)).max() <= 1


@pytest.mark.parametrize("size", [None, (20, 24), (5, 6)])
def test_scale_cam_image(size):
    maps = np.stack([MAP, -MAP * 100])
    np.testing.assert_allclose(image.scale_cam_image(maps, size), image_peer.scale_cam_image(maps, size), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "how", "shape"),
    [
        ("ClassifierOutputTarget", (2,), (5,)),
        ("ClassifierOutputTarget", (2,), (3, 5)),
        ("ClassifierOutputSoftmaxTarget", (2,), (5,)),
        ("ClassifierOutputSoftmaxTarget", (2,), (3, 5)),
        ("ClassifierOutputReST", (2,), (5,)),
        ("ClassifierOutputReST", (2,), (3, 5)),
        ("BinaryClassifierOutputTarget", (1,), (1,)),
        ("BinaryClassifierOutputTarget", (0,), (1,)),
        ("SoftmaxOutputTarget", (), (5,)),
        ("RawScoresOutputTarget", (), (1,)),
        ("SemanticSegmentationTarget", (1, np.eye(4, dtype=np.float32)), (3, 4, 4)),
        ("FinerWeightedTarget", (0, [1, 3], 0.7), (5,)),
        ("FinerWeightedTarget", (0, [1, 3], 0.7), (3, 5)),
    ],
)
def test_targets(name, how, shape):
    output = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    mine, theirs = (getattr(module, name)(*how)(output) for module in (model_targets, targets_peer))
    torch.testing.assert_close(mine, theirs)


def test_box_target():
    boxes = torch.tensor([[0.0, 0, 4, 4], [2, 2, 8, 8], [0, 0, 4, 5]])
    output = {"boxes": boxes, "scores": torch.tensor([0.9, 0.8, 0.3]), "labels": torch.tensor([1, 2, 1])}
    wanted = np.array([[0, 0, 4, 4.5], [2, 2, 8, 9], [20, 20, 30, 30]], dtype=np.float32)
    for labels in ([1, 2, 1], [2, 2, 2]):
        mine, theirs = (m.FasterRCNNBoxScoreTarget(labels, wanted)(output) for m in (model_targets, targets_peer))
        torch.testing.assert_close(mine, theirs)
    empty = {"boxes": boxes[:0], "scores": boxes[:0, 0], "labels": boxes[:0, 0]}
    assert model_targets.FasterRCNNBoxScoreTarget([1], wanted[:1])(empty).tolist() == [0]
    with pytest.raises(ValueError, match="argument"):  # theirs leaves boxes without a label out
        model_targets.FasterRCNNBoxScoreTarget([1], wanted)(output)


@pytest.mark.parametrize("name", ["CamMultImageConfidenceChange", "DropInConfidence", "IncreaseInConfidence"])
def test_metrics_of_multiplying_by_the_map(name):
    net, x = small(), inputs()
    maps = np.random.default_rng(2).random((2, 9, 9), dtype=np.float32)
    for targets in (best(net, x), [0, 1]):
        called = [model_targets.ClassifierOutputTarget(index) for index in targets]
        mine = getattr(metrics, name)()(x, maps, called, net)
        theirs = getattr(metrics_peer, name)()(x, maps, called, net)
        np.testing.assert_allclose(mine, theirs, atol=1e-5)
    with pytest.raises(TargetError, match="1 targets for 2 inputs"):
        getattr(metrics, name)()(x, maps, called[:1], net)


def test_road_says_what_to_use():
    with pytest.raises(UsageError, match="faithfulness"):
        from heatproof.compat.pytorch_grad_cam.metrics.road import ROADCombined  # noqa: F401 - the import is tested


def test_preprocess_image_of_gray_pictures_and_of_channels_that_do_not_fit():
    gray = PICTURE[..., 0]
    mine = image.preprocess_image(gray, mean=[0.4], std=[0.2])
    torch.testing.assert_close(mine, image_peer.preprocess_image(gray, mean=[0.4], std=[0.2]))
    with pytest.raises(InputError, match="with 1 channels, and mean and std have 3 and 3 values"):
        image.preprocess_image(gray)
