"""Cues of the whole input: one a file, found by listing this folder.

A cue is told inputs (n, c, *spatial) with 0 and 1 as the ends of their valid range. It is a file with `NAME`, `TIER`
and `BIBTEX` literals and two functions: `measure(inputs, weights) -> (n, k)` says how much of it each input has,
counted where the weights (n, 1, *spatial) are 1, or None where it does not apply; and `shift(inputs, delta (k,)) ->
inputs` changes it by that much.
"""

from functools import cache

from heatproof.plugins import Plugin, discover, resolve

__all__ = ["cue_named", "cues"]


def cues() -> dict[str, Plugin]:
    """Return every cue by name, sorted."""
    return dict(_discovered())


def cue_named(name: str) -> Plugin:
    """Return the cue that `name` means, in any spelling.

    Raises:
        UsageError: there is no such cue; the sentence names the nearest.
    """
    return resolve(name, _discovered(), "cue")


@cache
def _discovered() -> dict[str, Plugin]:
    return discover(__name__, "measure", "heatproof.cues")
