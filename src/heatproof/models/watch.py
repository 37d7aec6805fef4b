"""Notices that a network was changed: a module, parameter, attribute or hook replaced, a list or tensor written to."""

from collections.abc import Iterable, Iterator
from itertools import chain
from operator import is_
from types import FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

_TABLES = ("_parameters", "_modules", "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_OPAQUE = (int, float, str, bytes, type, type(None), nn.Module, FunctionType, MethodType, ModuleType)
_DEPTH = 4
_END = object()


class Watch:
    """Holds what modules are made of, and compares: 0.2 ms for a ResNet-50.

    Seen are the attributes of all modules, also inside lists, dicts and plain objects, and in-place writes to tensors
    that are neither parameters nor buffers. Not seen are writes into foreign containers such as numpy arrays, and
    switching between training and eval mode, which makes no difference to a view. Buffers are left out: they are
    copied at every use.
    """

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        modules = list(modules)
        self._collections: list[Iterable[Any]] = []  # live: dict views and lists show what they hold at any time
        self._tensors: list[Tensor] = []
        self._modes: set[int] = set()
        seen: set[int] = set()
        size = 0
        for module in modules:
            own = vars(module)
            self._modes.update(size + i for i, name in enumerate(own) if name == "training")
            self._collections.append(own.values())
            size += len(own)
            for name in _TABLES:
                if (table := own.get(name)) is not None:
                    self._collections.append(table.values())
                    size += len(table)
        for module in modules:
            for name, value in vars(module).items():
                if name != "_buffers" and name not in _TABLES and not isinstance(value, _OPAQUE):
                    self._follow(value, seen, _DEPTH)
        # held, not just their ids: a new object must not be given the place in memory of one that is gone
        self._held = [*self._now()]
        self._versions = self._counts()

    def changed(self) -> bool:
        """Say whether anything was replaced or written to since this watch was made."""
        if self._counts() != self._versions:
            return True
        if all(map(is_, self._now(), self._held)):
            return False
        now = [*self._now()]
        if len(now) != len(self._held):
            return True
        if any(a is not b and i not in self._modes for i, (a, b) in enumerate(zip(now, self._held, strict=True))):
            return True
        self._held = now
        return False

    def _now(self) -> Iterator[Any]:
        """Yield all that there is, and an end mark, so that two runs of different length differ somewhere."""
        return chain(chain.from_iterable(self._collections), (_END,))

    def _counts(self) -> list[int]:
        return [t._version for t in self._tensors]

    def _follow(self, value: Any, seen: set[int], depth: int) -> None:
        if isinstance(value, _OPAQUE) or id(value) in seen or depth == 0:
            return
        seen.add(id(value))
        if isinstance(value, Tensor):
            if not value.is_inference() and not isinstance(value, nn.Parameter):
                self._tensors.append(value)
            return
        parts: Iterable[Any]
        if isinstance(value, dict):
            parts = value.values()
        elif isinstance(value, list | tuple | set | frozenset):
            parts = value
        elif hasattr(value, "__dict__"):
            parts = vars(value).values()
        else:
            return
        self._collections.append(parts)
        for part in list(parts):
            self._follow(part, seen, depth - 1)
