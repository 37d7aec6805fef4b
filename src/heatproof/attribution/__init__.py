"""Attributions: each file turns a subject into a signed map over the input; found by listing this folder."""

from functools import cache

from heatproof.errors import MethodError
from heatproof.plugins import Plugin, discover, resolve

__all__ = ["method", "methods"]


def methods() -> dict[str, Plugin]:
    """Return every attribution by name, sorted, without importing any."""
    return dict(_discovered())


def method(name: str) -> Plugin:
    """Return the attribution that `name` means, in any spelling, the peers' included ("Saliency", "GuidedBackprop").

    Raises:
        MethodError: there is no such method; the sentence names the nearest.
    """
    return resolve(name, _discovered(), "attribution", MethodError)


@cache
def _discovered() -> dict[str, Plugin]:
    return discover(__name__, "attribute", "heatproof.attribution")
