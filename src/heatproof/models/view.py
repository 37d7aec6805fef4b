"""A private twin of the user's network: its parameters are shared, everything that can be written to is its own.

Hooks, eval mode and replaced forwards live on the view: the user's network is never touched, and threads do not meet.
"""

import copy
import threading
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakIdKeyDictionary

from heatproof.errors import ModelError

_HOOK_TABLES = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_OWN_TABLES = {*_HOOK_TABLES, "_parameters", "_buffers", "_modules"}
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
    run on the view; what cannot be copied (locks, generators, file handles) is shared by reference.

    Raises:
        ModelError: the network has lazy modules that were never run, or is a TorchScript module.
    """
    memo = _seed(net)
    attempt = dict(memo)
    try:
        twin = copy.deepcopy(net, attempt)
    except Exception:  # noqa: BLE001  user classes raise anything from __deepcopy__ or pickling; the parts decide below
        attempt = dict(memo)
        _share_uncopyable(net, attempt)
        twin = copy.deepcopy(net, attempt)
    return twin.eval()


def _all_modules(net: nn.Module) -> Iterator[nn.Module]:
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
            stack.extend(v for k, v in vars(value).items() if k not in _HOOK_TABLES)
        elif isinstance(value, dict):
            stack.extend(value.values())
        elif isinstance(value, _CONTAINERS):
            stack.extend(value)


def _seed(net: nn.Module) -> dict[int, Any]:
    """Return the deepcopy memo that shares parameters and hooks and cuts cached tensors off their graph."""
    memo: dict[int, Any] = {}
    modules = list(_all_modules(net))
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
        for table in _HOOK_TABLES:
            for hook in vars(module).get(table, {}).values():
                if id(getattr(hook, "__self__", None)) not in own:
                    memo[id(hook)] = hook  # the user's logger or list gets the calls, not a copy of it
        compiled = vars(module).get("_compiled_call_impl")
        if compiled is not None:
            memo[id(compiled)] = None
        _cut_graphs(module, memo)
    for module in modules:
        inner = unwrap(module)
        if inner is not module and module is not net:
            memo[id(module)] = copy.deepcopy(inner, memo)
    return memo


def _cut_graphs(module: nn.Module, memo: dict[int, Any]) -> None:
    """Enter a detached copy for every tensor of `module` that deepcopy refuses because it has a graph."""
    stack: list[Any] = [v for k, v in vars(module).items() if k not in _OWN_TABLES] + list(
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


def _share_uncopyable(net: nn.Module, memo: dict[int, Any]) -> None:
    """Enter every attribute part that cannot be copied into `memo` as itself."""
    for module in _all_modules(net):
        for name, value in vars(module).items():
            if name not in _OWN_TABLES:
                _share_where_needed(value, memo, set())


def _share_where_needed(value: Any, memo: dict[int, Any], seen: set[int]) -> None:
    if id(value) in memo or id(value) in seen or isinstance(value, nn.Module):
        return
    seen.add(id(value))
    try:
        copy.deepcopy(value, dict(memo))
    except Exception:  # noqa: BLE001  whatever made the copy fail, this object or one of its parts is to be shared
        parts: list[Any] = []
        if isinstance(value, dict):
            parts = list(value.values())
        elif isinstance(value, _CONTAINERS):
            parts = list(value)
        elif hasattr(value, "__dict__") and not isinstance(value, type):
            parts = list(vars(value).values())
        for part in parts:
            _share_where_needed(part, memo, seen)
        try:
            copy.deepcopy(value, dict(memo))
        except Exception:  # noqa: BLE001  no part was to blame: the object itself is shared
            memo[id(value)] = value


def _signature(net: nn.Module) -> tuple[Any, ...]:
    """Return what changes whenever a module, parameter, plain attribute or hook of `net` is replaced."""
    return tuple(
        (
            id(m),
            *map(id, vars(m).values()),
            *map(id, vars(m)["_parameters"].values()),
            *map(id, vars(m)["_modules"].values()),
            *(id(h) for table in _HOOK_TABLES for h in vars(m).get(table, {}).values()),
        )
        for m in net.modules()
    )


class ViewPool:
    """Views of one network, one per concurrent caller, made when needed and kept up to date.

    A view is rebuilt when the network changed (a layer replaced, an attribute or hook set), and thrown away when its
    own run left something behind on it; its buffers are refreshed from the network before every use.
    """

    def __init__(self, net: nn.Module) -> None:
        self.net = unwrap(net)
        self._lock = threading.Lock()
        self._original_lock = original_lock(self.net)
        self._idle: list[tuple[nn.Module, Any, Any]] = []
        self.viewable = True

    @contextmanager
    def borrow(self) -> Generator[nn.Module]:
        """Lend a view in eval mode to one caller at a time."""
        if not self.viewable:
            with self._borrow_original() as net:
                yield net
            return
        signature = _signature(self.net)
        with self._lock:
            entry = self._idle.pop() if self._idle else None
        if entry is None or entry[1] != signature:
            view = make_view(self.net)
            entry = (view, signature, _signature(view))
        else:
            _refresh(entry[0], self.net)
        yield entry[0]
        # Reached only when nothing was raised: a view that an error left in an unknown state is not used again.
        if _signature(entry[0]) == entry[2]:
            with self._lock:
                self._idle.append(entry)

    def structure(self) -> tuple[Any, ...]:
        """Return a key that changes whenever the network is rebuilt or rewired."""
        return _signature(self.net)

    @contextmanager
    def _borrow_original(self) -> Generator[nn.Module]:
        """Lend the network itself, locked, and put everything back: for forwards that close over the original."""
        with self._original_lock:
            modules = list(self.net.modules())
            training = [m.training for m in modules]
            buffers = [(b, b.detach().clone()) for b in self.net.buffers()]
            tables = [
                (m, name, OrderedDict(table))
                for m in modules
                for name in _HOOK_TABLES
                if (table := vars(m).get(name)) is not None
            ]
            try:
                for module in modules:
                    module.training = False
                yield self.net
            finally:
                for module, mode in zip(modules, training, strict=True):
                    module.training = mode
                with torch.no_grad():
                    for buffer, value in buffers:
                        buffer.copy_(value)
                for module, name, table in tables:
                    live = vars(module)[name]
                    live.clear()
                    live.update(table)


_ORIGINAL_LOCKS = WeakIdKeyDictionary()
_ORIGINAL_LOCKS_GUARD = threading.Lock()


def original_lock(net: nn.Module) -> threading.RLock:  # pyright: ignore[reportInvalidTypeForm]  a factory in typeshed
    """Return the one lock under which `net` itself (not a view of it) may be hooked."""
    with _ORIGINAL_LOCKS_GUARD:
        if net not in _ORIGINAL_LOCKS:
            _ORIGINAL_LOCKS[net] = threading.RLock()
        return _ORIGINAL_LOCKS[net]


def _refresh(view: nn.Module, net: nn.Module) -> None:
    """Copy the network's buffers into the view's."""
    own, current = list(view.buffers()), list(net.buffers())
    if not own:
        return
    with torch.inference_mode(False), torch.no_grad():
        for mine, theirs in zip(own, current, strict=True):
            if mine.shape != theirs.shape:
                mine.data = theirs.detach().clone()
            else:
                mine.copy_(theirs)


def substitute_forward(module: nn.Module, forward: Callable[..., Any]) -> None:
    """Replace what calling `module` (of a view) does, hooks included."""
    for table in _HOOK_TABLES:
        vars(module)[table] = OrderedDict()
    module.forward = forward
