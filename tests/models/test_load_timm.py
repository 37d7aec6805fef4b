"""timm models: the preprocessing that their configurations state, local folders, weights that cannot be had."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import heatproof as hp
from heatproof.errors import HeatproofWarning, ModelError
from heatproof.inputs.prepare import Preprocess

timm = pytest.importorskip("timm")
ARCHITECTURE = "test_resnet"  # timm's own tiny network for tests: 0.5 M parameters


@pytest.fixture(scope="module")
def picture():
    y, x = np.mgrid[0:181, 0:243]
    stack = [128 + 100 * np.sin(x / 17), 128 + 100 * np.cos(y / 23), 128 + 90 * np.sin((x + y) / 31)]
    return Image.fromarray(np.stack(stack, -1).astype(np.uint8))


def folder(tmp_path, net, **cfg):
    """Write what timm.models.push_to_hf_hub writes."""
    base = {"input_size": [3, 96, 96], "crop_pct": 0.9, "interpolation": "bicubic", "num_classes": 4}
    cfg = {"architecture": ARCHITECTURE, "num_classes": 4, "pretrained_cfg": {**base, **cfg}}
    cfg.update({key: cfg["pretrained_cfg"].pop(key) for key in ("label_names",) if key in cfg["pretrained_cfg"]})
    (tmp_path / "config.json").write_text(json.dumps(cfg))
    save_file(net.state_dict(), tmp_path / "model.safetensors")
    return f"timm:{tmp_path}"


@pytest.fixture
def net():
    torch.manual_seed(0)
    return timm.create_model(ARCHITECTURE, num_classes=4).eval()


def test_a_folder_is_loaded_with_weights_preprocessing_and_labels(tmp_path, net):
    spec = folder(tmp_path, net, mean=[0.5, 0.4, 0.3], std=[0.2, 0.2, 0.1], label_names=["a", "b", "c", "d"])
    model = hp.load(spec)
    x = torch.randn(2, 3, 96, 96)
    assert torch.equal(model.net(x), net(x))
    assert model.labels == ("a", "b", "c", "d")
    assert model.preprocess == Preprocess(
        resize=106, crop=(96, 96), mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.1), interpolation="bicubic"
    )


@pytest.mark.parametrize(
    "cfg",
    [
        {"crop_mode": "center", "crop_pct": 0.875, "interpolation": "bilinear"},
        {"crop_mode": "center", "crop_pct": 1.0, "interpolation": "bicubic"},
        {"crop_mode": "squash", "crop_pct": 0.9, "interpolation": "bicubic"},
        {"crop_mode": "border", "crop_pct": 0.95, "interpolation": "bilinear"},
        {"crop_mode": "squash", "crop_pct": 1.0, "input_size": [3, 64, 96]},
        {"crop_mode": "center", "crop_pct": 0.9, "input_size": [3, 64, 96]},
    ],
    ids=str,
)
def test_preprocessing_gives_what_timms_own_transform_gives(tmp_path, net, picture, cfg):
    model = hp.load(folder(tmp_path, net, mean=[0.5] * 3, std=[0.5] * 3, **cfg))
    config = timm.data.resolve_model_data_config(model.net)
    theirs = timm.data.create_transform(**config, is_training=False)(picture)
    ours = model.prepare(hp.read(picture))
    assert ours.tensor.shape == theirs.shape
    # timm resizes in 8 bits: values may differ by their rounding (1/255 of a range of 2)
    assert (ours.tensor - theirs).abs().max() < 2.5 / 255 * 2
    assert ours.geometry.exact
    height, width = ours.tensor.shape[1:]
    center = ours.geometry.to_original(((height - 1) / 2, (width - 1) / 2))
    assert center == pytest.approx((90, 121), abs=1.5)  # half a sample of the resized picture


def test_without_weights_the_configuration_still_says_the_preprocessing():
    model = hp.load("timm:resnet18.a1_in1k", pretrained=False)
    assert model.preprocess.resize == 235  # floor(224 / 0.95)
    assert model.preprocess.crop == (224, 224)
    assert model.preprocess.mean == (0.485, 0.456, 0.406)
    assert model.labels is None


def test_other_channels_warn_that_the_normalization_is_averaged():
    with pytest.warns(HeatproofWarning, match="averaged"):
        model = hp.load("timm:resnet18", pretrained=False, in_chans=1, num_classes=7)
    assert model.net(torch.zeros(1, 1, 64, 64)).shape == (1, 7)
    assert model.preprocess.mean == pytest.approx(((0.485 + 0.456 + 0.406) / 3,))


def test_imagenet_labels_come_from_the_configuration(tmp_path, monkeypatch):
    """The network is built with random weights; only the download is left out."""
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained, **kw: create(name, pretrained=False, **kw))
    monkeypatch.setattr("heatproof.models.sources._hub.unreachable", lambda url: None)
    model = hp.load("timm:resnet18.a1_in1k")
    assert len(model.labels) == 1000
    assert model.label(281).startswith("tabby")
    assert model.index("tiger cat") == 282


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("timm:resnet19", r"timm has no model 'resnet19'; did you mean 'resnet18'"),
        ("timm:resnet18.nope_in1k", r"timm:resnet18 has no weights 'nope_in1k'; it has 'a1_in1k'"),
    ],
)
def test_names_that_timm_does_not_know(spec, sentence):
    with pytest.raises(ModelError, match=sentence):
        hp.load(spec)


def test_a_folder_without_config_and_a_failed_download(tmp_path, monkeypatch):
    with pytest.raises(ModelError, match=r"holds no config.json"):
        hp.load(f"timm:{tmp_path}")

    def offline(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr("heatproof.models.sources._hub.unreachable", lambda url: None)
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(ModelError, match=r"timm:resnet18 could not be fetched \(no network\); put model.safetensors"):
        hp.load("timm:resnet18")


def test_trained_weights_are_not_replaced_by_random_ones():
    with pytest.raises(ModelError, match="num_classes would replace trained weights"):
        hp.load("timm:resnet18", num_classes=3)
