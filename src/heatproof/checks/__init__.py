"""Checks: each file asks one question of a map or a model; found by listing this folder."""

from functools import cache

from heatproof.plugins import Plugin, discover, resolve

__all__ = ["check_named", "checks"]


def checks() -> dict[str, Plugin]:
    """Return every check by name, sorted, without importing any."""
    return dict(_discovered())


def check_named(name: str) -> Plugin:
    """Return the check that `name` means, in any spelling.

    Raises:
        UsageError: there is no such check; the sentence names the nearest.
    """
    return resolve(name, _discovered(), "check")


@cache
def _discovered() -> dict[str, Plugin]:
    return discover(__name__, "check", "heatproof.checks")
