"""What cannot be explained gets one sentence from the package's own tree, with the value and the mend."""

import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from tests.odd_models import Returns, Signal, Small, TwoInputs, Volume, make, pictures
from torch import Tensor, nn

import heatproof as hp
from heatproof.errors import ExplainError, InputError, LayerError, MethodError, ModelError, TargetError, UsageError
from heatproof.explain import Explainer

NAN = pictures()
NAN[1, 0, 2, 3] = float("nan")
LABELLED = hp.Model(make("plain"), labels=["tabby", "tiger", "lynx", "puma"])


class Dense(Small):
    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)


class Never(Small):
    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Conv2d(3, 3, 3)
        self.holder = nn.ModuleList([nn.Conv2d(3, 3, 3)])

    def forward(self, x: Tensor) -> Tensor:
        self.holder[0](x)
        return super().forward(x)


INPUTS = {
    "NaN": (NAN, "holds 1 values that are NaN or infinite"),
    "empty batch": (pictures()[:0], r"\(0, 3, 10, 12\) are empty"),
    "zero size": (torch.zeros(2, 3, 0, 12), r"\(2, 3, 0, 12\) are empty"),
    "empty list": ([], "the list of inputs is empty"),
    "a number": (torch.tensor(1.0), "does not fit a network with 2 spatial axes"),
    "a vector": (torch.ones(5), "does not fit a network with 2 spatial axes"),
    "a volume": (torch.ones(2, 3, 5, 5, 5), "does not fit a network with 2 spatial axes"),
    "integers": (torch.ones(2, 3, 9, 9, dtype=torch.uint8), "pass the pictures as a list"),
    "no grid in a tuple": ((torch.ones(3, 4),), r"Inputs of shapes \[\(3, 4\)\]"),
    "no tensor": ({"a": 3}, r"Inputs of shapes \[\]"),
    "other sizes in a list": ([pictures()[0], pictures(1, 12)[0]], "where the first input has"),
    "nothing that can be read": (object(), "object"),
    "None": (None, "None"),
    "missing file": ("no/such/file.png", "no/such/file.png"),
}


@pytest.mark.parametrize("name", INPUTS)
def test_inputs(name: str) -> None:
    x, match = INPUTS[name]
    with pytest.raises(InputError, match=match):
        hp.explain(make("plain"), x)


def test_inputs_of_another_dimension() -> None:
    with pytest.raises(InputError, match="does not fit a network with 1 spatial axes"):
        hp.explain(Signal(), pictures())
    with pytest.raises(InputError, match="does not fit a network with 3 spatial axes"):
        hp.explain(Volume(), pictures()[0])


TARGETS = {
    "too large": (4, "Class 4 does not exist: the model has 4 classes, 0 to 3"),
    "negative": (-1, "Class -1 does not exist"),
    "bool": (True, "True is not a target"),
    "numpy bool": (np.bool_(True), "is not a target"),
    "float": (1.0, r"1\.0 is not a target"),
    "float tensor": (torch.tensor([1.0, 2.0, 0.0]), "is not a target"),
    "too few": ([0, 1], "2 targets for 3 inputs"),
    "too many": (torch.tensor([0, 1, 2, 3]), "4 targets for 3 inputs"),
    "no targets": ([], "0 targets for 3 inputs"),
    "rows of unequal length": ([[0], [1, 2], [0]], r"\[1, 2\] targets each"),
    "empty rows": ([[], [], []], r"\[0\] targets each"),
    "one bad among good": ([0, 9, 1], "Class 9 does not exist"),
    "a label without labels": ("tabby", "has no labels"),
    "a set": ({1, 2}, "is not a target"),
    "a float from a callable": (lambda out: float(out[0].detach()), "returned float, which has no gradient"),
    "a vector from a callable": (lambda out: out, r"returned shape \(4,\), not one number"),
    "None from a callable": (lambda out: None, "returned NoneType"),
}


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("kind", ["tensor", "list", "chunks"])
def test_targets(name: str, kind: str) -> None:
    target, match = TARGETS[name]
    x = list(pictures()) if kind == "list" else pictures()
    with pytest.raises(TargetError, match=match):
        Explainer(make("plain"), batch_size=2 if kind == "chunks" else None)(x, target=target)


def test_a_target_that_depends_on_nothing() -> None:
    with pytest.raises(UsageError, match="No layer was found"):
        hp.explain(make("plain"), pictures(), target=lambda out: torch.tensor(1.0))
    with pytest.raises(ExplainError, match="No gradient flows from the score back to conv2: the score does not depend"):
        hp.explain(make("plain"), pictures(), target=lambda out: torch.tensor(1.0), layer="conv2")
    with pytest.raises(ExplainError, match="No gradient flows"):
        hp.explain(make("plain"), pictures(), target=lambda out: out.detach().sum(), layer="conv2")


def test_several_targets_of_one_input_written_as_a_flat_list_get_the_mend() -> None:
    with pytest.raises(TargetError, match=r"for several targets of one input write \[\[0, 1, 2\]\]"):
        hp.explain(make("plain"), pictures(1), target=[0, 1, 2])


def test_unknown_labels_get_the_nearest() -> None:
    with pytest.raises(TargetError, match=r"'tigre'.*did you mean 'tiger'"):
        hp.explain(LABELLED, pictures(), target="tigre")
    assert hp.explain(LABELLED, pictures(), target="tiger").targets[0][0].index == 1


