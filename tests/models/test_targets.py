"""Targets in every form mean the same; scores stay connected to their graph."""

from typing import Any

import numpy as np
import pytest
import torch

from heatproof.errors import TargetError
from heatproof.models.outputs import of_one
from heatproof.models.targets import Bindable, Names, bind, evaluate, resolve, value
from heatproof.types import Target

OUT = torch.tensor([[0.0, 3.0, 1.0], [5.0, 2.0, 4.0]])
NAMES = ["ape", "bee", "cat"]


def indices(target: Any, out: Any = OUT, n: int = 2) -> list[list[int | None]]:
    return [[t.index for t in row] for row in resolve(target, out, n, NAMES.__getitem__, NAMES.index)]


@pytest.mark.parametrize(("target", "wanted"), [
    (None, [[1], [0]]),
    (2, [[2], [2]]),
    (np.int64(2), [[2], [2]]),
    (torch.tensor(2), [[2], [2]]),
    (np.array(2), [[2], [2]]),
    ("cat", [[2], [2]]),
    ([1, 2], [[1], [2]]),
    ((1, 2), [[1], [2]]),
    (torch.tensor([1, 2]), [[1], [2]]),
    (np.array([1, 2]), [[1], [2]]),
    (["bee", None], [[1], [0]]),
    ([[0, 1], [2, 0]], [[0, 1], [2, 0]]),
    (torch.tensor([[0, 1], [2, 0]]), [[0, 1], [2, 0]]),
    ([("ape", None), (2, "bee")], [[0, 1], [2, 1]]),
    ([Target("x", index=2), 0], [[2], [0]]),
])  # fmt: skip
def test_forms(target: Any, wanted: list[list[int]]) -> None:
    assert indices(target) == wanted


def test_one_score_per_input_is_a_regression() -> None:
    for out in (torch.tensor([-1.0, 2.0]), torch.tensor([[-1.0], [2.0]]), torch.tensor([-1.0, 2.0]).reshape(2, 1, 1)):
        assert indices(None, out) == [[0], [0]]
        found = evaluate(resolve(None, out, 2, str, int), out)
        assert torch.equal(found, torch.tensor([[-1.0], [2.0]]))


def test_evaluate_mixes_indices_and_callables_and_keeps_the_graph() -> None:
    out = OUT.clone().requires_grad_()

    def margin(one: torch.Tensor) -> torch.Tensor:
        return one[1] - one[2] ** 2

    targets = resolve([[0, margin], [margin, 2]], out, 2, str, int)
    scores = evaluate(targets, out)
    assert torch.equal(scores.detach(), torch.tensor([[0.0, 2.0], [-14.0, 4.0]]))
    assert targets[0][1].name == "margin"
    (gradient,) = torch.autograd.grad(scores.sum(), out)
    assert torch.equal(gradient, torch.tensor([[1.0, 1.0, -2.0], [0.0, 1.0, -7.0]]))


def test_callables_see_the_output_of_one_input() -> None:
    boxes = [{"scores": torch.tensor([0.9, 0.1])}, {"scores": torch.tensor([])}]
    found = evaluate(resolve(lambda one: one["scores"].sum(), boxes, 2, str, int), boxes)
    torch.testing.assert_close(found, torch.tensor([[1.0], [0.0]]))
    nested = {"out": torch.arange(12.0).reshape(2, 2, 3), "scale": 2.0}
    assert torch.equal(of_one(nested, 1, 2)["out"], torch.tensor([[6.0, 7, 8], [9, 10, 11]]))
    assert of_one(nested, 1, 2)["scale"] == 2.0


def test_not_a_number_is_not_hidden() -> None:
    out = torch.tensor([[1.0, float("nan"), 2.0]])
    assert evaluate(resolve(None, out, 1, str, int), out).isnan().all()


def single(target: Any, score: float, labels: list[str] | None) -> tuple[str, float]:
    out = torch.tensor([[score]])
    count = None if labels is None else len(labels)
    names = labels or [f"class {i}" for i in range(9)]
    rows = resolve(target, out, 1, names.__getitem__, names.index, count)
    return rows[0][0].name, float(evaluate(rows, out))


@pytest.mark.parametrize(("target", "score", "labels", "wanted"), [
    (None, -1.5, None, ("output < 0", -1.5)),
    (0, 1.5, None, ("output > 0", 1.5)),
    (None, 0.0, None, ("output = 0", 0.0)),
    (None, -1.5, ["melanoma"], ("melanoma < 0", -1.5)),
    ("melanoma", 1.5, ["melanoma"], ("melanoma > 0", 1.5)),
    # of two labels the second is what a positive output stands for
    (None, 1.5, ["benign", "malignant"], ("malignant > 0", 1.5)),
    ("malignant", -1.5, ["benign", "malignant"], ("malignant < 0", -1.5)),
    ("benign", -1.5, ["benign", "malignant"], ("benign", 1.5)),
    (0, -1.5, ["a", "b", "c"], ("output < 0", -1.5)),
])  # fmt: skip
def test_a_single_logit_says_on_which_side_it_is(
    target: Any, score: float, labels: list[str] | None, wanted: tuple[str, float]
) -> None:
    assert single(target, score, labels) == wanted


def test_a_single_logit_has_no_second_class() -> None:
    with pytest.raises(TargetError, match="Class 1 does not exist: the model has one output; pass None or 0"):
        single(1, 0.5, None)
    assert single(None, float("nan"), None)[0] == "output"


def test_an_object_is_bound_to_the_output_of_its_own_input() -> None:
    class Largest:
        def __call__(self, one: torch.Tensor) -> torch.Tensor:
            raise AssertionError("unbound")

        def bind(self, output: torch.Tensor, names: Names) -> Target:
            return bind(int(output.argmax()), output, names)

    assert isinstance(Largest(), Bindable)
    assert not isinstance(torch.sum, Bindable)
    rows = resolve([[Largest(), 2], [0, Largest()]], OUT, 2, NAMES.__getitem__, NAMES.index, 3)
    assert [[t.name for t in row] for row in rows] == [["bee", "cat"], ["ape", "ape"]]


def test_the_value_of_one_output_is_that_of_its_batch() -> None:
    for target in (1, "cat", torch.sum):
        one = bind(target, OUT[1], Names(NAMES.__getitem__, NAMES.index, 3))
        assert float(value(one, OUT[1])) == float(evaluate([[one], [one]], OUT)[1, 0])
