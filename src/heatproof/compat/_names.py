"""Classes under the peers' names, made from the registry of methods; sentences for what is not offered."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from heatproof.cam import method as find_method
from heatproof.errors import MethodError
from heatproof.plugins import Plugin


def class_named(name: str, package: str, make: Callable[[str, Plugin], type], instead: Mapping[str, str]) -> type:
    """Return the class that a peer calls `name`, for a module's `__getattr__`.

    Raises:
        MethodError: the peer has it, and there is nothing of that name here; the sentence says what to use.
        AttributeError: nobody has it.
    """
    if name in instead:
        raise MethodError(f"{package} offers no {name}: {instead[name]}")
    if not name[:1].isupper() or not name.isidentifier():
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    try:
        plugin = find_method(name)
    except MethodError as error:
        raise AttributeError(f"module {package!r} has no attribute {name!r}: {error}") from error
    return make(name, plugin)


def settings_of(plugin: Plugin, spelled: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keyword arguments of a method's function for settings in a peer's spelling; None is left out.

    Raises:
        MethodError: the method has no such setting.
    """
    known = [name for name, p in inspect.signature(plugin.function).parameters.items() if p.kind is p.KEYWORD_ONLY]
    found: dict[str, Any] = {}
    for name, value in spelled.items():
        if value is None:
            continue
        ours = next((other for other in (name, *_SPELLINGS.get(name, ())) if other in known), None)
        if ours is None:
            raise MethodError(
                f"{plugin.title} has no setting {name!r}; it has {', '.join(map(repr, known)) or 'none'}."
            )
        found[ours] = value
    return found


def has_setting(plugin: Plugin, name: str) -> bool:
    """Say whether a method's function takes this keyword."""
    return name in inspect.signature(plugin.function).parameters


_SPELLINGS = {
    "ratio_channels_to_ablate": ("ratio",),
    "num_samples": ("copies", "steps"),
    "std": ("sigma",),
    "k": ("sigmas",),
}
