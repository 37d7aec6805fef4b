"""Loading by spec: the prefixes, labels and preprocessing given by the user, bundled networks, own code."""

import json
import sys
import urllib.error

import pytest
import torch
from torch import nn

import heatproof as hp
from heatproof.errors import HeatproofWarning, MissingExtraError, ModelError
from heatproof.inputs.prepare import Preprocess
from heatproof.models.sources._options import LoadOptions, building, for_channels, take_channels
from heatproof.plugins import discover

OWN_CODE = """
import torch
from torch import nn
import heatproof as hp

def tiny(num_classes=3, in_chans=1):
    return nn.Sequential(nn.Conv2d(in_chans, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, num_classes))

def fixed():
    return nn.Conv2d(1, 2, 3)

def model():
    return hp.Model(tiny(2, 3), preprocess=lambda x: x, labels=["a", "b"], name="own")

def weights():
    return tiny().state_dict()

def broken():
    raise RuntimeError("no such luck")

number = 3
"""


@pytest.fixture
def own_code(tmp_path, monkeypatch):
    (tmp_path / "own_code.py").write_text(OWN_CODE)
    (tmp_path / "own_broken.py").write_text("import nothing_of_that_name\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "own_code"
    sys.modules.pop("own_code", None)


def test_every_source_is_found_and_described():
    sources = discover("heatproof.models.sources", "load", "heatproof.models")
    assert set(sources) == {"bundled", "file", "hf", "python", "timm", "torchvision"}
    assert all(source.doc and source.tier == "core" for source in sources.values())


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("resnet50", r"'resnet50' names no model; write one of bundled:..., file:"),
        ("timm:", "names no model"),
        (":x", "names no model"),
        ("tim:resnet18", r"no model source 'tim'; did you mean 'timm'\?"),
    ],
)
def test_specs_that_name_nothing(spec, sentence):
    with pytest.raises(ModelError, match=sentence):
        hp.load(spec)


def test_own_factories_are_called_with_what_they_take(own_code):
    model = hp.load(f"python:{own_code}:tiny", num_classes=5, in_chans=2)
    assert model.net(torch.zeros(1, 2, 8, 8)).shape == (1, 5)
    assert not model.net.training
    assert model.source == "python:own_code:tiny"
    assert hp.load(f"python:{own_code}:fixed", num_classes=5).net.out_channels == 2


def test_an_own_model_keeps_its_labels_and_preprocessing_unless_told(own_code):
    model = hp.load(f"python:{own_code}:model")
    assert (model.name, model.labels) == ("own", ("a", "b"))
    assert callable(model.preprocess)
    told = hp.load(f"python:{own_code}:model", labels=["c", "d"], preprocess={"resize": 5})
    assert told.labels == ("c", "d")
    assert told.preprocess == Preprocess(resize=5)


@pytest.mark.parametrize(
    ("rest", "sentence"),
    [
        ("own_code", r"must read 'python:package.module:factory'"),
        ("own_cod:tiny", "own_cod cannot be imported: ModuleNotFoundError"),
        ("own_broken:x", "own_broken cannot be imported.*nothing_of_that_name"),
        ("own_code:tinny", "has no 'tinny'; did you mean 'tiny'"),
        ("own_code:number", "is a int, not a function"),
        ("own_code:weights", "dict with 4 entries"),
        ("own_code:broken", "could not be built: RuntimeError: no such luck"),
    ],
)
def test_own_code_that_does_not_work(own_code, rest, sentence):
    with pytest.raises(ModelError, match=sentence):
        hp.load(f"python:{rest}")


def test_building_leaves_the_random_state_alone(own_code):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    hp.load(f"python:{own_code}:tiny")
    assert torch.equal(torch.get_rng_state(), state)


def test_bundled_networks_come_with_weights_labels_and_preprocessing():
    model = hp.load("bundled:dab")
    assert model.labels == ("DAB-negative", "DAB-positive")
    assert isinstance(model.preprocess, Preprocess)
    assert model.weights_sha256() == hp.load("bundled:dab").weights_sha256()
    assert model.weights_sha256() != hp.load("bundled:dab", pretrained=False).weights_sha256()
    with pytest.raises(ModelError, match=r"no bundled model 'dba'; the package holds .*dab"):
        hp.load("bundled:dba")
    with pytest.raises(ModelError, match="fixed number"):
        hp.load("bundled:dab", num_classes=3)


