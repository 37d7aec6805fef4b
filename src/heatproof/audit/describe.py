"""What a data set was taken for: shown before anything runs, so that a wrong guess is seen."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from heatproof.audit.entry import Cell, Source

MOST_CLASSES = 10_000
"""Classes that are counted; a data set with more has another column for its label."""
_LEFT_OUT = 5


@dataclass(frozen=True)
class Description:
    """What was found in a data set, as plain values.

    Attributes:
        kind: name of the plug-in that opened it.
        data: what the user named.
        roles: role -> column, of those that were found or told ("label" -> "diagnosis").
        columns: names of the other columns.
        n: entries in it.
        labelled: entries with a label.
        annotated: entries with something that an expert marked.
        clusters: number of different clusters; 0 without.
        classes: label -> entries with it, as the data has them, the most frequent first.
        labels: names of the classes by index, where the data says so.
        rows: the first entries: id, label, cluster, whether annotated, and the columns.
        left_out: number of files that are no inputs.
        left_out_first: (path, reason) of the first of them.
    """

    kind: str
    data: str
    roles: Mapping[str, str]
    columns: tuple[str, ...]
    n: int
    labelled: int
    annotated: int
    clusters: int
    classes: Mapping[str, int]
    labels: tuple[str, ...] | None
    rows: tuple[Mapping[str, Cell], ...]
    left_out: int = 0
    left_out_first: tuple[tuple[str, str], ...] = ()

    def document(self) -> dict[str, Any]:
        """Return it as JSON takes it."""
        return asdict(self)


def describe(source: Source, rows: int = 5) -> Description:
    """Go through a data set's entries once, without reading an input, and say what was found.

    Args:
        source: the data set.
        rows: entries that are shown.
    """
    first: list[Mapping[str, Cell]] = []
    classes: dict[str, int] = {}
    clusters: set[bytes] = set()
    n = labelled = annotated = 0
    for entry in source:
        n += 1
        labelled += entry.label is not None
        annotated += entry.annotation is not None
        if entry.label is not None and (len(classes) < MOST_CLASSES or str(entry.label) in classes):
            classes[str(entry.label)] = classes.get(str(entry.label), 0) + 1
        if entry.cluster is not None:
            clusters.add(hashlib.blake2b(entry.cluster.encode(errors="replace"), digest_size=8).digest())
        if len(first) < rows:
            shown: dict[str, Cell] = {"id": entry.id, "label": entry.label, "cluster": entry.cluster}
            first.append({**shown, "annotated": entry.annotation is not None, **entry.columns})
    left_out = getattr(source, "left_out", None)
    count, shown_out = 0, list[tuple[str, str]]()
    for one in left_out() if left_out else ():
        count += 1
        if len(shown_out) < _LEFT_OUT:
            shown_out.append(one)
    return Description(
        kind=source.kind,
        data=source.data,
        roles={role: value for role, value in asdict(source.roles).items() if value},
        columns=source.columns,
        n=n,
        labelled=labelled,
        annotated=annotated,
        clusters=len(clusters),
        classes=dict(sorted(classes.items(), key=lambda item: (-item[1], item[0]))),
        labels=source.labels,
        rows=tuple(first),
        left_out=count,
        left_out_first=tuple(shown_out),
    )
