"""Slides with planted regions: where the tissue is, and which parts of it are stained, is known to the tile."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int

from heatproof.errors import UsageError
from heatproof.synthetic.slides import bigtiff, texture

TILE = 256
"""Side of a tile, in pixels."""
GLASS, TISSUE, STAINED, PEN = range(4)
_ROUND = 2  # a texture is cut into 2 x 2 tiles, so that the coarser levels repeat, too


@dataclass(frozen=True, eq=False)
class Planted:
    """A written slide and its answer.

    Attributes:
        path: the file.
        size: width and height, in pixels of the finest level.
        mpp: microns per pixel, across and down; None where the file does not say.
        kinds: (rows, columns) what each tile of `TILE` pixels shows: GLASS, TISSUE, STAINED or PEN.
    """

    path: Path
    size: tuple[int, int]
    mpp: tuple[float, float] | None
    kinds: Int[np.ndarray, "rows columns"]

    @property
    def stained(self) -> Bool[np.ndarray, "rows columns"]:
        """Which tiles are stained."""
        return self.kinds == STAINED

    @property
    def tissue(self) -> Bool[np.ndarray, "rows columns"]:
        """Which tiles are tissue, stained or not."""
        return (self.kinds == TISSUE) | (self.kinds == STAINED)


def write_slide(
    path: str | Path,
    size: tuple[int, int] = (4096, 4096),
    *,
    mpp: float | int | tuple[float, float] | None = 0.5,
    spots: int = 2,
    tissue: bool = True,
    pen: bool = False,
    levels: int | None = None,
    truncated: float | int = 1.0,
    seed: int = 0,
) -> Planted:
    """Write a tissue-like pyramid as BigTIFF, with round stained spots at places drawn from `seed`.

    Args:
        path: where to.
        size: width and height, in pixels; need not be whole tiles.
        mpp: microns per pixel; (across, down) where they differ; None leaves the resolution out.
        spots: number of stained spots in the tissue; 0 makes a negative slide.
        tissue: False leaves the glass blank.
        pen: draw a green line beside and across the tissue.
        levels: number of levels; None halves until the whole fits into 1024 pixels.
        truncated: share of the file to keep, for a broken copy.
        seed: of textures and places.

    Raises:
        UsageError: the size holds less than 4 tiles a side.
    """
    path = Path(path)
    width, height = size
    if min(size) < 4 * TILE:
        raise UsageError(f"size={size} is too small for planted regions; make both sides at least {4 * TILE} pixels.")
    rng = np.random.default_rng(seed)
    kinds = _kinds(-(-height // TILE), -(-width // TILE), spots if tissue else 0, tissue=tissue, pen=pen, rng=rng)
    pyramid = [_finest(kinds, width, height, rng)]
    while len(pyramid) < (levels or 99) and (levels is not None or max(pyramid[-1].width, pyramid[-1].height) > 1024):
        pyramid.append(pyramid[-1].halved())
    pair = (float(mpp), float(mpp)) if isinstance(mpp, int | float) else mpp
    bigtiff.write(path, pyramid, pair)
    if truncated < 1:
        with path.open("r+b") as file:
            file.truncate(int(path.stat().st_size * truncated))
    return Planted(path, size, pair, kinds)


def _kinds(
    rows: int, columns: int, spots: int, *, tissue: bool, pen: bool, rng: np.random.Generator
) -> Int[np.ndarray, "rows columns"]:
    down, across = np.mgrid[:rows, :columns] + 0.5
    kinds = np.full((rows, columns), GLASS)
    if tissue:
        angle = np.arctan2(down / rows - 0.5, across / columns - 0.5)
        wobble = 1 + 0.08 * np.sin(3 * angle + rng.uniform(0, 6)) + 0.05 * np.sin(5 * angle + rng.uniform(0, 6))
        kinds[np.hypot(down / rows - 0.5, across / columns - 0.5) < 0.34 * wobble] = TISSUE
    if pen:
        kinds[:, columns // 8] = PEN
    turn = rng.uniform(0, 2 * np.pi)
    for spot in range(spots):  # spread around the center, so that they stay in the tissue and apart
        turn += 2 * np.pi / max(spots, 1) if spot else 0
        y, x = rows * (0.5 + 0.18 * np.sin(turn)), columns * (0.5 + 0.18 * np.cos(turn))
        radius = max(1.0, rng.uniform(0.04, 0.07) * min(rows, columns))
        kinds[(np.hypot(down - y, across - x) < radius) & (kinds == TISSUE)] = STAINED
    return kinds


def _finest(kinds: Int[np.ndarray, "r c"], width: int, height: int, rng: np.random.Generator) -> bigtiff.Level:
    side = _ROUND * TILE
    fields = [
        texture.glass(side, rng),
        texture.tissue(side, stained=False, rng=rng),
        texture.tissue(side, stained=True, rng=rng),
        texture.pen(side, rng),
    ]
    edges = range(0, side + 1, TILE)
    pictures = [field[a:b, c:d] for field in fields for a, b in pairwise(edges) for c, d in pairwise(edges)]
    down, across = np.mgrid[: kinds.shape[0], : kinds.shape[1]] % _ROUND
    return bigtiff.Level(width, height, (kinds * _ROUND + down) * _ROUND + across, pictures)
