"""Targets made of class scores: hand-computed values and gradients, names, what is refused."""

import pickle

import pytest
import torch
from torch import nn

import heatproof as hp
from heatproof import targets
from heatproof.errors import TargetError
from heatproof.models.targets import Names, bind, evaluate, resolve

NAMES = Names(["ape", "bee", "cat"].__getitem__, ["ape", "bee", "cat"].index, 3)
OUT = torch.tensor([1.0, 4.0, 2.5], dtype=torch.float64)


def told(target, out=OUT, names=NAMES):
    """The bound target's name, value and gradient with respect to the output of one input."""
    out = out.clone().requires_grad_()
    bound = bind(target, out, names)
    value = evaluate([[bound]], out[None])
    (gradient,) = torch.autograd.grad(value.sum(), out)
    return bound.name, float(value.detach()), gradient.tolist()


@pytest.mark.parametrize(("target", "wanted"), [
    (targets.Class("bee"), ("bee", 4.0, [0, 1, 0])),
    (targets.Class(), ("bee", 4.0, [0, 1, 0])),
    (targets.Against("cat"), ("against cat", -2.5, [0, 0, -1])),
    (targets.Against(), ("against bee", -4.0, [0, -1, 0])),
    (targets.Against(targets.Against(0)), ("against against ape", 1.0, [1, 0, 0])),
    (targets.Contrast("ape", 1), ("ape rather than bee", -3.0, [1, -1, 0])),
    (targets.Contrast(), ("bee rather than cat", 1.5, [0, 1, -1])),
    (targets.Contrast("cat"), ("cat rather than bee", -1.5, [0, -1, 1])),
    (targets.Contrast(2, "ape", weight=0.5), ("cat rather than 0.5 x ape", 2.0, [-0.5, 0, 1])),
    (targets.Contrast(torch.sum, "ape"), ("sum rather than ape", 6.5, [0, 1, 1])),
    (targets.Regression(2), ("output 2", 2.5, [0, 0, 1])),
    (targets.Regression(0, "age"), ("age", 1.0, [1, 0, 0])),
])  # fmt: skip
def test_name_value_and_gradient_by_hand(target, wanted):
    assert told(target) == wanted
    copy = pickle.loads(pickle.dumps(target))
    assert copy == target
    assert hash(copy) == hash(target)
    assert told(copy) == wanted


def test_unbound_targets_are_plain_functions_of_one_output():
    assert float(targets.Contrast(1, 0)(OUT)) == 3
    assert float(targets.Contrast()({"logits": OUT, "loss": None})) == 1.5
    assert float(targets.Against(2)(OUT)) == -2.5
    assert [targets.Contrast("ape", weight=2.0).name, targets.Against(2).name, targets.Class().name] == [
        "ape rather than 2 x the runner-up",
        "against class 2",
        "predicted class",
    ]
    with pytest.raises(TargetError, match="'ape' is looked up in the model's labels"):
        targets.Contrast("ape", 1)(OUT)


def test_cosine_and_dot_product_by_hand():
    reference = torch.tensor([0.0, 3.0, 4.0], dtype=torch.float64)
    e = torch.tensor([2.0, 1.0, 2.0], dtype=torch.float64)  # length 3, e.r = 11
    name, value, gradient = told(targets.Similarity(reference), e)
    assert name == "cosine similarity to the reference"
    assert value == pytest.approx(11 / 15)
    # d cos/de = r/(|e||r|) - cos e/|e|^2
    assert gradient == pytest.approx([r / 15 - 11 / 15 * v / 9 for r, v in zip([0, 3, 4], [2, 1, 2], strict=True)])
    assert told(targets.Similarity(reference, "dot", title="a text"), e) == ("dot product with a text", 11.0, [0, 3, 4])


def test_the_size_of_an_embedding_does_not_matter_for_its_cosine():
    small = torch.tensor([2e-30, 1e-30, 2e-30])
    target = targets.Similarity([0.0, 3.0, 4.0])
    assert float(target(small)) == pytest.approx(11 / 15)
    assert float(target(small * 0)) == 0


def test_similarity_finds_the_embedding_and_takes_a_picture_as_reference():
    target = targets.Similarity([1.0, 0.0], "dot")
    e = torch.tensor([3.0, 7.0])
    for out in (e, e.reshape(2, 1, 1), {"image_embeds": e, "logits": e * 0}, (e, None), {"pooler_output": e}):
        assert float(target(out)) == 3
    assert float(targets.Similarity([1.0, 0.0], "dot", key="neck")({"neck": e})) == 3
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    made = targets.Similarity.to(net, x[:1], title="the first")
    scores = hp.explain(net, x, target=made).scores
    wanted = torch.cosine_similarity(net(x), net(x[:1]))
    torch.testing.assert_close(scores[:, 0], wanted.detach())
    assert targets.Similarity.to(net, x[0]).reference == made.reference


