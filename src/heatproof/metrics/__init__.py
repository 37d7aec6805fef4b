"""Pure functions on maps and scores: batched, no model; one file a question; found by listing this folder.

Each file declares its metrics in `METRICS`: paper, range, direction and chance level. Maps are (n, t, *grid), results
(n, t) in float64 on the maps' device. NaN means that the metric is undefined for this map (or mask), never zero.
"""

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from heatproof.errors import MethodError, nearest
from heatproof.plugins import plugin_names

if TYPE_CHECKING:
    from heatproof.metrics._record import Metric

__all__ = ["metric", "metrics"]


@cache
def _declared() -> "dict[str, Metric]":
    found: list[Metric] = []
    for question in plugin_names(__name__):
        found += getattr(import_module(f"{__name__}.{question}"), "METRICS", ())
    return {each.name: each for each in sorted(found, key=lambda each: each.name)}


def metrics() -> "dict[str, Metric]":
    """Return every metric by name, sorted."""
    return dict(_declared())


def metric(name: str) -> "Metric":
    """Return the metric of that name.

    Raises:
        MethodError: there is none; the sentence names the nearest.
    """
    if name not in _declared():
        raise MethodError(f"there is no metric {name!r}{nearest(name, _declared())}.")
    return _declared()[name]
