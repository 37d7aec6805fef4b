"""Hugging Face image classifiers, saved and loaded back offline with their processors."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import heatproof as hp
from heatproof.errors import HeatproofWarning, ModelError
from heatproof.inputs.prepare import Preprocess

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def picture():
    y, x = np.mgrid[0:181, 0:243]
    stack = [128 + 100 * np.sin(x / 17), 128 + 100 * np.cos(y / 23), 128 + 90 * np.sin((x + y) / 31)]
    return Image.fromarray(np.stack(stack, -1).astype(np.uint8))


def vit(labels=("cat", "dog", "owl")):
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32, patch_size=8
    )
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {name: index for index, name in enumerate(labels)}
    return transformers.ViTForImageClassification(config).eval()


def resnet():
    torch.manual_seed(0)
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], num_labels=4)
    return transformers.ResNetForImageClassification(config).eval()


def saved(folder, net, processor=None):
    net.save_pretrained(folder)
    if processor is not None:
        processor.save_pretrained(folder)
    return f"hf:{folder}"


def test_a_saved_vit_comes_back_with_weights_labels_and_preprocessing(tmp_path):
    net = vit()
    processor = transformers.ViTImageProcessor(
        size={"height": 32, "width": 32}, image_mean=[0.5, 0.4, 0.3], image_std=[0.2, 0.3, 0.4], resample=2
    )
    model = hp.load(saved(tmp_path, net, processor))
    x = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        assert torch.equal(model.net(x).logits, net(x).logits)
    assert model.labels == ("cat", "dog", "owl")
    assert model.preprocess == Preprocess(resize=(32, 32), mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4))


PROCESSORS = {
    "exact size": ("ViTImageProcessor", {"size": {"height": 40, "width": 56}}),
    "shortest edge and crop": ("CLIPImageProcessor", {"size": {"shortest_edge": 64}, "crop_size": 56}),
    "not normalized": ("ViTImageProcessor", {"size": {"height": 32, "width": 32}, "do_normalize": False}),
    "not rescaled": (
        "ViTImageProcessor",
        {"size": {"height": 32, "width": 32}, "do_rescale": False, "image_mean": [127.0] * 3, "image_std": [60.0] * 3},
    ),
    "convnext, small": ("ConvNextImageProcessor", {"size": {"shortest_edge": 56}, "crop_pct": 0.875}),
    "convnext, large": ("ConvNextImageProcessor", {"size": {"shortest_edge": 384}}),
    "levit": ("LevitImageProcessor", {"size": {"shortest_edge": 56}, "crop_size": {"height": 56, "width": 56}}),
    "BGR": ("MobileViTImageProcessor", {"size": {"shortest_edge": 64}, "crop_size": {"height": 56, "width": 56}}),
    "normalized twice": (
        "EfficientNetImageProcessor",
        {"size": {"height": 64, "width": 64}, "include_top": True, "image_std": [0.4, 0.5, 0.6]},
    ),
}


@pytest.mark.parametrize("case", PROCESSORS)
def test_preprocessing_gives_what_the_processor_gives(tmp_path, picture, case):
    name, kwargs = PROCESSORS[case]
    processor = getattr(transformers, name)(**kwargs)
    model = hp.load(saved(tmp_path, vit(), processor))
    theirs = torch.as_tensor(processor(picture, return_tensors="pt")["pixel_values"][0])
    ours = model.prepare(hp.read(picture))
    assert ours.tensor.shape == theirs.shape
    assert (ours.tensor - theirs).abs().max() <= 0.015 * float(theirs.max() - theirs.min())
    assert ours.geometry.exact
    assert ours.geometry.model_size == tuple(theirs.shape[1:])


def test_a_known_processor_is_read_and_an_odd_one_is_used_itself(tmp_path):
    read = hp.load(saved(tmp_path / "a", vit(), transformers.CLIPImageProcessor(size={"shortest_edge": 64})))
    assert isinstance(read.preprocess, Preprocess)
    odd = hp.load(saved(tmp_path / "b", vit(), transformers.MobileViTImageProcessor(size={"shortest_edge": 64})))
    assert not isinstance(odd.preprocess, Preprocess)


def test_without_a_processor_a_warning_says_so_and_nobodys_labels_are_none(tmp_path):
    spec = saved(tmp_path, resnet())
    with pytest.warns(HeatproofWarning, match=r"without a usable image processor .*pass preprocess="):
        model = hp.load(spec)
    assert model.preprocess is None
    assert model.labels is None  # transformers' own LABEL_0, LABEL_1, ... name nothing
    told = hp.load(spec, preprocess={"resize": 64}, labels=list("abcd"))
    assert told.labels == tuple("abcd")


def test_random_weights_of_a_saved_configuration(tmp_path):
    spec = saved(tmp_path, vit())
    model = hp.load(spec, pretrained=False, num_classes=7, preprocess={})
    assert model.net(torch.zeros(1, 3, 32, 32)).logits.shape == (1, 7)
    assert model.weights_sha256() != hp.load(spec, preprocess={}).weights_sha256()


def test_a_backbone_without_a_trained_classifier_is_refused(tmp_path):
    vit().vit.save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"no trained classifier: its weights lack .*classifier.weight"):
        hp.load(f"hf:{tmp_path}")


def test_code_in_a_repository_is_never_run(tmp_path):
    saved(tmp_path, vit())
    config = json.loads((tmp_path / "config.json").read_text())
    config["model_type"] = "own"
    config["auto_map"] = {"AutoConfig": "own.Config", "AutoModelForImageClassification": "own.Net"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text(f"open({str(tmp_path / 'it-ran')!r}, 'w').close()\n")
    with pytest.raises(ModelError, match="could not be built"):
        hp.load(f"hf:{tmp_path}")
    assert not (tmp_path / "it-ran").exists()


def test_a_failed_download_says_what_to_put_where(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("heatproof.models.sources._hub.unreachable", lambda url: None)
    monkeypatch.setattr(transformers.AutoModelForImageClassification, "from_pretrained", offline)
    with pytest.raises(ModelError, match=r"could not be fetched \(no network\); download config.json.*'hf:FOLDER'"):
        hp.load("hf:google/vit-base-patch16-224")


def test_trained_weights_are_not_replaced_by_random_ones(tmp_path):
    with pytest.raises(ModelError, match="num_classes would replace"):
        hp.load(f"hf:{tmp_path}", num_classes=3)
