"""heatproof: Grad-CAM explanations of vision models, with proof.

The public names are loaded on first use, so that importing the package costs nothing and `--help` stays fast.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from heatproof.audit.run import audit
    from heatproof.checks._quick import quick_checks
    from heatproof.checks._run import check
    from heatproof.errors import HeatproofError, HeatproofWarning
    from heatproof.explain import Explainer, explain
    from heatproof.inputs import read
    from heatproof.models import Model, load
    from heatproof.shortcuts.find import find_shortcuts
    from heatproof.types import Axis, CheckResult, Explanation, Input

__version__ = "0.1.0"

_HOME = {
    "Axis": "heatproof.types",
    "CheckResult": "heatproof.types",
    "Explainer": "heatproof.explain",
    "Explanation": "heatproof.types",
    "HeatproofError": "heatproof.errors",
    "HeatproofWarning": "heatproof.errors",
    "Input": "heatproof.types",
    "Model": "heatproof.models",
    "audit": "heatproof.audit.run",
    "check": "heatproof.checks._run",
    "explain": "heatproof.explain",
    "find_shortcuts": "heatproof.shortcuts.find",
    "load": "heatproof.models",
    "quick_checks": "heatproof.checks._quick",
    "read": "heatproof.inputs",
}

__all__ = [
    "Axis",
    "CheckResult",
    "Explainer",
    "Explanation",
    "HeatproofError",
    "HeatproofWarning",
    "Input",
    "Model",
    "audit",
    "check",
    "explain",
    "find_shortcuts",
    "load",
    "quick_checks",
    "read",
]


def __getattr__(name: str) -> Any:
    """Load a public name on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'heatproof' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])


class _Package(ModuleType):
    """Keeps `heatproof.explain` the function: importing the folder of that name must not put the module there."""

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _HOME and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
