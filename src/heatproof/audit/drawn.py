"""Inputs of a run, read again: for a question, for a picture."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from heatproof.audit.entry import Entry
from heatproof.audit.pipeline import Worker
from heatproof.errors import HeatproofError
from heatproof.types import Input


@dataclass(frozen=True, eq=False)
class Drawn:
    """The inputs drawn, read again: rows of the run, entries and originals, in the same order."""

    rows: Sequence[dict[str, Any]]
    entries: Sequence[Entry]
    inputs: Sequence[Input]
    lost: Sequence[str]

    @property
    def clusters(self) -> list[str]:
        """What each belongs to."""
        return [row["id"] if row["cluster"] is None else str(row["cluster"]) for row in self.rows]


def read_again(worker: Worker, rows: Sequence[dict[str, Any]]) -> Drawn:
    """Return the inputs of some rows; those that cannot be read any more are named in `lost`."""
    wanted = {row["id"]: row for row in rows}
    entries = {entry.id: entry for entry in worker.source if entry.id in wanted}
    kept: list[dict[str, Any]] = []
    inputs: list[Input] = []
    lost: list[str] = []
    for row in rows:
        try:
            found, digest = worker.source.read(entries[row["id"]])
        except (HeatproofError, OSError, KeyError) as error:
            lost.append(f"{row['id']} cannot be read any more ({error}).")
            continue
        if digest != row["sha256"]:
            lost.append(f"{row['id']} has other bytes than when it was explained.")
            continue
        inputs.append(replace(found, name=row["id"]))
        kept.append(row)
    return Drawn(kept, [entries[row["id"]] for row in kept], inputs, lost)
