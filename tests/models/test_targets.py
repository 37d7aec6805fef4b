"""Targets in every form mean the same; scores stay connected to their graph."""

from typing import Any

import numpy as np
import pytest
import torch

from heatproof.models.outputs import of_one
from heatproof.models.targets import evaluate, resolve
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
