"""Networks that users really have and that are hard to leave untouched, and what there is to a network to compare."""

import dataclasses
import functools
import threading
import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

HOOK_TABLES = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_forward_hooks_with_kwargs",
    "_forward_pre_hooks_with_kwargs",
    "_forward_hooks_always_called",
    "_state_dict_hooks",
)


class Small(nn.Module):
    """Two convolutions, batch normalization, in-place ReLUs, dropout, pooled linear head: the plain case."""

    def __init__(self, classes: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.bn = nn.BatchNorm2d(6)
        self.act = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(6, 5, 3, stride=2, padding=1)
        self.act2 = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(5, classes)

    def features(self, x: Tensor) -> Tensor:
        return self.act2(self.conv2(self.act(self.bn(self.conv(x)))))

    def forward(self, x: Tensor) -> Any:
        return self.fc(self.drop(self.features(x).mean((2, 3))))


class CachesActivations(Small):
    def forward(self, x: Tensor) -> Tensor:
        self.last = self.features(x)
        self.seen = [self.last, {"again": self.last}]
        return self.fc(self.drop(self.last.mean((2, 3))))


class CountsInBuffers(Small):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.register_buffer("total", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.total = self.total + 1
        return super().forward(x)


class AppendsToList(Small):
    def __init__(self) -> None:
        super().__init__()
        self.history: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.history.append(len(x))
        return super().forward(x) + 0.01 * len(self.history)


class HoldsUncopyable(Small):
    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.numbers = (i for i in range(10))
        self.parts = {"lock": threading.RLock(), "list": [threading.Event()]}

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            return super().forward(x)


class PlainListOfModules(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3)
        self.blocks = [nn.Conv2d(6, 6, 3), nn.BatchNorm2d(6).eval()]
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.fc(x.relu_().mean((2, 3)))


class UsesTwice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.block = nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.ReLU())
        self.again = self.block[0]
        self.fc = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.again(self.block(self.block(self.stem(x)))).mean((2, 3)))


class TiedWeights(Small):
    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Conv2d(6, 6, 3, padding=1)
        self.other = nn.Conv2d(6, 6, 3, padding=1)
        self.other.weight = self.extra.weight

    def features(self, x: Tensor) -> Tensor:
        return self.conv2(self.other(self.extra(self.bn(self.conv(x)))))


