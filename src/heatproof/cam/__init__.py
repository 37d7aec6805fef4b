"""CAM methods: each file turns a capture into a signed map on the layer's grid; found by listing this folder."""

from functools import cache

from heatproof.errors import MethodError
from heatproof.plugins import Plugin, discover, resolve

__all__ = ["method", "methods"]


def methods() -> dict[str, Plugin]:
    """Return every CAM method by name, sorted, without importing any."""
    return dict(_discovered())


def method(name: str) -> Plugin:
    """Return the CAM method that `name` means, in any spelling, the peers' included ("GradCAM", "grad-cam++").

    Raises:
        MethodError: there is no such method; the sentence names the nearest.
    """
    return resolve(name, _discovered(), "CAM method", MethodError)


@cache
def _discovered() -> dict[str, Plugin]:
    return discover(__name__, "cam", "heatproof.cam")
