"""torchvision models: presets and labels are read from the weights entries, local files, the real MobileNetV2."""

import json
import urllib.error

import numpy as np
import pytest
import torch
from PIL import Image

import heatproof as hp
from heatproof.errors import HeatproofWarning, ModelError
from heatproof.inputs.prepare import Preprocess
from heatproof.models.sources.torchvision import _preprocess

torchvision = pytest.importorskip("torchvision")
from torchvision.models import get_model, get_model_weights, get_weight, list_models  # noqa: E402  after the check


@pytest.fixture(scope="module")
def picture():
    y, x = np.mgrid[0:301, 0:427]
    stack = [128 + 100 * np.sin(x / 37), 128 + 100 * np.cos(y / 43), 128 + 90 * np.sin((x + y) / 51)]
    return Image.fromarray(np.stack(stack, -1).astype(np.uint8))


@pytest.mark.parametrize(
    "entry",
    [
        "ResNet50_Weights.IMAGENET1K_V2",
        "EfficientNet_B1_Weights.IMAGENET1K_V1",
        "Inception_V3_Weights.IMAGENET1K_V1",
        "ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1",
        "FCN_ResNet50_Weights.DEFAULT",
        "FasterRCNN_ResNet50_FPN_Weights.DEFAULT",
    ],
)
def test_a_preset_gives_what_torchvisions_own_transform_gives(entry, picture):
    preset = get_weight(entry).transforms()
    theirs = preset(picture)
    ours = _preprocess(preset)(hp.read(picture)).tensor
    assert ours.shape == theirs.shape
    # torchvision resizes pictures in 8 bits: values may differ by their rounding
    assert (ours - theirs).abs().max() < 2.5 / 255 / 0.22


def test_every_image_entry_of_torchvision_is_read_field_by_field():
    for name in list_models():
        for entry in get_model_weights(name):
            if entry.__class__.__module__.partition("models.")[2].split(".")[0] in ("video", "optical_flow"):
                continue
            assert isinstance(_preprocess(entry.transforms()), Preprocess), entry


def test_published_files_bring_their_preset_and_labels(tmp_path):
    entry = get_weight("ResNet18_Weights.IMAGENET1K_V1")
    torch.manual_seed(0)
    net = get_model("resnet18").eval()
    path = tmp_path / entry.url.rsplit("/", 1)[1]
    torch.save(net.state_dict(), path)
    for place in (path, tmp_path):
        model = hp.load(f"torchvision:resnet18@{place}")
        assert model.preprocess == Preprocess(
            resize=256, crop=(224, 224), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
        )
        assert model.label(282) == "tiger cat"
        x = torch.randn(1, 3, 64, 64)
        assert torch.equal(model.net(x), net(x))


def test_old_densenet_names_are_understood(tmp_path):
    torch.manual_seed(0)
    net = get_model("densenet121", num_classes=2, memory_efficient=False).eval()
    old = {
        key.replace("norm1.", "norm.1.")
        .replace("conv1.", "conv.1.")
        .replace("norm2.", "norm.2.")
        .replace("conv2.", "conv.2.")
        if "denselayer" in key
        else key: value
        for key, value in net.state_dict().items()
        if "num_batches_tracked" not in key
    }
    torch.save(old, tmp_path / "old.pth")
    model = hp.load(f"file:{tmp_path}/old.pth", arch="torchvision:densenet121", preprocess={})
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(model.net(x), net(x))


def test_without_weights_there_is_no_preset_and_a_warning_says_so():
    with pytest.warns(HeatproofWarning, match=r"nothing says what preprocessing it wants.*pass preprocess="):
        model = hp.load("torchvision:resnet18@none")
    assert model.preprocess is None
    assert model.labels is None
    told = hp.load("torchvision:squeezenet1_1@none", preprocess={"resize": 64}, in_chans=2, num_classes=5)
    assert told.net(torch.zeros(1, 2, 64, 64)).shape == (1, 5)


def test_detectors_are_built_without_downloading_a_backbone():
    model = hp.load("torchvision:fasterrcnn_mobilenet_v3_large_320_fpn@none", preprocess={})
    assert model.net([torch.rand(3, 64, 64)])[0].keys() == {"boxes", "labels", "scores"}


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("resnet", r"torchvision has no model 'resnet'; did you mean"),
        ("resnet18@IMAGENET1K_V9", r"no weights 'IMAGENET1K_V9', and there is no such file; it has 'IMAGENET1K_V1'"),
        ("mnasnet0_5@nope/w.pth", "there is no such file"),
    ],
)
def test_names_that_torchvision_does_not_know(spec, sentence):
    with pytest.raises(ModelError, match=sentence):
        hp.load(f"torchvision:{spec}")


def test_a_failed_download_names_the_file_to_fetch(monkeypatch):
    def offline(*args, **kwargs):
        raise urllib.error.URLError("no network")

    monkeypatch.setattr("heatproof.models.sources._hub.unreachable", lambda url: None)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", offline)
    with pytest.raises(ModelError, match=r"could not be fetched .*download https://.*resnet18-f37072fd.pth.*@PATH"):
        hp.load("torchvision:resnet18")


def test_a_folder_of_several_files_is_refused(tmp_path):
    for name in ("a.pth", "b.pt"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(ModelError, match=r"holds 2 files of weights \(a.pth, b.pt\); name the file"):
        hp.load(f"torchvision:resnet18@{tmp_path}")


def test_trained_weights_are_not_replaced_by_random_ones():
    with pytest.raises(ModelError, match="in_chans would replace"):
        hp.load("torchvision:resnet18", in_chans=1)


@pytest.mark.real
def test_the_real_mobilenet_names_real_photographs(data_folder):
    weights = data_folder / "weights"
    model = hp.load(
        f"file:{weights}/mobilenet_v2.safetensors",
        arch="torchvision:mobilenet_v2",
        labels=weights / "imagenet_labels.json",
        preprocess={"resize": 257, "crop": [225, 225], "mean": [0.5] * 3, "std": [0.5] * 3},
    )
    names = json.loads((weights / "imagenet_labels.json").read_text())
    assert model.label(282) == (names[282] if isinstance(names, list) else names["282"])
    lines = (data_folder / "photos" / "labels.csv").read_text().splitlines()[1:41]
    correct = 0
    with torch.no_grad():
        for line in lines:
            file, _, index, *_ = line.split(",")
            x = model.prepare(hp.read(data_folder / "photos" / file)).tensor
            correct += int(model.net(x[None]).argmax()) == int(index)
    assert correct >= 30  # 0.88 over all 200; 0.75 is more than two standard errors below
