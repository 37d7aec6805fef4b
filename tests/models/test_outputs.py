"""Nested values are read and rewritten without changing the original, whatever they are made of."""

import dataclasses
from collections import OrderedDict, UserDict, defaultdict
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from heatproof.models.outputs import agree, class_scores, map_tensors, pick, put, take, tensors

A, B = torch.arange(6.0).reshape(3, 2), torch.arange(3.0)


class Named(NamedTuple):
    a: Any
    b: Any


@dataclasses.dataclass(frozen=True)
class Frozen:
    a: Any
    b: Any
    note: str = "free"


@dataclasses.dataclass
class Slotted:
    __slots__ = ("a", "b")
    a: Any
    b: Any


def _default() -> Any:
    found: Any = defaultdict(list)
    found.update(a=A, b=[B])
    return found


def _model_output() -> Any:
    outputs = pytest.importorskip("transformers.modeling_outputs")
    return outputs.ImageClassifierOutput(logits=A, hidden_states=(B,))


NESTED = {
    "tensor": (lambda: A, {(): A}),
    "tuple": (lambda: (A, [B]), {(0,): A, (1, 0): B}),
    "named tuple": (lambda: Named(A, (B, 3)), {(0,): A, (1, 0): B}),
    "dict": (lambda: {"a": A, "b": {"c": B}}, {("a",): A, ("b", "c"): B}),
    "ordered dict": (lambda: OrderedDict(a=A, b=B), {("a",): A, ("b",): B}),
    "default dict": (_default, {("a",): A, ("b", 0): B}),
    "user dict": (lambda: UserDict(a=A, b=B), {("a",): A, ("b",): B}),
    "read-only mapping": (lambda: MappingProxyType({"a": A, "b": B}), {("a",): A, ("b",): B}),
    "dataclass": (lambda: Frozen(A, [B]), {("a",): A, ("b", 0): B}),
    "dataclass with slots": (lambda: Slotted(A, B), {("a",): A, ("b",): B}),
    "ModelOutput": (_model_output, {("logits",): A, ("hidden_states", 0): B}),
    "result of max": (lambda: A.max(1), {(0,): A.max(1).values, (1,): A.max(1).indices}),
}


@pytest.mark.parametrize("name", NESTED)
def test_read_and_rewrite(name: str) -> None:
    build, parts = NESTED[name]
    value = build()
    found = dict(tensors(value))
    assert found.keys() == parts.keys()
    for key, part in parts.items():
        assert torch.equal(found[key], part)
        assert torch.equal(pick(value, key), part)
        new = torch.full((2,), 7.0)
        changed = put(value, key, new)
        assert pick(changed, key) is new
        assert torch.equal(pick(value, key), part)  # the original is not changed
        for other in parts.keys() - {key}:
            assert torch.equal(pick(changed, other), parts[other])
        if name != "read-only mapping":
            assert type(changed) is type(value) or key == ()
    taken = take(value, torch.tensor([2, 0, 2, 1]), 3)
    mapped = map_tensors(value, lambda t: t + 1)
    for key, part in parts.items():
        assert torch.equal(pick(taken, key), part[[2, 0, 2, 1]])
        assert torch.equal(pick(mapped, key), part + 1)
    if name == "dataclass":
        assert taken.note == "free"


def test_take_leaves_alone_what_is_not_one_per_input() -> None:
    mean = torch.zeros(4)
    image, kept, number = take((A, mean, 3), torch.tensor([1]), 3)
    assert torch.equal(image, A[1:2])
    assert kept is mean
    assert number == 3
    boxes = [{"boxes": torch.zeros(i, 4)} for i in range(3)]
    assert [len(b["boxes"]) for b in take(boxes, torch.tensor([2, 2, 0]), 3)] == [2, 2, 0]


@dataclasses.dataclass
class HasLogits:
    logits: Tensor


class LossFirst(NamedTuple):
    loss: Tensor
    logits: Tensor


@pytest.mark.parametrize(("output", "wanted"), [
    (A, A),
    (B, B[:, None]),
    (A[:, :, None, None], A),
    ({"logits": A}, A),
    ({"out": A, "aux": B}, A),
    ((A, B), A),
    ([A, B], A),
    (HasLogits(A), A),
    (LossFirst(torch.tensor(1.0), A), A),
    (A.half(), A.half()),
])  # fmt: skip
def test_class_scores(output: Any, wanted: Tensor) -> None:
    assert torch.equal(class_scores(output, 3), wanted)


def test_agree_allows_rounding_and_no_more() -> None:
    a = torch.tensor([100.0, 1.0])
    assert agree(a, a + 0.005, torch.float32)
    assert not agree(a, a + 0.05, torch.float32)
    assert agree(a, a + 0.05, torch.bfloat16)
    assert not agree(a, a[:1], torch.float32)
