"""The map of a whole slide on disk: an OME-Zarr pyramid, written and read part by part; NaN where nothing was seen."""

from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import zarr
import zarr.codecs
from jaxtyping import Bool, Float

CHUNK = 256
"""Positions per side of a part that is held in memory."""
_COARSEST = 256  # the pyramid ends when the whole is no larger than this


class Canvas:
    """A float32 array (rows, columns) and coarser copies of it, each position the mean of four that were seen.

    Attributes:
        path: the folder, an OME-Zarr image (NGFF 0.5).
        microns: distance between positions of the finest level.
    """

    def __init__(self, path: Path, microns: float) -> None:
        self.path, self.microns = path, microns
        self._group: Any = zarr.open_group(path, mode="a")

    @classmethod
    def create(cls, path: Path, shape: tuple[int, int], microns: float, chunk: int) -> "Canvas":
        """Make an empty canvas, or open the one that is there."""
        canvas = cls(path, microns)
        if "0" not in canvas._group:
            canvas._add(0, shape, chunk)
        return canvas

    def _add(self, level: int, shape: tuple[int, int], chunk: int) -> Any:
        return self._group.create_array(
            str(level),
            shape=shape,
            chunks=(min(chunk, shape[0]), min(chunk, shape[1])),
            dtype="float32",
            fill_value=float("nan"),
            compressors=zarr.codecs.BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle"),
            dimension_names=("y", "x"),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the finest level."""
        return self.level(0).shape

    @property
    def levels(self) -> int:
        """Number of levels."""
        return len([name for name in self._group.array_keys() if str(name).isdecimal()])

    def level(self, number: int) -> Any:
        """Return one level as a zarr array."""
        return self._group[str(number)]

    def write(self, row: int, column: int, values: Float[np.ndarray, "h w"]) -> None:
        """Write a part of the finest level; what reaches beyond its edge is cut off."""
        rows, columns = self.shape
        values = values[: rows - row, : columns - column]
        self.level(0)[row : row + values.shape[0], column : column + values.shape[1]] = values

    def parts(self, number: int = 0, side: int | None = None) -> Iterator[tuple[int, int, Float[np.ndarray, "h w"]]]:
        """Yield row, column and values of each part of a level that holds anything."""
        array = self.level(number)
        side = side or _multiple(array.chunks[0], CHUNK)
        written = self._written(number)
        for row in range(0, array.shape[0], side):
            for column in range(0, array.shape[1], side):
                if not written[row : row + side, column : column + side]:
                    continue
                values = array[row : row + side, column : column + side]
                if np.isfinite(values).any():
                    yield row, column, values

    def _written(self, number: int) -> "_Written":
        """Say which places of a level were written: most of a slide is glass, and reading all of it takes seconds."""
        array = self.level(number)
        found = np.zeros([ceil(s / c) for s, c in zip(array.shape, array.chunks, strict=True)], bool)
        for file in (self.path / str(number) / "c").glob("*/*"):  # one file a chunk: the default of Zarr 3
            found[int(file.parent.name), int(file.name)] = True
        return _Written(found, array.chunks)

    def build_pyramid(self) -> None:
        """Write the coarser levels anew, then the metadata that makes the folder an OME-Zarr image."""
        for number in [int(name) for name in self._group.array_keys() if str(name).isdecimal()]:
            if number > 0:
                del self._group[str(number)]
        number, shape = 0, self.shape
        while max(shape) > _COARSEST:
            finer, shape = self.level(number), (ceil(shape[0] / 2), ceil(shape[1] / 2))
            coarser = self._add(number + 1, shape, CHUNK)
            for row, column, values in self.parts(number, 2 * CHUNK):
                half = halved(values)
                coarser[row // 2 : row // 2 + half.shape[0], column // 2 : column // 2 + half.shape[1]] = half
            assert finer.shape != coarser.shape
            number += 1
        self._group.attrs["ome"] = self._metadata(number + 1)

    def _metadata(self, levels: int) -> dict[str, Any]:
        def place(level: int) -> dict[str, Any]:
            step = self.microns * 2**level
            shift = (step - self.microns) / 2  # the center of the first position moves as positions grow
            return {
                "path": str(level),
                "coordinateTransformations": [
                    {"type": "scale", "scale": [step, step]},
                    {"type": "translation", "translation": [shift, shift]},
                ],
            }

        axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in ("y", "x")]
        return {
            "version": "0.5",
            "multiscales": [{"name": "map", "axes": axes, "datasets": [place(level) for level in range(levels)]}],
        }

    def level_within(self, positions: int) -> int:
        """Return the finest level of at most so many positions."""
        sizes = [int(np.prod(self.level(number).shape)) for number in range(self.levels)]
        return next((number for number, size in enumerate(sizes) if size <= positions), self.levels - 1)


class _Written:
    """Whether any chunk that overlaps a region was written."""

    def __init__(self, chunks: Bool[np.ndarray, "m n"], side: tuple[int, int]) -> None:
        self._chunks, self._side = chunks, side

    def __getitem__(self, region: tuple[slice, slice]) -> bool:
        rows, columns = (
            slice(one.start // side, ceil(one.stop / side)) for one, side in zip(region, self._side, strict=True)
        )
        return bool(self._chunks[rows, columns].any())


def halved(values: Float[np.ndarray, "h w"]) -> Float[np.ndarray, "k l"]:
    """Return the mean of each two by two positions that were seen; NaN where none was."""
    rows, columns = (2 * ceil(side / 2) for side in values.shape)
    padded = np.full((rows, columns), np.nan, np.float32)
    padded[: values.shape[0], : values.shape[1]] = values
    fours = padded.reshape(rows // 2, 2, columns // 2, 2)
    seen = np.isfinite(fours)
    count = seen.sum((1, 3))
    total = np.where(seen, fours, 0).sum((1, 3), dtype=np.float64)
    return np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0).astype(np.float32)


def _multiple(chunk: int, least: int) -> int:
    return chunk * max(1, ceil(least / chunk))
