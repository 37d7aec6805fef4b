"""The run folder: what lies where, which shards are whole, and how other parts read it.

A shard is a run of `shard_size` rows of the data. Its maps are moved into the Zarr array first and its folder in
`shards/` last; the folder holds the SHA-256 of all of it. What has no folder, or another sum, is done again.
"""

import hashlib
import json
import secrets
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from heatproof.audit import tables
from heatproof.audit.files import ASIDE, clear_aside, sha256, write_file, write_folder
from heatproof.audit.maps import Maps, attributes_of, open_maps
from heatproof.audit.plan import Plan, difference, read_plan, write_plan
from heatproof.errors import InputError, UsageError

PLAN, MANIFEST, REPORT = "plan.toml", "manifest.json", "report.html"
INPUTS, FAILURES, RESULTS, MAPS = "inputs.parquet", "failures.parquet", "results.parquet", "explanations.zarr"
FORMAT = "heatproof run 1"
_SHARDS, _SUMS, _LOCK, _SALT = "shards", "sums.json", ".lock", ".salt"


@dataclass(frozen=True)
class RunFolder:
    """A run folder.

    Attributes:
        path: of the folder.
        plan: what was fixed before anything ran.
    """

    path: Path
    plan: Plan

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """Return the run in a folder.

        Raises:
            InputError: the folder does not exist or holds no run.
        """
        path = Path(path)
        if not (path / PLAN).is_file():
            why = "has no plan.toml" if path.is_dir() else "does not exist"
            raise InputError(f"{path} is no run folder: it {why}. Make one with: heatproof audit MODEL DATA -o {path}")
        return cls(path, read_plan(path / PLAN))

    @classmethod
    def start(cls, path: str | Path, plan: Plan) -> "RunFolder":
        """Return the run of a plan in a folder: a new one, or the one that was begun there.

        Raises:
            UsageError: the folder holds a run of another plan, or other things.
            InputError: the folder cannot be written.
        """
        path = Path(path)
        if (path / PLAN).exists():
            there = read_plan(path / PLAN)
            told = difference(there, plan)
            if told:
                raise UsageError(
                    f"{path} holds a run of another plan, which is never overwritten: {'; '.join(told)}. "
                    "Give the same arguments to go on with it, or name another folder."
                )
            return cls(path, there)
        if path.exists() and not path.is_dir():
            raise InputError(f"{path} is a file, so no run can be written into it; name a folder.")
        if path.exists() and any(one.name != _LOCK for one in path.iterdir()):
            raise UsageError(f"{path} is not empty and holds no run; name a new folder, or an empty one.")
        with _sentences(path):
            write_plan(path / PLAN, plan)
        return cls(path, plan)

    @contextmanager
    def locked(self) -> Generator[None]:
        """Hold the folder while writing to it; clears what an interrupted writer left.

        Raises:
            UsageError: another process is writing to it.
            InputError: the folder cannot be written, or the disk is full.
        """
        from filelock import FileLock, Timeout

        with _sentences(self.path):
            lock = FileLock(self.path / _LOCK)
            try:
                lock.acquire(timeout=0)
            except Timeout as error:
                raise UsageError(f"Another process is writing to {self.path}; wait for it, or stop it.") from error
            try:
                clear_aside(self.path)
                if not self.salt:
                    # drawn from no seed: it keeps reports from being searched for names, and no result depends on it
                    write_file(self.path / _SALT, secrets.token_hex(16).encode())
                yield
            finally:
                lock.release()

    @property
    def salt(self) -> str:
        """What identifiers are hashed with where a report may not show them; never shown itself."""
        try:
            return (self.path / _SALT).read_text(encoding="ascii")
        except FileNotFoundError:
            return ""

    @property
    def maps(self) -> Maps:
        """The array of maps."""
        plan = self.plan
        shape = (plan.data.entries, len(plan.maps.targets), *plan.maps.grid)
        return Maps(self.path / MAPS, shape, plan.run.shard_size, plan.maps.dtype)

    @property
    def shards(self) -> int:
        """How many shards the run has."""
        return -(-self.plan.data.entries // self.plan.run.shard_size)

    def whole(self, number: int) -> bool:
        """Say whether a shard is there and its bytes are those that were written."""
        folder = self._shard(number)
        try:
            sums: dict[str, str | None] = json.loads((folder / _SUMS).read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return False
        return all(self._sum(folder, number, name) == known for name, known in sums.items()) and len(sums) == 3

    def commit(
        self,
        number: int,
        rows: Sequence[Mapping[str, Any]],
        failures: Sequence[Mapping[str, Any]],
        maps: Float[np.ndarray, "m t *grid"],
    ) -> None:
        """Write one shard.

        Args:
            number: of the shard.
            rows: of its inputs that have a map.
            failures: of those that were left out.
            maps: of all its rows; NaN without a map.
        """
        if number == 0 or not (self.path / MAPS / "zarr.json").exists():
            self._create_maps()
        self.maps.write(number, maps)
        made = {
            INPUTS: tables.encode(rows, self.input_columns),
            FAILURES: tables.encode(failures, tables.FAILURES),
        }
        folder = self._shard(number)
        sums = {MAPS: self._sum(folder, number, MAPS)}
        write_folder(folder, made | {_SUMS: self._sums(sums, made)})

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of INPUTS or FAILURES, shard by shard."""
        for number in range(self.shards):
            yield from tables.rows_of(self._shard(number) / name)

    @property
    def input_columns(self) -> dict[str, str]:
        """The columns of a shard's inputs: those that every run has, and the data's own."""
        return {**tables.INPUTS, **{tables.COLUMN + name: kind for name, kind in self.plan.data.columns.items()}}

    def put(self, name: str, data: bytes) -> None:
        """Write one of the run's other files."""
        write_file(self.path / name, data)

    def manifest(self) -> dict[str, Any]:
        """Return the manifest of a finished run.

        Raises:
            InputError: the run is not finished.
        """
        try:
            found: dict[str, Any] = json.loads((self.path / MANIFEST).read_bytes())
        except FileNotFoundError as error:
            raise InputError(f"The run in {self.path} is not finished; run the same command again.") from error
        except ValueError as error:
            raise InputError(f"{self.path / MANIFEST} is spoiled ({error}); run the same command again.") from error
        return found

    def _create_maps(self) -> None:
        if (self.path / MAPS / "maps" / "zarr.json").exists() and (self.path / MAPS / "zarr.json").exists():
            return
        plan = self.plan.maps
        self.maps.create(
            {
                "method": plan.method, "layer": plan.layer, "units": plan.units, "targets": list(plan.targets),
                "spacing": list(plan.spacing), "input_size": list(plan.input_size),
                "receptive_field": None if plan.receptive_field is None else list(plan.receptive_field),
            }
        )  # fmt: skip

    def _shard(self, number: int) -> Path:
        return self.path / _SHARDS / f"{number:06d}"

    def _sum(self, folder: Path, number: int, name: str) -> str | None:
        path = self.maps.file(number) if name == MAPS else folder / name
        return sha256(path) if path.is_file() else None

    def _sums(self, known: Mapping[str, str | None], made: Mapping[str, bytes]) -> bytes:
        return json.dumps({**known, **{name: hashlib.sha256(data).hexdigest() for name, data in made.items()}}).encode()


def read_inputs(run: str | Path, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield the rows of a finished run's inputs.parquet."""
    return tables.rows_of(Path(run) / INPUTS, columns)


def read_failures(run: str | Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a finished run's failures.parquet."""
    return tables.rows_of(Path(run) / FAILURES)


def read_maps(run: str | Path) -> tuple[Any, dict[str, Any]]:
    """Return a run's maps (inputs, targets, *grid), to be sliced like an array of numpy's, and their attributes.

    The row of an input is its `map_row` in inputs.parquet; the first target is the predicted class.
    """
    group = Path(run) / MAPS
    return open_maps(group), attributes_of(group)


@contextmanager
def _sentences(path: Path) -> Generator[None]:
    """Let the operating system's errors become sentences."""
    try:
        yield
    except OSError as error:
        full = error.errno in (28, 122)  # ENOSPC, EDQUOT
        mend = "make room and run the same command again; what is done is kept" if full else "name one that can be"
        raise InputError(f"{path} cannot be written ({error.strerror or error}); {mend}.") from error


__all__ = [
    "ASIDE", "FAILURES", "FORMAT", "INPUTS", "MANIFEST", "MAPS", "PLAN", "REPORT", "RESULTS",
    "RunFolder", "read_failures", "read_inputs", "read_maps",
]  # fmt: skip
