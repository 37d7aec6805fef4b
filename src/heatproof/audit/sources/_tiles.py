"""Which tiles of a slide are looked at: those that are tissue, and the class that an expert outlined on each."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from heatproof.errors import InputError, MissingExtraError
from heatproof.inputs.slide import Slide, open_slide
from heatproof.wsi.annotations import Outline, mask_in, read_outlines
from heatproof.wsi.tissue import mask_mpp, segment

OTHER = "other"
"""The class of tiles that no outline covers."""
_MOST_OPEN, _MOST_KNOWN = 8, 1024
"""Slides that are held open, and whose tiles are remembered, at 5 bytes each."""
_TISSUE, _COVERED = 0.5, 0.5
"""Share of a tile that must be tissue for it to be looked at, and lie in outlines of a class to be of it."""


@dataclass(frozen=True)
class Slices:
    """How a slide is taken apart.

    Attributes:
        slide: its path.
        mpp: microns per pixel of the tiles.
        side: pixels per side of a tile.
        slide_mpp: microns per pixel of the finest level, where the file does not say.
        outlines: path of an expert's outlines; empty without.
    """

    slide: str
    mpp: float
    side: int
    slide_mpp: float | None = None
    outlines: str = ""


@dataclass(frozen=True, eq=False)
class Tiles:
    """The tiles of a slide that are looked at.

    Attributes:
        side: of a tile, in pixels.
        across: tiles in a row of the whole slide.
        kept: number of each tile, row by row.
        classes: of the outlines, and "other"; none where the slide is not outlined.
        which: number of each tile's class.
    """

    side: int
    across: int
    kept: Int[np.ndarray, " n"]
    classes: tuple[str, ...]
    which: UInt8[np.ndarray, " n"]

    def all(self) -> tuple[Int[np.ndarray, "n 2"], Sequence[str | None]]:
        """Return x and y of each tile's first pixel, and its class."""
        places = np.stack([self.kept % self.across, self.kept // self.across], 1) * self.side
        labels = [self.classes[k] for k in self.which.tolist()] if self.classes else [None] * len(self.kept)
        return places, labels


def stamp_of(path: str) -> tuple[int, int]:
    """Return a file's size and time of change, so that nothing is remembered of a file that was mended."""
    try:
        told = Path(path).stat() if path else None
    except OSError:
        told = None
    return (told.st_size, told.st_mtime_ns) if told else (0, 0)


@lru_cache(maxsize=_MOST_OPEN)
def opened(path: str, mpp: float | None, stamp: tuple[int, int]) -> Slide:
    try:
        return open_slide(path, mpp)
    except MissingExtraError as error:
        raise InputError(str(error)) from error


@lru_cache(maxsize=_MOST_OPEN)
def outlines_of(path: str, stamp: tuple[int, int]) -> tuple[Outline, ...]:
    return tuple(one for one in read_outlines(Path(path)) if one.label)


@lru_cache(maxsize=_MOST_KNOWN)
def tiles_of(how: Slices, slide_stamp: tuple[int, int], outlines_stamp: tuple[int, int]) -> Tiles:
    """Return the tiles that are tissue, and which class each is where the slide is outlined.

    Raises:
        InputError: the slide or its outlines cannot be read, or there is nothing to look at.
    """
    slide = opened(how.slide, how.slide_mpp, slide_stamp)
    slide.check(how.mpp)
    used = mask_mpp(slide)
    tissue = segment(slide.overview(used), used)
    if not tissue.any():
        raise InputError(f"{slide.path.name} shows no tissue: nothing on it is as colored as stained tissue.")
    width, height = slide.size_at(how.mpp)
    columns, rows = np.meshgrid(np.arange(0, width, how.side), np.arange(0, height, how.side))
    corners = np.stack([columns, rows], -1).reshape(-1, 2) * how.mpp / used
    side = how.side * how.mpp / used
    kept = np.flatnonzero(_share(tissue, corners, side) >= _TISSUE).astype(np.int32)
    if not len(kept):
        raise InputError(
            f"{slide.path.name} has no tile of {how.side} pixels at {how.mpp:g} microns that is half tissue; take "
            "smaller ones."
        )
    across, nothing = columns.shape[1], np.zeros(len(kept), np.uint8)
    if not how.outlines:
        return Tiles(how.side, across, kept, (), nothing)
    outlines = outlines_of(how.outlines, outlines_stamp)
    classes = sorted({one.label for one in outlines})
    if not classes:
        raise InputError(f"{Path(how.outlines).name} names no class of what it outlines; give each outline one.")
    masks = [mask_in(outlines, slide, used, (0, 0), slide.size_at(used), one) for one in classes]
    if not any(mask.any() for mask in masks):
        raise InputError(f"{Path(how.outlines).name} outlines nothing on {slide.path.name}; is it of another slide?")
    covered = np.stack([_share(mask, corners[kept], side) for mask in masks])
    which = np.where(covered.max(0) >= _COVERED, covered.argmax(0), len(classes)).astype(np.uint8)
    return Tiles(how.side, across, kept, (*classes, OTHER), which)


def _share(mask: Bool[np.ndarray, "h w"], corners: Float[np.ndarray, "n 2"], side: float) -> Float[np.ndarray, " n"]:
    """Return how much of each square a mask covers; what lies outside of the mask is not covered."""
    table = np.pad(mask.cumsum(0, dtype=np.int64).cumsum(1), ((1, 0), (1, 0)))  # sums over all rectangles at (0, 0)
    begin, end = np.rint(corners).astype(int), np.rint(corners + side).astype(int)
    limits = mask.shape[::-1]
    (left, top), (right, bottom) = np.minimum(begin, limits).T, np.minimum(end, limits).T
    inside = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
    return inside / np.maximum((end - begin).prod(1), 1)
