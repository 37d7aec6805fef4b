"""Planted problems with known answers: one family a file; found by listing this folder.

A family is a file with `NAME`, `TIER`, `BIBTEX` and `HELD_OUT` literals and a function `instances(seed)` that returns
problems drawn from that seed. Margins are chosen on the families that are not held out; error rates come from the
others.
"""

from functools import cache
from importlib import import_module

from heatproof.plugins import Plugin, discover, resolve
from heatproof.synthetic._dermoscopy import Lesions, draw

__all__ = ["Lesions", "draw", "families", "family_named", "held_out"]


def families() -> dict[str, Plugin]:
    """Return every family by name, sorted."""
    return dict(_discovered())


def family_named(name: str) -> Plugin:
    """Return the family that `name` means, in any spelling.

    Raises:
        UsageError: there is no such family; the sentence names the nearest.
    """
    return resolve(name, _discovered(), "family")


def held_out(family: Plugin) -> bool:
    """Say whether no margin was chosen on this family."""
    return bool(import_module(family.module).HELD_OUT)


@cache
def _discovered() -> dict[str, Plugin]:
    return discover(__name__, "instances", "heatproof.synthetic")
