"""Users' own checkpoints: wrappers and prefixes that trainers use, sizes read off the weights, differences listed."""

import argparse

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import heatproof as hp
from heatproof.errors import HeatproofWarning, ModelError

timm = pytest.importorskip("timm")
ARCH = "timm:resnet18"
GRAY = {"resize": 64, "mean": [0.4], "std": [0.2]}


@pytest.fixture(scope="module")
def net():
    """A fine-tuned network: 7 classes, 1 channel."""
    torch.manual_seed(0)
    return timm.create_model("resnet18", num_classes=7, in_chans=1).eval()


@pytest.fixture(scope="module")
def expected(net):
    x = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return x, net(x)


def prefixed(net, prefix):
    return {prefix + key: value for key, value in net.state_dict().items()}


PREFIXES = [
    "",
    "module.",
    "_orig_mod.",
    "model.",
    "net.",
    "module._orig_mod.",
    "_orig_mod.module.",
    "model.net.module.",
]
WRAPPERS = {
    "bare": lambda weights: weights,
    "state_dict": lambda weights: {"state_dict": weights, "epoch": 3, "args": argparse.Namespace(lr=0.1)},
    "model": lambda weights: {"model": weights, "optimizer": {"state": {}}},
    "nested": lambda weights: {"model": {"state_dict": weights}},
    "ema beside": lambda weights: {"model": {k: v * 0 for k, v in weights.items()}, "model_ema": weights},
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("prefix", PREFIXES)
def test_wrapped_and_prefixed_checkpoints_load(tmp_path, net, expected, wrapper, prefix):
    torch.save(WRAPPERS[wrapper](prefixed(net, prefix)), tmp_path / "best.ckpt")
    model = hp.load(f"file:{tmp_path}/best.ckpt", arch=ARCH, preprocess=GRAY, labels=list("abcdefg"))
    x, scores = expected
    assert torch.equal(model.net(x), scores)
    assert not model.net.training
    assert model.labels == tuple("abcdefg")
    assert model.name == {"bare": "best", "nested": "best [model.state_dict]", "ema beside": "best [model_ema]"}.get(
        wrapper, f"best [{wrapper}]"
    )


def test_real_wrappers_of_torch_load(tmp_path, net, expected):
    averaged = torch.optim.swa_utils.AveragedModel(net)
    parallel = nn.DataParallel(net)
    for name, content in {
        "averaged": {"model": prefixed(net, "x"), "model_ema": averaged.state_dict()},
        "parallel": parallel.state_dict(),
        "compiled inside": {k.replace("layer1.", "layer1._orig_mod."): v for k, v in net.state_dict().items()},
    }.items():
        torch.save(content, tmp_path / "x.pth")
        model = hp.load(f"file:{tmp_path}/x.pth", arch=ARCH, preprocess=GRAY)
        assert torch.equal(model.net(expected[0]), expected[1]), name


def test_a_lightning_checkpoint_with_its_loss_weights(tmp_path, net, expected):
    content = {
        "pytorch-lightning_version": "2.4.0",
        "hyper_parameters": argparse.Namespace(lr=0.1),
        "state_dict": {
            **prefixed(net, "model."),
            "criterion.weight": torch.ones(7),
            "val_metrics.total": torch.ones(1),
        },
    }
    torch.save(content, tmp_path / "last.ckpt")
    model = hp.load(f"file:{tmp_path}/last.ckpt", arch=ARCH, preprocess=GRAY)
    assert torch.equal(model.net(expected[0]), expected[1])


def test_safetensors_and_a_plain_path(tmp_path, net, expected):
    save_file(prefixed(net, "module."), tmp_path / "x.safetensors")
    model = hp.load(tmp_path / "x.safetensors", arch=ARCH, preprocess=GRAY)
    assert torch.equal(model.net(expected[0]), expected[1])
    assert model.source == f"file:{tmp_path}/x.safetensors"


def test_checkpoints_without_batch_counters_load(tmp_path, net, expected):
    old = {key: value for key, value in net.state_dict().items() if "num_batches" not in key}
    torch.save(prefixed(net, ""), tmp_path / "new.pth")
    torch.save({f"module.{key}": value for key, value in old.items()}, tmp_path / "old.pth")
    model = hp.load(f"file:{tmp_path}/old.pth", arch=ARCH, preprocess=GRAY)
    assert torch.equal(model.net(expected[0]), expected[1])


@pytest.mark.parametrize(
    ("name", "classes", "channels"),
    [
        ("timm:vit_tiny_patch16_224", 5, 3),
        ("timm:convnext_atto", 3, 2),
        ("timm:test_efficientnet", 9, 4),
        ("torchvision:mobilenet_v2", 6, 1),
        ("torchvision:squeezenet1_1", 4, 3),
        ("torchvision:vgg11", 3, 1),
        ("torchvision:vit_b_32", 2, 3),
    ],
)
def test_classes_and_channels_are_read_off_the_weights(tmp_path, name, classes, channels):
    made = hp.load(name, pretrained=False, num_classes=classes, in_chans=channels, preprocess={}).net
    torch.save(made.state_dict(), tmp_path / "x.pth")
    loaded = hp.load(f"file:{tmp_path}/x.pth", arch=name, preprocess={}).net
    x = torch.randn(1, channels, 224, 224)
    with torch.no_grad():
        assert torch.equal(loaded(x), made(x))
        assert loaded(x).shape == (1, classes)


def test_the_architectures_own_preprocessing_is_used_and_adapted(tmp_path, net):
    torch.save(net.state_dict(), tmp_path / "x.pth")
    with pytest.warns(HeatproofWarning, match="averaged"):
        model = hp.load(f"file:{tmp_path}/x.pth", arch="timm:resnet18.a1_in1k")
    assert model.preprocess.crop == (224, 224)
    assert len(model.preprocess.mean) == 1


def test_own_architectures_by_factory(tmp_path, monkeypatch):
    (tmp_path / "my_net.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU())
    torch.save({"net": net.state_dict()}, tmp_path / "x.pt")
    model = hp.load(f"file:{tmp_path}/x.pt", arch="python:my_net:make")
    x = torch.randn(1, 2, 9)
    assert torch.equal(model.net(x), net(x))


def test_differences_are_listed_with_their_number(tmp_path, net):
    weights = net.state_dict()
    del weights["fc.bias"], weights["bn1.weight"]
    weights["head.weight"] = torch.ones(1)
    weights["layer1.0.conv1.weight"] = torch.ones(2, 2, 3, 3)
    torch.save({"model": {f"module.{k}": v for k, v in weights.items()}}, tmp_path / "x.pth")
    with pytest.raises(ModelError) as caught:
        hp.load(f"file:{tmp_path}/x.pth", arch=ARCH, preprocess=GRAY)
    for part in (
        "x.pth does not fit timm:resnet18",
        "2 missing (bn1.weight, fc.bias)",
        "1 unexpected (head.weight)",
        "1 of another shape (layer1.0.conv1.weight is (2, 2, 3, 3), not (64, 64, 3, 3))",
    ):
        assert part in str(caught.value)


def test_a_wrong_architecture_lists_ten_names_and_the_count(tmp_path, net):
    torch.save(net.state_dict(), tmp_path / "x.pth")
    with pytest.raises(ModelError, match=r"\d{2,} missing \(([\w.]+, ){10}\.\.\.\); \d{2,} unexpected"):
        hp.load(f"file:{tmp_path}/x.pth", arch="torchvision:mobilenet_v2", preprocess=GRAY)


def test_a_network_that_is_there_twice_is_refused(tmp_path, net):
    torch.save({**prefixed(net, "student."), **prefixed(net, "teacher.")}, tmp_path / "x.pth")
    with pytest.raises(ModelError, match=r"holds this network 2 times, under 'student\.', 'teacher\.'"):
        hp.load(f"file:{tmp_path}/x.pth", arch=ARCH, preprocess=GRAY)


def test_a_larger_network_that_holds_this_one_is_refused(tmp_path, net):
    """Dropping what stands beside the backbone would change what the network computes."""
    torch.save({**prefixed(net, "backbone."), "head.weight": torch.ones(3, 7)}, tmp_path / "x.pth")
    with pytest.raises(ModelError, match=r"1 unexpected \(head.weight\)"):
        hp.load(f"file:{tmp_path}/x.pth", arch=ARCH, preprocess=GRAY)


def test_what_is_missing_in_the_call_is_said(tmp_path, net):
    torch.save(net.state_dict(), tmp_path / "x.pth")
    with pytest.raises(ModelError, match=r"x.pth holds weights only \(\d+ tensors: conv1.weight \(64, 1, 7, 7\)"):
        hp.load(f"file:{tmp_path}/x.pth")
    with pytest.raises(ModelError, match="does not exist; check the path"):
        hp.load(f"file:{tmp_path}/y.pth", arch=ARCH)
    with pytest.raises(ModelError, match="is a folder"):
        hp.load(f"file:{tmp_path}", arch=ARCH)
    with pytest.raises(ModelError, match="has 7 classes, but 2 labels were given"):
        hp.load(f"file:{tmp_path}/x.pth", arch=ARCH, preprocess=GRAY, labels=["a", "b"])
