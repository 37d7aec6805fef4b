"""A slide's map with what is needed to read it rightly."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from heatproof.inputs.slide import Slide
from heatproof.wsi.canvas import Canvas
from heatproof.wsi.tissue import Tissue

MOST = 16_000_000
"""Positions that are looked at at once: statistics and regions come from the finest level that has no more."""


@dataclass(frozen=True, eq=False)
class Tile:
    """One tile that was looked at.

    Attributes:
        box: x, y, width and height in pixels of the slide's finest level.
        score: of the target; None where the tile could not be read.
        positions: how many grid positions of tissue it holds.
        problem: why it could not be read; None where it could.
    """

    box: tuple[float, float, float, float]
    score: float | None
    positions: int
    problem: str | None = None


@dataclass(frozen=True, eq=False)
class SlideMap:
    """The evidence for one target over a whole slide, in absolute units.

    Attributes:
        folder: where the run lies.
        slide: the slide.
        tissue: where it was looked at.
        canvas: the map on disk: signed, NaN where nothing was looked at.
        tiles: what was run.
        level: evidence above which a place counts as a region.
        vmax: evidence at the end of the color scale.
        about: the rest of the manifest.
    """

    folder: Path
    slide: Slide
    tissue: Tissue
    canvas: Canvas
    tiles: tuple[Tile, ...]
    level: float
    vmax: float
    about: dict[str, Any]

    @property
    def unreadable(self) -> tuple[Tile, ...]:
        """The tiles that could not be read."""
        return tuple(tile for tile in self.tiles if tile.problem is not None)

    @property
    def target(self) -> str:
        """What captions call the target."""
        return self.about["target"]

    def pixels_per_position(self, number: int = 0) -> tuple[float, float]:
        """Return how many pixels of the slide's finest level a position of a level spans, across and down."""
        microns = self.canvas.microns * 2**number
        return microns / self.slide.mpp[0], microns / self.slide.mpp[1]

    def working(self) -> tuple[int, Float[np.ndarray, "h w"]]:
        """Return the level that fits into memory, and its values."""
        number = self.canvas.level_within(MOST)
        return number, np.asarray(self.canvas.level(number)[:])

    def mean(self) -> float:
        """Return the mean evidence over all tissue, at the finest level."""
        total, count = 0.0, 0
        for _, _, values in self.canvas.parts():
            seen = np.isfinite(values)
            total += float(values[seen].sum(dtype=np.float64))
            count += int(seen.sum())
        return total / count if count else float("nan")
