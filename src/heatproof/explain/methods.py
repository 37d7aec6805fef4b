"""What the user calls a method (a name in any spelling, a function) as one thing that can be run, settings checked."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Literal

from torch import Tensor

from heatproof import attribution, cam
from heatproof.errors import MethodError, UsageError, nearest
from heatproof.plugins import Plugin, resolve
from heatproof.types import Capture

MethodSpec = str | Callable[[Capture], Tensor]


@dataclass(frozen=True)
class Method:
    """A CAM method or an attribution, with its settings.

    Attributes:
        name: the plug-in's name, or the function's.
        function: `(Capture, **settings) -> (n, t, *grid)`, or `(Subject, **settings) -> (n, t, *spatial)`.
        kind: which of the two.
        units: what the values of its maps are measured in, see `Explanation.units`.
        differentiable: whether its map can be part of a training loss.
        finer: whether its maps may lie on a finer grid than the target layer's.
        settings: keyword arguments for the function.
    """

    name: str
    function: Callable[..., Tensor]
    kind: Literal["cam", "attribution"]
    units: str
    differentiable: bool
    finer: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def accepted(self) -> tuple[str, ...]:
        """Return the names of the settings that the function takes."""
        given = list(inspect.signature(self.function).parameters.values())[1:]
        return tuple(p.name for p in given if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))


def find_method(spec: MethodSpec, settings: Mapping[str, Any], defaults: Mapping[str, Any]) -> Method:
    """Return the method that `spec` means.

    Args:
        spec: a name in any spelling, or a function from a `Capture` to maps.
        settings: for the method; one that it does not take is refused.
        defaults: likewise, but left out where it takes no such thing.

    Raises:
        MethodError: there is no such method.
        UsageError: it has no such setting.
    """
    if callable(spec):
        found = Method(getattr(spec, "__name__", "custom"), spec, "cam", "unknown", differentiable=True)
    elif isinstance(spec, str):  # pyright: ignore[reportUnnecessaryIsInstance]  not every user runs a type checker
        found = _named(spec)
    else:
        raise MethodError(f"method is {spec!r}; pass the name of a method or a function from a Capture to maps.")
    accepted = found.accepted()
    for name in settings:
        if name not in accepted:
            known = ("layer", "method", "target", "batch_size", "combine", "augment", "noise", "samples", *accepted)
            has = f"{found.name} takes {', '.join(accepted)}" if accepted else f"{found.name} takes no settings"
            raise UsageError(f"There is no argument {name!r}{nearest(name, known)} ({has}).")
    usable = {name: value for name, value in defaults.items() if name in accepted and value is not None}
    return replace(found, settings={**usable, **settings})


def find_methods(
    specs: str | Sequence[MethodSpec], settings: Mapping[str, Any], defaults: Mapping[str, Any]
) -> list[Method]:
    """Return the methods of a list, or every CAM method for "all"; a setting goes to those that take it.

    Raises:
        MethodError: the list is empty, holds one method twice, or one that does not exist.
        UsageError: no method of the list has such a setting.
    """
    wanted: list[MethodSpec] = (
        list(cam.methods()) if specs == "all" else [specs] if isinstance(specs, str) else [*specs]
    )
    if not wanted:
        raise MethodError('The list of methods is empty; name at least one, or pass "all".')
    found = [find_method(spec, {}, {**defaults, **settings}) for spec in wanted]
    taken = {name for method in found for name in method.accepted()}
    for name in settings:
        if name not in taken:
            raise UsageError(f"There is no argument {name!r}{nearest(name, sorted(taken))}.")
    names = [method.name for method in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise MethodError(f"The method {twice!r} is in the list more than once; results are kept by name.")
    return found


def _named(name: str) -> Method:
    plugins = {**cam.methods(), **attribution.methods()}
    plugin: Plugin = resolve(name, plugins, "method", MethodError)
    module = import_module(plugin.module)
    return Method(
        name=plugin.name,
        function=plugin.function,
        kind="cam" if plugin.attribute == "cam" else "attribution",
        units=getattr(module, "UNITS", "score"),
        differentiable=getattr(module, "DIFFERENTIABLE", False),
        finer=getattr(module, "GRID", "layer") == "finest",
    )
