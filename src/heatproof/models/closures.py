"""Functions kept on a network (patched forwards, lambdas, hooks) that reach its modules from outside.

`copy.deepcopy` takes functions for constants: on a copied network, a forward that closes over the original module would
go on running the original. What a closure, a default or a `functools.partial` holds can be exchanged; what is reached
through a global name cannot.
"""

import copy
import dis
import functools
from collections.abc import Callable, Iterator, Sequence
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any

from torch import nn


def rebind(originals: Sequence[nn.Module], twins: Sequence[nn.Module], memo: dict[int, Any]) -> None:
    """Make functions on `twins` that reach a module of `originals` reach its twin instead.

    Args:
        originals: every module of the network.
        twins: every module of its copy.
        memo: of the deepcopy that made the copy.
    """
    reach = _Reach(originals)
    if not any(reach(value) for value in _attributes(originals)):
        return
    exchange = _Exchange(reach, memo)
    for twin in twins:
        for name, value in vars(twin).items():
            if name not in ("_parameters", "_buffers", "_modules"):
                vars(twin)[name] = exchange(value)


def uses_globals(originals: Sequence[nn.Module]) -> bool:
    """Say whether a function kept on the network reaches one of its modules by a global name."""
    reach = _Reach(originals)
    for value in _attributes(originals):
        for function in _functions(value, set()):
            names = _global_names(function.__code__)
            if any(reach(function.__globals__.get(name)) for name in names):
                return True
    return False


def _attributes(modules: Sequence[nn.Module]) -> Iterator[Any]:
    for module in modules:
        for name, value in vars(module).items():
            if name not in ("_parameters", "_buffers", "_modules") and not isinstance(value, bool | int | str | None):
                yield value


def _cells(function: FunctionType) -> list[Any]:
    """Return what a function holds: the contents of its closure and its defaults."""
    held: list[Any] = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    for cell in function.__closure__ or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:  # a cell that is still empty holds nothing
            continue
    return held


def _parts(value: Any) -> list[Any]:
    if isinstance(value, FunctionType):
        return _cells(value)
    if isinstance(value, MethodType):
        return [value.__self__, value.__func__]
    if isinstance(value, functools.partial):
        return [value.func, *value.args, *value.keywords.values()]
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple):
        return list(value)
    return []


def _functions(value: Any, seen: set[int]) -> Iterator[FunctionType]:
    if id(value) in seen or isinstance(value, nn.Module):
        return
    seen.add(id(value))
    if isinstance(value, FunctionType):
        yield value
    for part in _parts(value):
        yield from _functions(part, seen)


def _global_names(code: CodeType) -> set[str]:
    names = {str(i.argval) for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _global_names(constant)
    return names


class _Reach:
    """Says whether a value holds a module of the network in a place that deepcopy would not exchange by itself."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._own = {id(m) for m in modules}

    def __call__(self, value: Any) -> bool:
        return self._look(value, set())

    def _look(self, value: Any, seen: set[int]) -> bool:
        if id(value) in seen:
            return False
        seen.add(id(value))
        if isinstance(value, nn.Module):
            return id(value) in self._own
        return any(self._look(part, seen) for part in _parts(value))


class _Exchange:
    """Returns a value with every function in it that reaches the network rebuilt around the copy."""

    def __init__(self, reach: _Reach, memo: dict[int, Any]) -> None:
        self._reach, self._memo = reach, memo
        self._made: dict[int, FunctionType] = {}

    def __call__(self, value: Any) -> Any:
        if self._memo.get(id(value)) is value:
            return value  # shared with the user's network, not ours to change
        if isinstance(value, FunctionType):
            return self._function(value) if self._reach(value) else value
        if isinstance(value, MethodType):
            function: Callable[..., Any] = self(value.__func__)
            return value if function is value.__func__ else MethodType(function, value.__self__)
        if isinstance(value, functools.partial):
            return functools.partial(self(value.func), *map(self, value.args), **self._each(value.keywords))
        if isinstance(value, dict):
            value.update(self._each(value))  # the copy's own table
            return value
        if isinstance(value, list):
            value[:] = map(self, value)
            return value
        if type(value) is tuple:
            return tuple(map(self, value))
        return value

    def _each(self, value: dict[Any, Any]) -> dict[Any, Any]:
        return {k: self(v) for k, v in value.items()}

    def _function(self, function: FunctionType) -> FunctionType:
        if id(function) in self._made:
            return self._made[id(function)]
        old = function.__closure__ or ()
        # A cell that does not lead to the network stays the user's own: a count kept in it goes on counting.
        cells = tuple(CellType() if self._leads(cell) else cell for cell in old)
        new = FunctionType(function.__code__, function.__globals__, function.__name__, None, cells)
        self._made[id(function)] = new  # before its parts, which may refer back to it
        new.__dict__.update(vars(function))
        new.__defaults__ = tuple(map(self._held, function.__defaults__)) if function.__defaults__ else None
        keywords = function.__kwdefaults__
        new.__kwdefaults__ = {k: self._held(v) for k, v in keywords.items()} if keywords else None
        for cell, theirs in zip(cells, old, strict=True):
            if cell is not theirs:
                cell.cell_contents = self._held(theirs.cell_contents)
        return new

    def _leads(self, cell: CellType) -> bool:
        try:
            return self._reach(cell.cell_contents)
        except ValueError:  # empty as yet
            return False

    def _held(self, content: Any) -> Any:
        """Return what the new function holds: the twin of what leads to the network, all else itself."""
        return self(copy.deepcopy(content, self._memo)) if self._reach(content) else content