def test_labels_from_files(tmp_path):
    (tmp_path / "list.json").write_text('["no", "yes"]')
    (tmp_path / "map.json").write_text('{"1": "yes", "0": "no"}')
    (tmp_path / "lines.txt").write_text("no\nyes\n")
    for name in ("list.json", "map.json", "lines.txt"):
        assert hp.load("bundled:dab", labels=tmp_path / name).labels == ("no", "yes")
        assert hp.load("bundled:dab", labels=str(tmp_path / name)).labels == ("no", "yes")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.json", "{", "is not valid JSON"),
        ("a.json", "3", "not a list of names"),
        ("a.json", "[1, 2]", "class 0 is called 1, a int"),
        ("a.txt", None, "cannot be read"),
        ("a.csv", "x", r"must be a list of names, or the path of a .json or .txt"),
    ],
)
def test_label_files_that_hold_none(tmp_path, name, content, sentence):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(ModelError, match=sentence):
        hp.load("bundled:dab", labels=tmp_path / name)


def test_preprocessing_from_a_dict_and_from_a_file(tmp_path):
    fields = {"resize": 257, "crop": [225, 225], "mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic"}
    wanted = Preprocess(resize=257, crop=(225, 225), mean=(0.5,) * 3, std=(0.5,) * 3, interpolation="bicubic")
    (tmp_path / "p.json").write_text(json.dumps(fields))
    assert hp.load("bundled:dab", preprocess=fields).preprocess == wanted
    assert hp.load("bundled:dab", preprocess=tmp_path / "p.json").preprocess == wanted
    assert hp.load("bundled:dab", preprocess=wanted).preprocess is wanted


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"size": 224}, r"has no field 'size'.*it has resize, crop"),
        ({"resize": 0}, "must be 1 or more"),
        ({"std": [1.0, 0.0]}, "holds a zero"),
        ({"interpolation": "fancy"}, "fancy"),
    ],
)
def test_preprocessing_that_says_nonsense(fields, sentence):
    with pytest.raises(ModelError, match=sentence):
        hp.load("bundled:dab", preprocess=fields)


def test_sizes_must_be_positive():
    with pytest.raises(ModelError, match="in_chans=0 must be 1 or more"):
        hp.load("bundled:dab", in_chans=0)


@pytest.mark.parametrize("device", ["banana", "cuda:99"])
def test_a_device_that_is_not_there_is_named(device):
    with pytest.raises(ModelError, match=rf"device='{device}': the model cannot be put there \(.*\); choose one that"):
        hp.load("bundled:dab", device=device)


def test_an_extra_that_is_missing_is_named(monkeypatch):
    for package in ("timm", "torchvision", "transformers"):
        monkeypatch.setitem(sys.modules, package, None)
    for spec in ("timm:resnet18", "torchvision:resnet18", "hf:x"):
        with pytest.raises(MissingExtraError, match=r"pip install 'heatproof\[vision\]'"):
            hp.load(spec)


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("no route"), ConnectionError("no route"), TimeoutError("no route")]
)
def test_a_failed_download_says_where_to_put_the_weights(error):
    with pytest.raises(ModelError, match=r"x could not be fetched \(.*no route.*\); put it here"):
        fail("x", "put it here.", error)


def fail(what, by_hand, error):
    with building(what, by_hand):
        raise error


def test_published_normalization_for_another_number_of_channels():
    published = Preprocess(mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3))
    with pytest.warns(HeatproofWarning, match="for 3 channels, the network takes 1; mean and std are averaged"):
        adapted = for_channels(published, 1, "x")
    assert adapted.mean == pytest.approx((0.4,))
    assert adapted.std == pytest.approx((0.2,))
    equal = Preprocess(mean=(0.5,) * 3, std=(0.25,) * 3)
    assert for_channels(equal, 4, "x") == Preprocess(mean=(0.5,) * 4, std=(0.25,) * 4)
    assert for_channels(published, 3, "x") is published
    assert for_channels(Preprocess(), 5, "x") == Preprocess()


def test_a_first_convolution_for_other_channels():
    net = nn.Sequential(nn.Sequential(nn.Conv2d(3, 8, 5, stride=2, padding=1, bias=False)), nn.ReLU())
    changed = take_channels(net, 7)
    assert changed(torch.zeros(1, 7, 9, 9)).shape == (1, 8, 4, 4)
    assert changed[0][0].bias is None
    same = nn.Conv1d(2, 2, 1)
    assert take_channels(same, 2) is same
    with pytest.raises(ModelError, match="no convolution"):
        take_channels(nn.Linear(2, 2), 3)


def test_options_default_to_the_source():
    assert LoadOptions() == LoadOptions(None, None, None, None, None, True)
