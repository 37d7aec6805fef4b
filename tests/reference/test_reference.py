"""Every CAM method against a slow loop written from its paper, over seeds, axes, inputs, targets and dead channels."""

import warnings
from dataclasses import replace
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.contract.attention_toys import AttentionSource
from tests.contract.battery import make_toy

from heatproof.cam import methods
from heatproof.errors import HeatproofWarning, MethodError
from heatproof.types import Capture

OWN = [name for name, plugin in methods().items() if plugin.module.startswith("heatproof.")]


def slow(name: str, capture: Capture) -> torch.Tensor:
    loop = import_module(f"tests.reference.{name}").reference
    wanted = signature(loop).parameters
    activations = capture.activations.double().numpy()
    gradients = capture.gradients.double().numpy()
    maps = []
    for i, (a, of_input) in enumerate(zip(activations, gradients, strict=True)):
        row = []
        for j, g in enumerate(of_input):
            more = {
                "attention": attention_of_one(capture, i, j),
                "score": capture.scores[i, j].item(),
                "inputs": capture.inputs[i].double().numpy(),
                "replay": one_score(capture.replay, i, j, capture.activations.dtype),
                "rescore": one_score(capture.rescore, i, j, capture.inputs.dtype),
                **of_source(capture, i, j),
            }
            row.append(loop(a, g, **{key: value for key, value in more.items() if key in wanted}))
        maps.append(row)
    return torch.from_numpy(np.array(maps))


def of_source(capture: Capture, i: int, j: int) -> dict[str, Any]:
    """Return what the captured network's further runs say about target j of input i, as functions of arrays."""
    source, row, dtype = capture.source, torch.tensor([i]), capture.activations.dtype

    def gradient_at(inputs: np.ndarray) -> np.ndarray:
        return source.recapture(torch.from_numpy(inputs).to(dtype)[None], row).gradients[0, j].double().numpy()

    def slope(activations: np.ndarray) -> np.ndarray:
        leaf = torch.from_numpy(activations).to(dtype)[None].requires_grad_()
        return torch.autograd.grad(source.replay_with_graph(leaf, row)[0, j], leaf)[0][0].double().numpy()

    def class_slope(c: int) -> np.ndarray:
        return source.of_classes(torch.full((len(capture.scores), 1), c))[1][i, 0].double().numpy()

    return {
        "target": int(source.toy.targets[i, j]),
        "class_scores": source.classes()[i].double().numpy(),
        "gradient_at": gradient_at,
        "slope": slope,
        "class_slope": class_slope,
        "finer": [
            (stage.activations[i].double().numpy(), stage.gradients[i, j].double().numpy())
            for stage in source.stages()[:-1]
        ],
    }


def attention_of_one(capture: Capture, i: int, j: int):
    """Return (weights, gradients), each (heads, queries, keys), of every attention layer, for one input and target."""
    if not isinstance(capture.source, AttentionSource):
        return None
    return [(la.weights[i].double().numpy(), la.gradients[i, j].double().numpy()) for la in capture.source.layers]


def one_score(run, i: int, j: int, dtype: torch.dtype):
    """Return y_j of input i as a function of one array."""
    return lambda array: run(torch.from_numpy(array).to(dtype)[None], torch.tensor([i]))[0, j].item()


def fast(name: str, capture: Capture) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", HeatproofWarning
        )  # negative activations: the formula is under test, not its fitness
        return methods()[name].function(capture)


@pytest.mark.parametrize("name", OWN)
def test_every_method_has_a_loop(name):
    assert Path(__file__).with_name(f"{name}.py").is_file(), f"write tests/reference/{name}.py from the paper"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("rectified", [True, False])
@pytest.mark.parametrize("head", ["pooled", "dense"])
@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", OWN)
def test_method_agrees_with_its_loop(name, axes, head, rectified, seed):
    capture = make_toy(methods()[name])(axes, head, seed=seed, t=3, rectified=rectified, dtype=torch.float64).capture()
    if (name, head) == ("cam", "dense"):
        with pytest.raises(MethodError):
            fast(name, capture)
        return
    loop = import_module(f"tests.reference.{name}")
    rtol, atol = getattr(loop, "RTOL", 1e-9), getattr(loop, "ATOL", 1e-12)
    torch.testing.assert_close(fast(name, capture), slow(name, capture), rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", OWN)
def test_method_agrees_with_its_loop_in_float32(name):
    capture = make_toy(methods()[name])(2, "pooled", seed=7).capture()
    expected = slow(name, capture)
    torch.testing.assert_close(fast(name, capture).double(), expected, rtol=0, atol=1e-6 * float(expected.abs().max()))


@pytest.mark.parametrize("name", OWN)
def test_method_agrees_with_its_loop_where_channels_are_dead(name):
    capture = make_toy(methods()[name])(2, "pooled", seed=3, dtype=torch.float64).capture()
    activations, gradients = capture.activations.clone(), capture.gradients.clone()
    activations[:, ::2] = 0
    gradients[0, :, 1] = 0
    halfdead = replace(capture, activations=activations, gradients=gradients)
    torch.testing.assert_close(fast(name, halfdead), slow(name, halfdead), rtol=1e-9, atol=1e-12)