@pytest.mark.parametrize(("make", "sentence"), [
    (lambda: targets.Similarity([0.0, 0.0]), "zero throughout"),
    (lambda: targets.Similarity([[1.0, 0.0], [2.0, 1.0]]), r"shape \(2, 2\) is no vector"),
    (lambda: targets.Similarity([float("nan")]), "not finite"),
    (lambda: targets.Similarity("tabby"), "not an array of real numbers"),
    (lambda: targets.Similarity([[1.0], [1.0, 2.0]]), "not an array"),
    (lambda: targets.Similarity([1.0], "cos"), "'cosine' or 'dot'"),
    (lambda: targets.Similarity([1.0])(OUT), "3 values, the reference 1"),
    (lambda: targets.Similarity([1.0])(torch.ones(5, 4)), r"shape \(5, 4\), not \(d,\)"),
    (lambda: targets.Similarity([1.0])({"a": OUT}), r"keys \['a'\], which has no embedding"),
    (lambda: targets.Similarity([1.0], key="b")({"a": OUT}), "no part 'b'"),
    (lambda: targets.Similarity([1.0])(torch.ones(1, dtype=torch.int64)), "can carry no gradient"),
    (lambda: targets.Contrast(0, 1, weight=float("inf")), "finite number"),
    (lambda: told(targets.Contrast(1, "bee")), "'bee' with itself"),
    (lambda: told(targets.Contrast(torch.sum)), "no runner-up; name q"),
    (lambda: told(targets.Contrast(0), OUT[:1]), "the model has one output|no other class"),
    (lambda: told(targets.Against(7)), "Class 7 does not exist: the model has 3 classes"),
    (lambda: told(targets.Class(1.5)), "1.5 is not a target"),
    (lambda: told(targets.Regression(3)), "Output 3 does not exist: the model has 3 outputs"),
])  # fmt: skip
def test_what_is_refused(make, sentence):
    with pytest.raises(TargetError, match=sentence):
        make()


def net_and_inputs():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3)
    ).double()
    return net, torch.rand(3, 3, 9, 7, dtype=torch.float64)


def test_the_map_of_a_contrast_is_the_gradient_formula_written_out():
    net, x = net_and_inputs()
    model = hp.Model(net, labels=["ape", "bee", "cat"])
    ex = hp.explain(model, x, target=targets.Contrast("cat", "ape", weight=0.7), layer="0")
    acts = net[0](x)
    y = net[1:](acts)
    (g,) = torch.autograd.grad((y[:, 2] - 0.7 * y[:, 0]).sum(), acts)
    wanted = (g.mean((2, 3), keepdim=True) * acts).sum(1, keepdim=True)
    torch.testing.assert_close(ex.maps, wanted.detach().to(ex.maps.dtype))
    torch.testing.assert_close(ex.scores[:, 0], (y[:, 2] - 0.7 * y[:, 0]).detach().to(ex.scores.dtype))


def test_batches_and_lists_of_lists_equal_singles():
    net, x = net_and_inputs()
    model = hp.Model(net, labels=["ape", "bee", "cat"])
    kinds = [targets.Contrast(), targets.Against("bee"), "cat", targets.Similarity([1.0, 2.0, 3.0])]
    ex = hp.explain(model, x, target=[kinds, kinds, kinds], layer="0")
    for i in range(3):
        for j, kind in enumerate(kinds):
            one = hp.explain(model, x[i : i + 1], target=kind, layer="0")
            torch.testing.assert_close(ex.maps[i, j], one.maps[0, 0])
            assert ex.targets[i][j].name == one.targets[0][0].name
    torch.testing.assert_close(ex.maps[:, 1], -hp.explain(model, x, target="bee", layer="0").maps[:, 0])


def test_a_bound_target_pickles_and_is_hashable():
    for kind in (targets.Contrast(), targets.Against(1), targets.Similarity([1.0, 0, 0])):
        bound = bind(kind, OUT, NAMES)
        assert pickle.loads(pickle.dumps(bound)) == bound
        assert hash(bound) == hash(bind(kind, OUT, NAMES))


def test_the_predicted_class_is_that_of_the_explained_input():
    (row,) = resolve(targets.Contrast(), OUT[None], 1, NAMES.label, NAMES.find, 3)
    assert float(evaluate([list(row)], OUT.flip(0)[None])) == 3.0  # still bee - cat: 4 - 1