@pytest.mark.parametrize(("net", "match"), [
    (Dense(), r"returns shape \(\d, 5, 5, 6\): a score for every place.*pass a callable"),
    (Returns(lambda s, a: {"masks": s, "boxes": a}), r"returns dict with the keys \['boxes', 'masks'\]"),
    (Returns(lambda s, a: None), "returns NoneType, not a score per class"),
    (Returns(lambda s, a: s.argmax(1)), r"returns torch\.int64 values"),
    (Returns(lambda s, a: s.sum()), r"returns shape \(\) for \d inputs"),
    (Returns(lambda s, a: ()), "returns tuple"),
])  # fmt: skip
def test_outputs_that_are_not_a_score(net: nn.Module, match: str) -> None:
    with pytest.raises(TargetError, match=match):
        hp.explain(net, pictures())


def test_dense_outputs_with_a_callable_work() -> None:
    found = hp.explain(Dense(), pictures(), target=lambda out: out[2].mean(), layer="act2", method="hirescam")
    a = found.origin[0].model.net.eval()(pictures())[:, 2:3]
    torch.testing.assert_close(found.maps, a.detach() / 30)


LAYERS = {
    "unknown": ("conv3", r"There is no layer 'conv3'; did you mean 'conv', 'conv2'"),
    "empty name": ("", "There is no layer ''"),
    "empty list": ([], "list of layers is empty"),
    "module of another net": (Small().conv2, "Conv2d is not a module of this network"),
    "never runs": ("unused", "'unused' never ran for this input; choose"),
    "only holds others": ("holder", r"'holder' never ran for this input; it only holds others, such as 'holder\.0'"),
    "no grid": ("fc", r"'fc' returns \(1, 4\) for an input of size \(10, 12\), which lies on no grid"),
    "a call too many": ("conv2#2", "never ran"),
    "no such part": ("conv2[1]", "lies on no grid"),
    "one bad of two": (["conv2", "nope"], "There is no layer 'nope'"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    layer, match = LAYERS[name]
    with pytest.raises(LayerError, match=match):
        hp.explain(Never(), pictures(), layer=layer)


def test_the_network_itself_is_not_a_layer() -> None:
    net = make("plain")
    with pytest.raises(LayerError, match="is not a module of this network; pass one of its own"):
        hp.explain(net, pictures(), layer=net)


def test_one_by_one_grids_are_refused_and_the_usable_named() -> None:
    class Pools(Small):
        def __init__(self) -> None:
            super().__init__()
            self.pool = nn.AdaptiveAvgPool2d(1)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.pool(self.features(x)).flatten(1))

    with pytest.raises(LayerError, match=r"\(1, 5, 1, 1\).*layers that do: act2, "):
        hp.explain(Pools(), pictures(), layer="pool")
    assert hp.explain(Pools(), pictures()).layer == "act2"


def test_networks_without_a_grid() -> None:
    with pytest.raises(LayerError, match="No layer was found"):
        hp.explain(nn.Sequential(nn.Flatten(), nn.Linear(3 * 10 * 12, 4)), pictures())


def test_methods_and_arguments() -> None:
    net = make("plain")
    with pytest.raises(MethodError, match="gradcam"):
        hp.explain(net, pictures(), method="gradcamm")
    with pytest.raises(UsageError, match=r"There is no argument 'targt'; did you mean 'target'"):
        hp.explain(net, pictures(), targt=3)
    with pytest.raises(UsageError, match="There is no argument 'use_cuda'"):
        Explainer(net, use_cuda=True)
    with pytest.raises(UsageError, match="There is no argument 'layers'"):
        Explainer(net)(pictures(), layers=3)
    with pytest.raises(UsageError, match="'class_idx' and 'target' are two spellings"):
        hp.explain(net, pictures(), 1, class_idx=2)
    with pytest.raises(UsageError, match="batch_size is 0"):
        hp.explain(net, pictures(), batch_size=0)


@pytest.mark.parametrize("net", [nn.Sequential(nn.LazyConv2d(3, 3)), Small().to("meta")], ids=["lazy", "meta"])
def test_models_that_cannot_run(net: nn.Module) -> None:
    with pytest.raises(ModelError):
        hp.explain(net, pictures())


def test_scripted_models() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scripting is deprecated
        scripted = torch.jit.script(Small())
    with pytest.raises(ModelError, match="TorchScript"):
        hp.explain(scripted, pictures())


WRONG_TYPES = """
import torch, heatproof as hp
net, x = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3)), torch.rand(2, 3, 9, 9)
for call in (
    lambda: hp.explain(3, x),
    lambda: hp.explain("resnet50", x),
    lambda: hp.explain(torch.nn.Conv2d, x),
    lambda: hp.explain({"conv.weight": x}, x),
    lambda: hp.explain(net, x, layer=4),
    lambda: hp.explain(net, x, layer=["0", 4]),
    lambda: hp.explain(net, x, layer={"a": 1}),
    lambda: hp.explain(net, x, method=3),
):
    try:
        call()
    except hp.HeatproofError as error:
        print(type(error).__name__, error)
"""


def test_arguments_of_wrong_types() -> None:
    """In a process of its own, as users run it: here every signature is checked at run time."""
    done = subprocess.run([sys.executable, "-c", WRONG_TYPES], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ModelError"] * 4 + ["LayerError"] * 3 + ["MethodError"]
    for line, part in zip(
        lines, ("3", "load('resnet50')", "call it first", "state dict", "4", "4", "'a'", "3"), strict=True
    ):
        assert part in line


def test_quick_checks_that_cannot_be_made() -> None:
    x = (pictures(), pictures()[:, :1])
    with pytest.raises(UsageError, match="one tensor"):
        hp.quick_checks(hp.explain(TwoInputs(), x, target=1))
