"""Many architectures, random weights: the automatic layer lies the right way round, and a batch is its singles."""

import copy
import importlib
import tomllib
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from packaging.version import Version
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

import heatproof as hp

LIBRARIES = ("torchvision", "timm", "transformers")
NETWORKS = [
    pytest.param(library, entry, id=f"{library}-{number}-{entry['name']}")
    for library in LIBRARIES
    for number, entry in enumerate(
        tomllib.loads((Path(__file__).parent / f"{library}.toml").read_text(encoding="utf-8"))["network"]
    )
]
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # what the libraries themselves warn of, building for random weights
]


def build(library: str, name: str, options: dict[str, Any]) -> nn.Module:
    """Return a network with random weights that hears: nothing zero, convolutions that look at their middle most."""
    package = pytest.importorskip(library)
    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if library == "timm":
            net = package.create_model(name, num_classes=10, **options)
        elif library == "torchvision":
            path, _, function = f"torchvision.models.{name}".rpartition(".")
            if path.endswith(("segmentation", "detection")):
                options = {"weights_backbone": None, **options}
            net = getattr(importlib.import_module(path), function)(**options)
        else:
            kind = getattr(package, name, None)
            if kind is None:
                pytest.skip(f"transformers {package.__version__} has no {name}")
            net = kind(kind.config_class(**options))
    with torch.no_grad():
        for key, parameter in net.named_parameters():
            if not parameter.any():
                scale = parameter.ndim <= 1 and key.endswith("weight")
                drawn = torch.randn(parameter.shape, generator=generator) * 0.02
                parameter.copy_(torch.ones_like(parameter) if scale else drawn)
            kernel = parameter.shape[2:]
            if len(kernel) > 1 and max(kernel) > 1 and all(k % 2 for k in kernel):
                middle = (..., *(slice(k // 2, k // 2 + 1) for k in kernel))
                strengthened = parameter[middle] * 3
                parameter.mul_(0.2)
                parameter[middle] = strengthened
    return net.eval()


def calibrate(net: nn.Module, size: tuple[int, ...]) -> None:
    """Give batch normalization the statistics of noise: with those it starts with, deep networks fade to nothing."""
    layers = [module for module in net.modules() if isinstance(module, _BatchNorm)]
    for layer in layers:
        layer.momentum = 1.0
        layer.train()
    if layers:
        with torch.no_grad():
            net(torch.rand(4, 3, *size, generator=torch.Generator().manual_seed(2)))
    net.eval()


def wanted(entry: dict[str, Any]) -> Any:
    return eval(f"lambda out: {entry['target']}") if "target" in entry else 3  # the lists are our own


def movement(capture: Any) -> Tensor:
    """A method that maps how far each grid position is from where it is for the first input."""
    far = (capture.activations - capture.activations[:1]).abs().sum(1, keepdim=True)
    return far.expand(-1, capture.scores.shape[1], *far.shape[2:]).contiguous()


def struck(size: tuple[int, ...]) -> Tensor:
    """Return grainy gray, and the same with noise in each of the corners, (1 + corners, 3, *size)."""
    generator = torch.Generator().manual_seed(3)
    corners = list(product((False, True), repeat=len(size)))
    # flat gray fades to nothing on its way through some networks, and tells nothing of their layout
    gray = 0.4 + 0.2 * torch.rand(1, 3, *size, generator=generator)
    inputs = gray.repeat(1 + len(corners), 1, *[1] * len(size))
    for row, corner in enumerate(corners, 1):
        where = [slice(s - s // 3, s) if far else slice(0, s // 3) for s, far in zip(size, corner, strict=True)]
        place = (row, slice(None), *where)
        inputs[place] = torch.rand(inputs[place].shape, generator=generator)
    return inputs


@pytest.mark.parametrize(("library", "entry"), NETWORKS)
def test_layer_layout_and_orientation_are_found(library: str, entry: dict[str, Any]) -> None:
    size, target = tuple(entry["size"]), wanted(entry)
    if Version(pytest.importorskip(library).__version__) < Version(entry.get("since", "0")):
        pytest.skip(f"{library} before {entry['since']} cannot build it for this size")
    net = build(library, entry["name"], entry.get("options", {}))
    calibrate(net, size)
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(4))
    explainer = hp.Explainer(net)

    both = explainer(x, target)
    assert both.maps.isfinite().all()
    assert both.maps.any()
    assert list(both.maps.shape[2:]) == entry["grid"]
    singles = torch.cat([explainer(one[None], target).maps for one in x])
    if float((singles - both.maps).abs().max()) > 1e-4 * float(both.maps.abs().max()):
        # a rounding error may carry a float32 score across a ReLU's kink; doubles tell that from a real difference
        exact = hp.Explainer(copy.deepcopy(net).double())
        both_exact = exact(x.double(), target).maps
        singles_exact = torch.cat([exact(one[None].double(), target).maps for one in x])
        torch.testing.assert_close(singles_exact, both_exact, rtol=1e-9, atol=1e-9 * float(both_exact.abs().max()))
        torch.testing.assert_close(both.maps, both_exact.float(), rtol=0, atol=1e-2 * float(both_exact.abs().max()))

    moved = hp.explain(net, struck(size), target, method=movement, layer=both.layer.split(" + ")).maps[1:, 0].double()
    grid = moved.shape[1:]
    moved /= moved.flatten(1).sum(1).view(-1, *[1] * len(grid))
    for row, corner in enumerate(product((0, -1), repeat=len(grid))):
        assert int(moved[(slice(None), *corner)].argmax()) == row, f"corner {corner} of {tuple(grid)}"
