"""The files below a folder, one at a time, in an order that never changes, with memory that does not grow."""

import heapq
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from heatproof.inputs.contents import HEAD, suffix_of
from heatproof.inputs.sources import format_of

BLOCK = 20_000
"""Names of one folder that are held at once; a larger folder is listed several times."""

_SIDE_FILES = frozenset({"thumbs.db", "desktop.ini"})
_TABLES = (".csv", ".tsv")
_PEEK = 4096
_FOLDER, _LINK = 1, 2
_CELLS = re.compile(r"[,;\t]")

Kind = Literal["input", "side file", "unreadable folder", "loop"]


@dataclass(frozen=True)
class Found:
    """Something below a folder.

    Attributes:
        path: relative to the folder, with "/"; as the file system has it, also where that is not UTF-8.
        kind: an input; a file that is none; a folder that may not be listed; a link to a folder that is listed anyway.
        size: bytes of a file; -1 where they cannot be told.
    """

    path: str
    kind: Kind
    size: int = -1


def walk(root: str, leave_out: frozenset[str] = frozenset()) -> Iterator[Found]:
    """Yield what lies below a folder, sorted by the bytes of the names; hidden files and folders are skipped.

    Links are followed, but not to a folder that is listed without them: each input comes once, and loops end.

    Args:
        root: the folder.
        leave_out: relative paths of folders and files that belong to the data, but hold no inputs.
    """
    yield from _below(root, "", os.path.realpath(root), frozenset(), leave_out)


def _below(root: str, inside: str, real: str, linked: frozenset[str], leave_out: frozenset[str]) -> Iterator[Found]:
    for name, is_folder, is_link in _listed(f"{root}/{inside}"):
        path = f"{inside}/{name}" if inside else name
        if path in leave_out:
            continue
        if name == "":
            yield Found(inside, "unreadable folder")
        elif not is_folder:
            yield _file(root, path)
        elif not is_link:
            yield from _below(root, path, real, linked, leave_out)
        else:
            target = os.path.realpath(f"{root}/{path}")
            if _within(target, real) or any(_within(target, one) or _within(one, target) for one in linked):
                yield Found(path, "loop")
            else:
                yield from _below(root, path, real, linked | {target}, leave_out)


def _listed(folder: str) -> Iterator[tuple[str, bool, bool]]:
    """Yield (name, is a folder, is a link) sorted by the bytes of the name; a name "" says that it cannot be listed."""
    last = b""
    while True:
        try:
            with os.scandir(folder) as entries:
                named = (_packed(entry) for entry in entries if not entry.name.startswith("."))
                block = heapq.nsmallest(BLOCK, (one for one in named if one > last))
        except OSError:
            yield "", False, False
            return
        for one in block:
            yield os.fsdecode(one[:-2]), bool(one[-1] & _FOLDER), bool(one[-1] & _LINK)
        if len(block) < BLOCK:
            return
        last = block[-1]


def _packed(entry: os.DirEntry[str]) -> bytes:
    """Return the name, a zero, which no name holds and no byte is less than, and what it is: a tuple takes more."""
    return os.fsencode(entry.name) + bytes((0, _FOLDER * _is_folder(entry) | _LINK * entry.is_symlink()))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _file(root: str, path: str) -> Found:
    whole = Path(root, path)
    name = path.rpartition("/")[2]
    known = format_of(name)
    try:
        size = whole.stat().st_size
        if name.lower() in _SIDE_FILES or not whole.is_file():
            return Found(path, "side file", size)
        if known is None or name.lower().endswith(_TABLES):
            with whole.open("rb") as file:
                head = file.read(_PEEK if known else HEAD)
            is_input = suffix_of(head) is not None or (known is not None and not _has_words(head))
            return Found(path, "input" if is_input else "side file", size)
    except OSError:
        return Found(path, "input" if known else "side file")
    return Found(path, "input", size)


def _has_words(head: bytes) -> bool:
    """Return whether a table's first rows, but for the heading, hold words: then it is no signal, but about others."""
    lines = [line for line in head.decode("utf-8", "replace").splitlines() if line.strip() and line[0] != "#"]
    whole = lines[1:-1] if len(lines) > 2 else lines[1:]  # the last line may be cut
    return any(_is_word(cell) for line in whole for cell in _CELLS.split(line))


def _is_word(cell: str) -> bool:
    try:
        float(cell or 0)
    except ValueError:
        return True
    return False


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
