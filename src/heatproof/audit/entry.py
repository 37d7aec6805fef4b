"""One row of a data set before anything of it was read, and the source that it comes from."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from heatproof.types import Input

Cell = str | int | float | bool | None
"""What a column of a table may hold."""


@dataclass(frozen=True)
class Entry:
    """One row of a data set, before anything of it was read.

    Attributes:
        id: names the entry, the same on every machine: a path relative to the data, a row's own id, a key in a shard.
        location: where its source finds it: a path, a URL, "shard.tar::key", a row's number. Never shown in reports.
        label: the true class, by name or index as the data has it; None where it is not known.
        annotation: where its source finds what an expert marked; None without.
        cluster: what it belongs to (a patient); None: to nothing but itself.
        columns: what else is known of it, by name: site, scanner, has_ruler.
    """

    id: str
    location: str
    label: str | int | None = None
    annotation: str | None = None
    cluster: str | None = None
    columns: Mapping[str, Cell] = field(default_factory=dict[str, Cell])


@dataclass(frozen=True)
class Roles:
    """Which columns of a data set mean what. None: found by their names, and shown.

    Attributes:
        path: column with the path or URL of each input.
        label: column with the true class; of a folder, "parent" is the name of the folder that an input lies in.
        annotation: column with masks or boxes, or a file or folder with annotations beside the data.
        cluster: column that says what belongs together, such as patient_id.
        split: column that says which split each row belongs to; with `only`, rows of other splits are left out.
        only: value of `split` that is wanted.
    """

    path: str | None = None
    label: str | None = None
    annotation: str | None = None
    cluster: str | None = None
    split: str | None = None
    only: str | None = None


@runtime_checkable
class Source(Protocol):
    """Where entries come from. Iterating never reads an input, and gives the same entries in the same order each time.

    Attributes:
        kind: name of the plug-in that opened it ("folder", "table").
        data: what the user named.
        roles: which columns mean what, as found or as told.
        columns: names of all columns that entries have.
        labels: names of the classes by index, where the data says so (COCO, Hugging Face); else None.
    """

    kind: str
    data: str
    roles: Roles
    columns: tuple[str, ...]
    labels: tuple[str, ...] | None

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries, one at a time, in an order that never changes; memory does not grow with their number."""
        ...

    def read(self, entry: Entry) -> tuple[Input, str]:
        """Return an entry's input and the SHA-256 of its bytes; safe to call from several threads.

        Raises:
            InputError: it cannot be read; the sentence says why.
        """
        ...

    def annotation(self, entry: Entry) -> Any:
        """Return what an expert marked, as `heatproof.check` takes it: a mask, {"boxes": ...}, {"points": ...} or None.

        Raises:
            InputError: it cannot be read.
        """
        ...

    def fingerprint(self) -> str:
        """Return a SHA-256 that changes when entries are added, removed, renamed or labelled anew."""
        ...
