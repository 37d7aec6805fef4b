"""WebDataset shards: tar archives in which the files of one sample share a name: 17.jpg, 17.cls, 17.json, 17.mask.png.

Named by one archive, a folder of them, or a pattern: "shard-{000..009}.tar", "shards/*.tar". The label is in .cls (or
a key of .json); what .json says further are columns. Archives are never unpacked, only their headers are read to list
them; a compressed one cannot be read so.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from heatproof.audit.entry import Cell, Entry, Roles
from heatproof.audit.sources._annotation import read_annotation, read_mask_bytes, shapes_text
from heatproof.audit.sources._fingerprint import fingerprint_of_entries
from heatproof.audit.sources._names import id_of
from heatproof.audit.sources._places import is_url, open_bytes, read_bytes
from heatproof.audit.sources._roles import find_roles
from heatproof.audit.sources._tar import Member, Sample, read_member, samples, shards
from heatproof.audit.sources._unique import Unique
from heatproof.errors import InputError
from heatproof.inputs.sources import format_of
from heatproof.types import Input

NAME = "WebDataset"
ALIASES = ("wds", "tar")
TIER = "core"
BIBTEX = ""

_COMPRESSED = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")
_CLASS = ("cls", "label", "class", "cls.txt")
_TEXTS = frozenset({*_CLASS, "json"})
_MARKS = ("mask", "seg", "segmentation", "annotation", "annotations", "boxes", "points")
_FIRST = 64
"""Samples that are looked at for what the shards hold."""
_BROKEN = "!"


def open_source(data: str, roles: Roles) -> "ShardSource | None":
    """Return the samples of tar archives; None for what is none.

    Raises:
        InputError: an archive is compressed, a pattern matches nothing, or no sample holds an input.
        UsageError: a role names what no sample has.
    """
    name = data.partition("?")[0].lower()
    if name.endswith(_COMPRESSED):
        raise InputError(
            f"{data} is compressed, so that a picture in it cannot be read without all before it; unpack it to .tar."
        )
    if not name.endswith(".tar") and not (not is_url(data) and Path(data).is_dir()):
        return None
    found = shards(data)
    return ShardSource(data, roles, tuple(found)) if found else None


@dataclass
class ShardSource:
    """The samples of tar archives.

    Args:
        data: what the user named.
        roles: `path` is the extension of the inputs, `label` and `annotation` an extension or a key of .json; cluster
            and split are keys of .json.
        shards: paths or URLs.
    """

    data: str
    roles: Roles
    shards: tuple[str, ...]
    kind: str = "webdataset"
    columns: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None
    _unique: Unique = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Look at the first samples for extensions, and for the keys of .json."""
        extensions: dict[str, None] = {}
        keys: dict[str, None] = {}
        for sample in self._first():
            extensions.update(dict.fromkeys(sample.members))
            keys.update(dict.fromkeys(_table(sample) or ()))
        told = self.roles
        path = told.path or next((one for one in extensions if _is_input(one)), None)
        if path is None:
            raise InputError(
                f"The samples of {self.data} hold {', '.join(extensions) or 'nothing'}, none of which is a picture or "
                "array; say which with path=."
            )
        names = (*extensions, *keys)
        marks = told.annotation if told.annotation is not None else _marks(extensions)
        label = told.label if told.label is not None else next((one for one in _CLASS if one in extensions), None)
        found = find_roles(names, replace(told, path=path, annotation=marks, label=label), self.data)
        self.roles = found
        used = {found.label, found.annotation, found.cluster}
        self.columns = tuple(key for key in keys if key not in used)
        self._unique = Unique(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """Yield the samples, shard after shard; where a shard cannot be read on is an entry that fails."""
        return iter(self._unique)

    def read(self, entry: Entry) -> tuple[Input, str]:
        """Return a sample's input and the SHA-256 of its bytes.

        Raises:
            InputError: it cannot be read; the sentence says why.
        """
        data, extension = self._bytes(entry.location, entry.id)
        return read_bytes(data, entry.id, f"input.{extension}")

    def annotation(self, entry: Entry) -> Any:
        """Return what an expert marked: a mask, {"boxes": ...}, {"points": ...} or None.

        Raises:
            InputError: it cannot be read.
        """
        text = entry.annotation
        if text is not None and not text.startswith("{"):
            data, extension = self._bytes(text, entry.id)
            if extension.rpartition(".")[2] not in ("json", "geojson"):
                return read_mask_bytes(data, entry.id, extension)
            text = shapes_text(data.decode(errors="replace"), extension)
        return read_annotation(text, entry.id, entry.label, lambda: self.read(entry)[0].size)

    def fingerprint(self) -> str:
        """Return a SHA-256 of all keys, labels, columns and places within the shards."""
        places = (entry.location.rpartition("::")[2] for entry in self)
        return fingerprint_of_entries(self, places)

    def _first(self) -> Iterator[Sample]:
        for shard in self.shards:
            try:
                yield from (sample for _, sample in zip(range(_FIRST), samples(shard, _TEXTS), strict=False))
                return
            except InputError:
                if shard == self.shards[-1]:
                    raise

    def _entries(self) -> Iterator[Entry]:
        for shard in self.shards:
            name = Path(shard.partition("?")[0]).name.removesuffix(".tar")
            try:
                for sample in samples(shard, _TEXTS):
                    if self.roles.path in sample.members and self._wanted(sample):
                        yield self._entry(sample, shard, name)
            except InputError:  # read() says it again
                yield Entry(
                    id=id_of(f"{name}.tar"), location=f"{shard}::{_BROKEN}", columns=dict.fromkeys(self.columns)
                )

    def _wanted(self, sample: Sample) -> bool:
        split, only = self.roles.split, self.roles.only
        return split is None or only is None or str((_table(sample) or {}).get(split)) == only

    def _entry(self, sample: Sample, shard: str, name: str) -> Entry:
        roles, table = self.roles, _table(sample)
        broken = "json" in sample.texts and table is None
        table = table or {}
        path, marks = roles.path or "", roles.annotation or ""
        cluster = table.get(roles.cluster or "")
        annotation = shapes_text(table.get(marks), marks)
        if marks in sample.members:
            annotation = _place(shard, marks, sample.members[marks])
        return Entry(
            id=id_of(f"{name}/{sample.key}"),
            location=f"{shard}::{_BROKEN}json" if broken else _place(shard, path, sample.members[path]),
            label=_label(sample, table, roles.label),
            annotation=annotation,
            cluster=None if cluster is None else str(cluster),
            columns={column: _cell(table.get(column)) for column in self.columns},
        )

    def _bytes(self, place: str, name: str) -> tuple[bytes, str]:
        """Return the bytes of a file in a shard, and its extension."""
        shard, _, where = place.rpartition("::")
        if where == _BROKEN:
            for _ in samples(shard, frozenset()):
                pass
            raise InputError(f"{name} could not be read when it was listed, but can be now; run again.")
        if where.startswith(_BROKEN):
            raise InputError(f"The .json of {name} is no JSON object; mend it.")
        extension, _, span = where.rpartition("@")
        offset, _, size = span.partition("+")
        with open_bytes(shard, name) as file:
            return read_member(file, Member(int(offset), int(size)), name), extension


def _place(shard: str, extension: str, member: Member) -> str:
    return f"{shard}::{extension}@{member.offset}+{member.size}"


def _is_input(extension: str) -> bool:
    return not _is_mark(extension) and extension not in _TEXTS and format_of(f"x.{extension}") is not None


def _is_mark(extension: str) -> bool:
    return extension.partition(".")[0] in _MARKS


def _marks(extensions: Mapping[str, None]) -> str | None:
    return next((one for one in extensions if _is_mark(one)), None)


def _table(sample: Sample) -> Mapping[str, Any] | None:
    """Return what a sample's .json says; None where it is broken or no object."""
    try:
        told: Any = json.loads(sample.texts.get("json", b"{}"))
    except ValueError:
        return None
    return told if isinstance(told, dict) else None


def _label(sample: Sample, table: Mapping[str, Any], role: str | None) -> str | int | None:
    text = sample.texts.get(role or "")
    value: Any = text.decode(errors="replace").strip() if text is not None else table.get(role or "")
    if isinstance(value, str):
        return int(value) if value.isdecimal() else id_of(value) or None
    return value if value is None or isinstance(value, int) else str(value)


def _cell(value: Any) -> Cell:
    return value if value is None or isinstance(value, bool | int | float | str) else json.dumps(value)
