"""Simulated physics with known answers: each with a right network and a wrong twin.

Each file here draws inputs (`draw`), says what is true of them (masks, answers, laws, known fields), and how its two
networks are learned. `heatproof physics --example NAME` tells its story.
"""

from importlib import import_module
from types import ModuleType

from heatproof.errors import UsageError, nearest

SYSTEMS = ("spectra", "ising", "vortex", "shocks", "rhythm")


def system(name: str) -> ModuleType:
    """Return the system's module.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in SYSTEMS:
        close = nearest(name, SYSTEMS, 1) or f"; choose one of {', '.join(SYSTEMS)}."
        raise UsageError(f"There is no example {name!r}{close}")
    return import_module(f"{__name__}.{name}")
