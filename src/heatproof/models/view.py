"""A private twin of the user's network: its parameters are shared, everything that can be written to is its own.

Hooks, eval mode and replaced forwards live on the view: the user's network is never touched, and threads do not meet.
"""

import copy
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from heatproof.errors import ModelError
from heatproof.models.closures import rebind

HOOK_TABLES = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
OWN_TABLES = {*HOOK_TABLES, "_parameters", "_buffers", "_modules"}
_CONTAINERS = (list, tuple, set, frozenset)


def unwrap(net: nn.Module) -> nn.Module:
    """Return the network inside `torch.compile`, DataParallel and DistributedDataParallel wrappers."""
    while True:
        if isinstance(net, nn.DataParallel | nn.parallel.DistributedDataParallel):
            net = net.module
        elif isinstance(inner := getattr(net, "_orig_mod", None), nn.Module):
            net = inner
        else:
            return net


def make_view(net: nn.Module) -> nn.Module:
    """Return a twin of `net` in eval mode that shares its parameters and owns its modules and buffers.

    Tensors cached on modules and parametrized weights are copied without their graph; hooks of the user are kept and
    run on the view; functions that close over modules of the network are rebuilt to close over the view's; what cannot
    be copied (locks, generators, file handles) is shared by reference. Modules that only a plain list holds stay in
    the mode they are in, as `net.eval()` does not reach them either.

    Raises:
        ModelError: the network has lazy modules that were never run, or is a TorchScript module.
    """
    return paired_view(net)[0]


def paired_view(net: nn.Module) -> tuple[nn.Module, list[tuple[nn.Module, nn.Module]]]:
    """Return what `make_view` does, and each module of the view beside the one of the network that it stands for."""
    net = unwrap(net)
    # Under a caller's inference mode the copies would be inference tensors, which no gradient can pass.
    with torch.inference_mode(False), torch.no_grad():
        modules = list(all_modules(net))
        shared = _seed(modules)
        memo = dict(shared)
        try:
            twin = _copy(net, modules, memo)
        except Exception:  # noqa: BLE001  user classes raise anything from __deepcopy__ or pickling; the parts decide below
            _share_uncopyable(modules, shared)
            memo = dict(shared)
            twin = _copy(net, modules, memo)
        pairs = [(memo[id(m)], m) for m in modules if id(m) in memo and memo[id(m)] is not m]
        rebind(modules, [mine for mine, _ in pairs], memo)
        for module, _ in pairs:
            buffers: dict[str, Tensor | None] = vars(module)["_buffers"]
            for name, buffer in buffers.items():
                if buffer is not None and 0 in buffer.stride() and buffer.numel() > 1:
                    buffers[name] = buffer.clone()  # an expanded buffer cannot be written to
    return twin.eval(), pairs


def all_modules(net: nn.Module) -> Iterator[nn.Module]:
    """Yield every module of `net`, also those that only a plain attribute (a list, a dict) holds."""
    seen: set[int] = set()
    stack: list[Any] = [net]
    while stack:
        value = stack.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, nn.Module):
            yield value
            stack.extend(v for k, v in vars(value).items() if k not in HOOK_TABLES)
        elif isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, _CONTAINERS):
            stack.extend(value)


def _seed(modules: list[nn.Module]) -> dict[int, Any]:
    """Return the deepcopy memo that shares parameters and hooks and cuts cached tensors off their graph."""
    memo: dict[int, Any] = {}
    own = {id(m) for m in modules}
    for module in modules:
        if isinstance(module, torch.jit.ScriptModule):
            raise ModelError(
                f"{type(module).__name__} is TorchScript, which cannot be looked into; pass the Python network it was "
                "made from, or export it with torch.export."
            )
        for parameter in vars(module)["_parameters"].values():
            if parameter is None:
                continue
            if nn.parameter.is_lazy(parameter):
                raise ModelError(
                    f"{type(module).__name__} has not seen an input yet, so its parameters do not exist; "
                    "run the network once on one input, then explain it."
                )
            memo[id(parameter)] = parameter
        for table in HOOK_TABLES:
            for hook in vars(module).get(table, {}).values():
                if id(getattr(hook, "__self__", None)) not in own:
                    memo[id(hook)] = hook  # the user's logger or list gets the calls, not a copy of it
        compiled = vars(module).get("_compiled_call_impl")
        if compiled is not None:
            memo[id(compiled)] = None
        _cut_graphs(module, memo)
    return memo


def _copy(net: nn.Module, modules: list[nn.Module], memo: dict[int, Any]) -> nn.Module:
    """Return the twin; wrapped modules inside it (compiled ones, say) become what they wrap."""
    for module in modules:
        inner = unwrap(module)
        if inner is not module:
            memo[id(module)] = copy.deepcopy(inner, memo)
    return copy.deepcopy(net, memo)


def _cut_graphs(module: nn.Module, memo: dict[int, Any]) -> None:
    """Enter a detached copy for every tensor of `module` that deepcopy refuses because it has a graph."""
    stack: list[Any] = [v for k, v in vars(module).items() if k not in OWN_TABLES] + list(
        vars(module)["_buffers"].values()
    )
    while stack:
        value = stack.pop()
        if isinstance(value, nn.Parameter):
            memo[id(value)] = value
        elif isinstance(value, Tensor):
            if not value.is_leaf:
                memo[id(value)] = value.detach().clone()
        elif isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, _CONTAINERS):
            stack.extend(value)


def _share_uncopyable(modules: list[nn.Module], memo: dict[int, Any]) -> None:
    """Enter every attribute part that cannot be copied into `memo` as itself."""
    for module in modules:
        for name, value in vars(module).items():
            if name not in OWN_TABLES:
                _share_where_needed(value, memo, set())


def _share_where_needed(value: Any, memo: dict[int, Any], seen: set[int]) -> None:
    if id(value) in memo or id(value) in seen or isinstance(value, nn.Module):
        return
    seen.add(id(value))
    if _copies(value, memo):
        return
    parts: list[Any] = []
    if isinstance(value, dict):
        parts = list(value.values())
    elif isinstance(value, _CONTAINERS):
        parts = list(value)
    elif hasattr(value, "__dict__") and not isinstance(value, type):
        parts = list(vars(value).values())
    for part in parts:
        _share_where_needed(part, memo, seen)
    if not _copies(value, memo):  # no part was to blame: the object itself is shared
        memo[id(value)] = value


def _copies(value: Any, memo: dict[int, Any]) -> bool:
    try:
        copy.deepcopy(value, dict(memo))
    except Exception:  # noqa: BLE001  whatever made the copy fail, this object or one of its parts is to be shared
        return False
    return True


def user_hooks(net: nn.Module) -> list[tuple[nn.Module, str, dict[int, Any]]]:
    """Return every hook table of `net` that holds hooks of the user: its module, its name, and what else it holds.

    What torch sets up itself (weight_norm, spectral_norm, pruning) is part of the network.
    """
    found: list[tuple[nn.Module, str, dict[int, Any]]] = []
    for module in net.modules():
        for name in HOOK_TABLES:
            if table := vars(module).get(name):
                kept = {k: h for k, h in table.items() if type(h).__module__.startswith("torch.nn.utils.")}
                if len(kept) < len(table):
                    found.append((module, name, kept))
    return found


def substitute_forward(module: nn.Module, forward: Callable[..., Any]) -> None:
    """Replace what calling `module` (of a view) does, hooks included."""
    for table in HOOK_TABLES:
        vars(module)[table] = OrderedDict()
    module.forward = forward
