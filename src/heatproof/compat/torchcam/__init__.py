"""torchcam's extractors over this engine: `from heatproof.compat.torchcam.methods import GradCAM`."""

from importlib import import_module
from types import ModuleType

_MODULES = ("explain", "methods", "metrics", "utils")


def __getattr__(name: str) -> ModuleType:
    """Load a submodule on first use, as torchcam does (PEP 562)."""
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
