"""The maps of a run: a Zarr v3 array (inputs, targets, *grid), one shard file for each shard of the run."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from heatproof.audit.files import ASIDE, move_file
from heatproof.errors import InputError, MissingExtraError

NAME = "maps"
AXES = {1: ("x",), 2: ("y", "x"), 3: ("z", "y", "x")}
_INNER = 64
"""Most inputs in one chunk of a shard: what is read at least to see one map."""


@dataclass(frozen=True)
class Maps:
    """The array of a run's maps on disk.

    Attributes:
        path: of the Zarr group.
        shape: (inputs, targets, *grid).
        shard: inputs in a shard.
        dtype: "float32" or "float16".
    """

    path: Path
    shape: tuple[int, ...]
    shard: int
    dtype: str

    def create(self, attributes: dict[str, Any]) -> None:
        """Write the array's description; its shards come one by one."""
        _create(self, self.path, attributes)

    def write(self, number: int, rows: Float[np.ndarray, "m t *grid"]) -> Path:
        """Write one shard; rows of inputs without a map are NaN. Return its file, which is there as a whole or not."""
        aside = self.path.parent / f"shard-{number}{ASIDE}"
        shutil.rmtree(aside, ignore_errors=True)
        array = _create(self, aside, {})
        begin = number * self.shard
        array[begin : begin + len(rows)] = rows
        made, path = self._file(aside, number), self.file(number)
        if made.exists():
            move_file(made, path)
        else:  # Zarr writes no shard in which all is NaN
            path.unlink(missing_ok=True)
        shutil.rmtree(aside)
        return path

    def read(self) -> Any:
        """Return the array, to be sliced like one of numpy's; inputs without a map are NaN.

        Raises:
            InputError: it is not there.
        """
        return open_maps(self.path)

    def file(self, number: int) -> Path:
        """Return where a shard lies."""
        return self._file(self.path, number)

    def _file(self, group: Path, number: int) -> Path:
        return group.joinpath(NAME, "c", str(number), *["0"] * (len(self.shape) - 1))


def open_maps(group: Path) -> Any:
    """Return the array of maps in a Zarr group.

    Raises:
        InputError: there is none.
    """
    try:
        return _zarr().open_group(store=str(group), mode="r")[NAME]
    except (FileNotFoundError, KeyError) as error:
        raise InputError(f"{group} holds no maps; run the audit that makes them again.") from error


def attributes_of(group: Path) -> dict[str, Any]:
    """Return what the array says of itself."""
    return json.loads((group / NAME / "zarr.json").read_text(encoding="utf-8"))["attributes"]


def _create(maps: Maps, path: Path, attributes: dict[str, Any]) -> Any:
    zarr = _zarr()
    rest = maps.shape[1:]
    inner = next(k for k in range(min(_INNER, maps.shard), 0, -1) if maps.shard % k == 0)
    group = zarr.open_group(store=str(path), mode="w")
    return group.create_array(
        NAME,
        shape=maps.shape,
        chunks=(inner, *rest),
        shards=(maps.shard, *rest),
        dtype=maps.dtype,
        fill_value=float("nan"),
        dimension_names=("input", "target", *AXES[len(rest) - 1]),
        attributes=attributes,
    )


def bytes_of(shape: Sequence[int], dtype: str) -> int:
    """Return the size of maps before compression."""
    return prod(shape) * np.dtype(dtype).itemsize


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as error:
        raise MissingExtraError("zarr", "audit") from error
    return zarr
