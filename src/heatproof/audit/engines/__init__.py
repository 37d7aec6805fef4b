"""Where the shards of a run are explained: one engine a file, found by listing this folder.

An engine is a file with `NAME`, `ALIASES`, `TIER` and `BIBTEX` literals and one function,
`run_shards(worker, folder, tally, **options) -> bool`, that does all shards that are not whole and returns whether all
are. The same plan gives the same rows and maps under each.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from heatproof.plugins import Plugin, discover, resolve

__all__ = ["engine_named", "engines"]


def engines() -> dict[str, Plugin]:
    """Return every engine by name, sorted."""
    return dict(_discovered())


def engine_named(name: str) -> Callable[..., Any]:
    """Return an engine's function.

    Raises:
        UsageError: there is no such engine; the sentence names the nearest.
    """
    return resolve(name, _discovered(), "engine").function


@cache
def _discovered() -> dict[str, Plugin]:
    return discover(__name__, "run_shards", "heatproof.engines")
