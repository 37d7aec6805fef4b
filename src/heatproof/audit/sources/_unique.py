"""Identifiers that occur once each, without holding all of them in memory."""

import hashlib
import re
from array import array
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from heatproof.audit.entry import Entry

_NUMBERED = re.compile(r"#\d+$")


class Unique:
    """Entries whose second, third, ... of one id is called "id#2", "id#3", ...

    A first pass over the entries keeps eight bytes of each id and finds which occur twice; only those are remembered.

    Args:
        entries: gives the entries, the same each time.
    """

    def __init__(self, entries: Callable[[], Iterator[Entry]]) -> None:
        self._entries = entries
        self._found: tuple[frozenset[int], frozenset[str]] | None = None

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries, each with an id of its own."""
        if self._found is None:
            self._found = self._survey()
        several, taken = self._found
        counts: dict[str, int] = {}
        for entry in self._entries():
            if several and _short(entry.id) in several:
                entry = replace(entry, id=_next(entry.id, counts, taken))
            yield entry

    def _survey(self) -> tuple[frozenset[int], frozenset[str]]:
        """Return the short hashes that occur more than once, and the ids that look as if they were numbered."""
        hashes = array("Q")
        numbered: set[str] = set()
        for entry in self._entries():
            hashes.append(_short(entry.id))
            if _NUMBERED.search(entry.id):
                numbered.add(entry.id)
        ordered = np.sort(np.frombuffer(hashes, dtype=np.uint64))
        several = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        return frozenset(several.tolist()), frozenset(numbered) if len(several) else frozenset()


def _short(identifier: str) -> int:
    return int.from_bytes(hashlib.blake2b(identifier.encode(), digest_size=8).digest(), "big")


def _next(identifier: str, counts: dict[str, int], taken: frozenset[str]) -> str:
    count = counts.get(identifier, 0) + 1
    while count > 1 and f"{identifier}#{count}" in taken:  # the data's own name
        count += 1
    counts[identifier] = count
    return identifier if count == 1 else f"{identifier}#{count}"
