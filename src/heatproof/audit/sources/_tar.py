"""Samples in tar archives: which bytes of the archive each file is, found by its headers alone."""

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from heatproof.audit.sources._names import id_of
from heatproof.audit.sources._places import is_url, open_bytes
from heatproof.errors import InputError

_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d+)\.\.(\d+)")
_BLOCK = 512


@dataclass(frozen=True)
class Member:
    """A file within an archive: `size` bytes from `offset` on."""

    offset: int
    size: int


@dataclass(frozen=True)
class Sample:
    """The files of one name up to its first dot, by what comes after ("jpg", "cls", "mask.png").

    Attributes:
        key: the name, with its folders.
        members: extension, in lower case -> file.
        texts: extension -> content, of those that are asked for.
    """

    key: str
    members: dict[str, Member]
    texts: dict[str, bytes]


def samples(place: str, texts: frozenset[str]) -> Iterator[Sample]:
    """Yield the samples of an archive, holding one at a time.

    Args:
        place: path or URL of an uncompressed tar.
        texts: extensions of the files whose content is wanted.

    Raises:
        InputError: it is no tar, or damaged; what came before was yielded.
    """
    with open_bytes(place) as file:
        current: Sample | None = None
        broken: InputError | None = None
        try:
            for name, member in _members(file, place):
                folder, slash, base = name.rpartition("/")
                stem, dot, extension = base.partition(".")
                if not stem or not dot:
                    continue
                key, extension = folder + slash + stem, extension.lower()
                if current is None or current.key != key:
                    if current is not None:
                        yield current
                    current = Sample(key, {}, {})
                current.members[extension] = member
                if extension in texts:
                    current.texts[extension] = read_member(file, member, f"{key}.{extension}")
        except InputError as error:
            broken = error
        if current is not None:
            yield current
        if broken is not None:
            raise broken


def read_member(file: Any, member: Member, name: str) -> bytes:
    """Return the bytes of a file in an opened archive.

    Raises:
        InputError: the archive ends before.
    """
    file.seek(member.offset)
    data: bytes = file.read(member.size)
    if len(data) < member.size:
        raise InputError(f"{id_of(name)} is cut off: its archive ends after {len(data)} of {member.size} bytes.")
    return data


def shards(pattern: str) -> list[str]:
    """Return the archives that a path, a pattern ("shard-{000..009}.tar", "*.tar") or a folder stands for, sorted.

    Those that braces name are returned whether they exist or not.

    Raises:
        InputError: a pattern matches nothing.
    """
    found: list[str] = []
    for one in _expanded(pattern):
        if is_url(one) or not any(sign in one for sign in "*?["):
            found += _listed(one)
            continue
        path = Path(one).expanduser()
        matches = sorted(str(match) for match in Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        if not matches:
            raise InputError(f"The pattern {one!r} matches nothing; check it.")
        found += matches
    return found


def _listed(one: str) -> list[str]:
    if is_url(one) or not Path(one).is_dir():
        return [one]
    return sorted(str(path) for path in Path(one).glob("*.tar") if not path.name.startswith("."))


def _expanded(pattern: str) -> list[str]:
    """Return what braces stand for: numbers {00..12}, padded as they are, and lists {a,b}."""
    parts = _BRACES.split(pattern)
    choices = [[part] if i % 2 == 0 else _choices(part) for i, part in enumerate(parts)]
    return ["".join(chosen) for chosen in product(*choices)]


def _choices(inside: str) -> list[str]:
    numbers = _RANGE.fullmatch(inside)
    if not numbers:
        return inside.split(",")
    first, last = numbers.groups()
    width = len(first) if first.startswith("0") else 0
    return [str(number).zfill(width) for number in range(int(first), int(last) + 1)]


def _members(file: Any, place: str) -> Iterator[tuple[str, Member]]:
    try:
        archive: Any = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115  the file is the caller's to close
        while (found := archive.next()) is not None:
            archive.members.clear()  # else it would keep every header
            if found.isreg():
                yield found.name, Member(found.offset_data, found.size)
        file.seek(archive.offset)
        rest = file.read(_BLOCK)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise InputError(
            f"{id_of(Path(place).name)} is no intact tar archive ({error}); get an intact copy."
        ) from error
    if rest.strip(b"\0"):  # a header that is none: tarfile takes it for the end
        raise InputError(
            f"{id_of(Path(place).name)} is damaged at byte {archive.offset}, so that the rest of it cannot be read; "
            "get an intact copy."
        )
