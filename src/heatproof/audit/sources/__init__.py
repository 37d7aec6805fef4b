"""Kinds of data set: one a file, found by listing this folder.

A source is a file with `NAME`, `ALIASES`, `TIER` and `BIBTEX` literals and one function, `open_source(data, roles)`,
that returns a `Source`, or None where the data is not of its kind.
"""

from functools import cache

from heatproof.audit.entry import Roles, Source
from heatproof.audit.sources._places import exists, is_pattern, is_url, missing
from heatproof.errors import InputError
from heatproof.plugins import Plugin, discover, resolve

__all__ = ["open_source", "sources"]


def sources() -> dict[str, Plugin]:
    """Return every kind of source by name, sorted."""
    return dict(_discovered())


def open_source(data: str, roles: Roles | None = None, kind: str | None = None) -> Source:
    """Return the source of a data set, of the kind told or of the first that knows it.

    Args:
        data: a path, or a URL that fsspec knows.
        roles: which columns mean what; None finds them by their names.
        kind: name of a kind; None asks each.

    Raises:
        InputError: there is nothing there, or no kind of source knows it.
        UsageError: there is no such kind or column.
    """
    roles = roles or Roles()
    if not is_url(data) and not is_pattern(data) and not exists(data):
        raise InputError(missing(data))
    plugins = [resolve(kind, _discovered(), "source")] if kind else list(_discovered().values())
    for plugin in plugins:
        found: Source | None = plugin.function(data, roles)
        if found is not None:
            return found
    known = ", ".join(plugin.title for plugin in plugins)
    raise InputError(
        f"{data} is no data set of a kind that is known ({known}); name its kind, or write a CSV manifest."
    )


@cache
def _discovered() -> dict[str, Plugin]:
    return discover(__name__, "open_source", "heatproof.sources")