class Residual(nn.Module):
    """In-place ReLUs and in-place additions: what a call returned is written over later."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.act = nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace=True)
        self.one, self.two = nn.Conv2d(6, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.drop, self.fc = nn.Dropout(0.5), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        stem = self.stem(x)
        x = self.one(self.act(stem))
        x += stem
        x = self.act(x)
        y = self.two(self.drop(x))
        y += x
        return self.fc(self.act(y).mean((2, 3)).mul_(1.5))


class NoParameters(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.edges = nn.AvgPool2d(2)
        self.body = Square()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(self.edges(x)).mean((2, 3))


class Square(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x.abs()


class TrunkWithoutGrad(Small):
    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.act(self.bn(self.conv(x)))
        with torch.set_grad_enabled(False):
            x = self.act2(self.conv2(x))
        return self.fc(x.mean((2, 3)))


class WholeWithoutGrad(Small):
    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


class Pair(NamedTuple):
    logits: Tensor
    features: Tensor


@dataclasses.dataclass(frozen=True)
class Output:
    logits: Tensor
    features: list[Tensor]
    note: str = "free text"


class Returns(Small):
    """Returns its scores in some container, and so does its trunk."""

    def __init__(self, wrap: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.wrap = wrap

    def forward(self, x: Tensor) -> Any:
        a = self.features(x)
        return self.wrap(self.fc(a.mean((2, 3))), a)


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(1, 4, 3, padding=1)
        self.join = nn.Conv2d(8, 5, 3, padding=1)
        self.fc = nn.Linear(5, 4)

    def forward(self, image: Tensor, depth: Tensor, scale: float = 1.0) -> Tensor:
        joined = torch.cat([self.left(image), self.right(depth)], 1)
        return self.fc(self.join(joined).relu().mean((2, 3)) * scale)


class Signal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv1d(2, 4, 5, stride=2), nn.ReLU(inplace=True), nn.Conv1d(4, 5, 3))
        self.fc = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).mean(2))


class Volume(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv3d(1, 4, 3, stride=2), nn.ReLU(inplace=True), nn.Conv3d(4, 5, 3, padding=1))
        self.fc = nn.Linear(5, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.body(x).mean((2, 3, 4)))


class NormalizesInPlace(Small):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sub_(0.5).mul_(2))


def patched_whole() -> nn.Module:
    net = Small()
    net.forward = lambda x: net.fc(net.features(x).mean((2, 3)))
    return net


def patched_submodule() -> nn.Module:
    net = Small()
    original = net.bn.forward
    net.bn.forward = lambda x: original(x) * 2 + net.conv2.bias.mean()
    return net


def patched_by_partial() -> nn.Module:
    net = Small()

    def forward(owner: Small, x: Tensor, *, factor: float) -> Tensor:
        return owner.fc(owner.features(x).mean((2, 3))) * factor

    net.forward = functools.partial(forward, net, factor=2.0)
    return net


def list_of_lambdas() -> nn.Module:
    class Steps(Small):
        def __init__(self) -> None:
            super().__init__()
            self.steps = [lambda x: self.bn(self.conv(x)), lambda x: self.act(self.conv2(x))]

        def features(self, x: Tensor) -> Tensor:
            for step in self.steps:
                x = step(x)
            return x

    return Steps()


BY_GLOBAL_NAME: Small


def patched_by_global() -> nn.Module:
    """A forward that no view can redirect: it looks the network up by a global name."""
    global BY_GLOBAL_NAME
    BY_GLOBAL_NAME = Small()
    BY_GLOBAL_NAME.forward = lambda x: BY_GLOBAL_NAME.fc(BY_GLOBAL_NAME.features(x).mean((2, 3)))
    return BY_GLOBAL_NAME


def weight_norm() -> nn.Module:
    net = Small()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # deprecated, but what old checkpoints are built with
        net.conv2 = nn.utils.weight_norm(net.conv2)
    net(torch.randn(2, 3, 8, 8))
    return net


def spectral_norm() -> nn.Module:
    net = Small()
    net.conv2 = nn.utils.spectral_norm(net.conv2)
    net(torch.randn(2, 3, 8, 8))
    return net


def parametrized() -> nn.Module:
    net = Small()
    nn.utils.parametrizations.weight_norm(net.conv2)
    nn.utils.parametrizations.spectral_norm(net.conv)
    return net


def pruned() -> nn.Module:
    from torch.nn.utils import prune

    net = Small()
    prune.random_unstructured(net.conv2, "weight", amount=0.3)
    return net


def frozen() -> nn.Module:
    return Small().requires_grad_(False)


def user_hooks() -> nn.Module:
    net = Small()
    net.conv.register_forward_pre_hook(lambda m, args: None)
    net.bn.register_forward_hook(lambda m, args, out: None)
    net.conv2.register_forward_hook(lambda m, args, out: out * 2)
    net.fc.register_full_backward_hook(lambda m, given, got: None)
    return net


def compiled_submodule() -> nn.Module:
    net = Small()
    net.conv2 = torch.compile(net.conv2, backend="eager")
    return net


def built_in_inference_mode() -> nn.Module:
    net = Small()
    with torch.inference_mode():
        net.bn.register_buffer("running_mean", torch.full((6,), 0.1))
        net.register_buffer("mean", torch.zeros(3))
    return net


def with_gradients() -> nn.Module:
    net = Small()
    net(torch.randn(2, 3, 8, 8)).sum().backward()
    net.fc.bias.grad = None
    return net


def as_dict() -> nn.Module:
    return Returns(lambda s, a: {"logits": s, "features": [a, a + 1]})


def as_tuple() -> nn.Module:
    return Returns(lambda s, a: (s, [a]))


def as_named_tuple() -> nn.Module:
    return Returns(lambda s, a: Pair(s, a))


def as_dataclass() -> nn.Module:
    return Returns(lambda s, a: Output(s, [a]))


def cached_non_leaf() -> nn.Module:
    net = CachesActivations()
    net(torch.randn(2, 3, 8, 8))
    return net


IMAGE_NETS: dict[str, Callable[[], nn.Module]] = {
    "plain": Small,
    "caches activations": CachesActivations,
    "cached non-leaf": cached_non_leaf,
    "counts in buffers": CountsInBuffers,
    "locks and generators": HoldsUncopyable,
    "plain list": PlainListOfModules,
    "module twice": UsesTwice,
    "tied weights": TiedWeights,
    "no parameters": NoParameters,
    "trunk without grad": TrunkWithoutGrad,
    "whole without grad": WholeWithoutGrad,
    "dict": as_dict,
    "tuple": as_tuple,
    "named tuple": as_named_tuple,
    "dataclass": as_dataclass,
    "in-place input": NormalizesInPlace,
    "patched whole": patched_whole,
    "patched submodule": patched_submodule,
    "patched by partial": patched_by_partial,
    "list of lambdas": list_of_lambdas,
    "patched by global": patched_by_global,
    "old weight_norm": weight_norm,
    "old spectral_norm": spectral_norm,
    "parametrized": parametrized,
    "pruned": pruned,
    "frozen": frozen,
    "user hooks": user_hooks,
    "compiled submodule": compiled_submodule,
    "buffers from inference mode": built_in_inference_mode,
    "with gradients": with_gradients,
}
"""Networks for inputs (n, 3, 8 or more, 8 or more)."""


def make(name: str, *, train: bool = True) -> nn.Module:
    """Build one of them with seeded weights; `fc` biased so that no score is zero; some modules in the other mode."""
    with torch.random.fork_rng():
        torch.manual_seed(sum(map(ord, name)))
        net = IMAGE_NETS[name]()
        net.train(train)
        if train:
            list(net.modules())[-1].eval()
    return net


def pictures(n: int = 3, side: int = 10, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, side, side + 2, generator=torch.Generator().manual_seed(seed))


def everything(net: nn.Module) -> dict[str, Any]:
    """Return all of a network that must be the same after an explanation."""
    seen: dict[str, Any] = {}
    for name, module in net.named_modules(remove_duplicate=False):
        own = vars(module)
        seen[f"{name}: module"] = id(module)
        seen[f"{name}: training"] = module.training
        seen[f"{name}: attributes"] = {k: id(v) for k, v in own.items() if not k.endswith("compiled_call_impl")}
        for table in HOOK_TABLES:
            hooks: Mapping[int, Any] = own.get(table, {})
            seen[f"{name}: {table}"] = [(k, id(v)) for k, v in hooks.items()]
        for key, value in own.items():
            if isinstance(value, list | dict) and not key.startswith("_"):
                seen[f"{name}: {key}"] = [id(v) for v in (value.values() if isinstance(value, dict) else value)]
        for key, parameter in own["_parameters"].items():
            if parameter is not None:
                grad = parameter.grad
                seen[f"{name}.{key}"] = (
                    id(parameter),
                    parameter.requires_grad,
                    parameter._version if not parameter.is_inference() else None,
                    parameter.detach().numpy().tobytes(),
                    None if grad is None else (id(grad), grad.numpy().tobytes()),
                )
        for key, buffer in own["_buffers"].items():
            if buffer is not None:
                seen[f"{name}.{key}"] = (id(buffer), buffer.numpy().tobytes())
    return seen


def slow_maps(net: nn.Module, x: Tensor, layer: str, targets: list[list[int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Return activations, gradients and scores the plain way: eval mode, whole graph, one backward per number.

    On a float64 copy of the network that only this function sees.
    """
    held: dict[str, Tensor] = {}

    def hook(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
        held["a"] = output.clone()
        return held["a"].clone()

    handle = net.get_submodule(layer).register_forward_hook(hook)
    try:
        with torch.enable_grad():
            out = net(x)
            scores = torch.stack([out[i, t] for i, row in enumerate(targets) for t in row]).reshape(len(targets), -1)
            grads = [
                torch.stack(
                    [torch.autograd.grad(scores[i, j], held["a"], retain_graph=True)[0][i] for j in range(len(row))]
                )
                for i, row in enumerate(targets)
            ]
    finally:
        handle.remove()
    return held["a"].detach(), torch.stack(grads), scores.detach()
