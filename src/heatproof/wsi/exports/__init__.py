"""Files that the programs of pathology open: one format a file, found by listing this folder.

A format is a file with `NAME` and `TIER` literals and a function `export(found, regions, folder)` that writes into the
folder and returns the paths it made.
"""

from functools import cache

from heatproof.plugins import Plugin, discover, resolve

DEFAULT = ("ometiff", "geojson")
"""What is written unless asked otherwise: the OME-Zarr pyramid is always there, being the map itself."""


def formats() -> dict[str, Plugin]:
    """Return every format by name, sorted."""
    return dict(_discovered())


def chosen(names: list[str]) -> list[Plugin]:
    """Return the formats of these names, in any spelling; "all" for every one, "none" for none.

    Raises:
        UsageError: there is no such format.
    """
    if names == ["none"]:
        return []
    if names == ["all"]:
        return list(_discovered().values())
    return [resolve(name, _discovered(), "export format") for name in names or DEFAULT]


@cache
def _discovered() -> dict[str, Plugin]:
    return discover(__name__, "export", "heatproof.wsi.exports")
