"""The type checker of the tests: beartype, asked once for each signature, and only when it is called.

jaxtyping has every annotated function checked, also those that another function makes anew in each of its calls. For
each it builds functions that hold nothing but the signature, and beartype compiles a check for each of these: together
a third of the tests' time. The checks themselves stay as they are.
"""

from collections.abc import Callable, Hashable
from typing import Any

from beartype import beartype

_CHECKS: dict[Hashable, Callable[..., Any]] = {}


def check(function: Any) -> Any:
    """Return the function with its arguments and results checked."""
    code = function.__code__
    arguments = (code.co_varnames, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
    defaults = (len(function.__defaults__ or ()), tuple(function.__kwdefaults__ or ()))
    key = (function.__module__, function.__qualname__, arguments, defaults, tuple(function.__annotations__.items()))
    try:
        return _CHECKS.setdefault(key, _Check(function))
    except TypeError:  # an annotation without a hash
        return beartype(function)


class _Check:
    """A function whose check is compiled when it is first called."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._checked: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        checked = self._checked
        if checked is None:
            checked = self._checked = beartype(self._function)
        return checked(*args, **kwargs)
