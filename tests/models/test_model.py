"""The Model record: labels, preparing, hashing, and what it refuses."""

import pytest
import torch
from torch import nn

import heatproof as hp
from heatproof.errors import ModelError, TargetError
from heatproof.inputs.prepare import Preprocess
from heatproof.models import Model, as_model
from heatproof.models.model import _refuse_uncallable, _refuse_unusable, as_labels

IMAGENET = ["tench", "tabby, tabby cat", "tiger cat", "Egyptian cat", "crane", "crane", "car, auto", "auto, bus"]


@pytest.fixture
def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten())


@pytest.mark.parametrize(
    ("label", "index"),
    [("tiger cat", 2), ("TIGER cat ", 2), ("tabby cat", 1), ("Tabby", 1), ("egyptian CAT", 3), ("car", 6), ("bus", 7)],
)
def test_a_label_is_found_exactly_then_in_other_case_then_by_its_part(net, label, index):
    assert Model(net, labels=IMAGENET).index(label) == index


def test_the_exact_spelling_wins_over_a_part_and_over_other_case(net):
    assert Model(net, labels=["cat, feline", "Cat", "cat"]).index("cat") == 2
    assert Model(net, labels=["cat, feline", "Cat"]).index("cat") == 1


def test_a_label_that_names_two_classes_is_refused_with_both(net):
    with pytest.raises(TargetError, match=r"'crane' is not unique.*4 \('crane'\), 5 \('crane'\)"):
        Model(net, labels=IMAGENET).index("crane")
    with pytest.raises(TargetError, match=r"6 \('car, auto'\), 7 \('auto, bus'\)"):
        Model(net, labels=IMAGENET).index("auto")


def test_an_unknown_label_is_answered_with_the_nearest(net):
    with pytest.raises(TargetError, match=r"'tigger cat' does not exist among the 8 labels of zoo.*'tiger cat'"):
        Model(net, labels=IMAGENET, name="zoo").index("tigger cat")
    with pytest.raises(TargetError, match="'Egyptian cat'"):
        Model(net, labels=IMAGENET).index("EGYPTAIN CAT")
    with pytest.raises(TargetError, match="has no labels"):
        Model(net).index("cat")


def test_label_by_index(net):
    model = Model(net, labels=IMAGENET)
    assert model.label(1) == "tabby, tabby cat"
    assert Model(net).label(7) == "class 7"
    for index in (-1, 8):
        with pytest.raises(TargetError, match=f"class index {index} does not exist.*8 labels"):
            model.label(index)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["a", "b"], ("a", "b")),
        (("a",), ("a",)),
        ({1: "b", 0: "a"}, ("a", "b")),
        ({"0": "a", "2": "c"}, ("a", "class 1", "c")),
        ((name for name in "ab"), ("a", "b")),
    ],
)
def test_labels_of_any_kind_are_kept_as_a_tuple(given, kept):
    labels = list(given) if not isinstance(given, dict | list | tuple) else given
    assert as_labels(labels) == kept


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("cat", r"must be a list of names, but are 'cat'; write \['cat'\]"),
        (3, "must be a list of names, but are 3"),
        ([], "labels are empty"),
        ({}, "labels are empty"),
        ({"n02123": "cat"}, "'n02123' .* no class index"),
        ({-1: "cat"}, "no class index"),
        ({0: "a", "0": "b"}, "named twice"),
        ({10_000_000: "a"}, "highest index is 10000000"),
    ],
)
def test_labels_that_are_none_are_refused(given, sentence):
    with pytest.raises(ModelError, match=sentence):
        as_labels(given)


def test_without_preprocessing_inputs_go_in_as_they_are(net):
    x = hp.read(torch.rand(3, 5, 7))
    prepared = Model(net).prepare(x)
    assert torch.equal(prepared.tensor, x.data)
    assert prepared.geometry.to_original((1.0, 2.0)) == (1.0, 2.0)


def test_preprocessing_is_applied_whether_told_or_opaque(net):
    x = hp.read(torch.rand(3, 8, 6))
    told = Model(net, Preprocess(crop=(4, 4), mean=(0.5,) * 3, std=(0.25,) * 3)).prepare(x)
    opaque = Model(net, lambda data: (data[:, 2:6, 1:5] - 0.5) / 0.25).prepare(x)
    torch.testing.assert_close(told.tensor, (x.data[:, 2:6, 1:5] - 0.5) * 4)
    torch.testing.assert_close(opaque.tensor, told.tensor)
    assert opaque.geometry.to_original((0.0, 0.0)) == pytest.approx((2.0, 1.0), abs=0.05)


def test_the_hash_follows_every_weight_and_nothing_else(net):
    model = as_model(net)
    before = model.weights_sha256()
    net.train(not net.training)
    assert model.weights_sha256() == before
    with torch.no_grad():
        net[1].running_mean[1] += 1e-6
    changed = model.weights_sha256()
    assert changed != before
    assert as_model(net.half()).weights_sha256() != changed


def test_bare_networks_become_models_and_models_stay_themselves(net):
    model = as_model(net)
    assert model.net is net
    assert model.name == "Sequential"
    assert as_model(model) is model


def test_what_is_no_runnable_network_is_refused_in_a_sentence(net):
    with torch.device("meta"):
        meta = nn.Linear(2, 2)
    for given, sentence in [
        (net.state_dict(), "dict with 7 entries .* state dict.*load_state_dict"),
        (nn.Linear, "Linear is a class"),
        ("timm:resnet18", r"is a text.*load\('timm:resnet18'\)"),
        (len, "torch.nn.Module was expected, but got builtin_function_or_method"),
        (nn.Sequential(nn.LazyLinear(2)), "lazy layers .*'0.weight'.*run it once"),
        (meta, r"no weights: 'weight' of shape \(2, 2\) is on the meta device"),
    ]:
        with pytest.raises(ModelError, match=sentence):
            as_model(given)
    # the type checker under pytest would be the first to speak, so these are asked directly
    with pytest.raises(ModelError, match="already"):
        _refuse_unusable(as_model(net))
    with pytest.raises(ModelError, match=r"Preprocess or a function, but is {'resize': 3}"):
        _refuse_uncallable({"resize": 3})


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*")
def test_torchscript_is_refused_in_a_sentence(net):
    with pytest.raises(ModelError, match="TorchScript"):
        as_model(torch.jit.script(net))
