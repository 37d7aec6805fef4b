"""Regions of a slide's map: outlines at absolute levels, areas in mm2, evidence mass, ranked."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import ndimage
from skimage.measure import find_contours

from heatproof.wsi._parts import connected
from heatproof.wsi.result import SlideMap

Ring = Float[np.ndarray, "_ 2"]
"""A closed line: x and y in pixels of the slide's finest level, first point and last the same."""


@dataclass(frozen=True, eq=False)
class Region:
    """A connected part of the map whose evidence is above a level.

    Attributes:
        rank: 1 is the one with the largest mass.
        level: the evidence that bounds it.
        area: in mm2.
        mass: integral of the evidence over its area, in units of the score times mm2.
        share: of the positive mass of the whole slide.
        peak: its strongest evidence.
        at: x and y of the peak, in pixels of the slide's finest level.
        outlines: for each polygon its outer ring, then its holes.
    """

    rank: int
    level: float
    area: float
    mass: float
    share: float
    peak: float
    at: tuple[float, float]
    outlines: tuple[tuple[Ring, ...], ...]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The smallest x, y and the largest, in pixels of the slide's finest level."""
        points = np.concatenate([rings[0] for rings in self.outlines])
        (left, top), (right, bottom) = points.min(0), points.max(0)
        return float(left), float(top), float(right), float(bottom)


def find_regions(found: SlideMap, level: float | None = None, top: int | None = None) -> list[Region]:
    """Return the regions above a level, the largest mass first.

    Args:
        found: the map.
        level: None takes the map's own.
        top: at most so many; None for all.
    """
    level = found.level if level is None else level
    number, values = found.working()
    step = found.pixels_per_position(number)
    square = (found.canvas.microns * 2**number / 1000) ** 2
    filled = np.where(np.isfinite(values), values, -np.inf)
    total = float(filled[filled > 0].sum(dtype=np.float64)) * square
    labels, count = connected(filled > level)
    if not count:
        return []
    masses = np.asarray(ndimage.sum_labels(np.where(filled > 0, filled, 0), labels, np.arange(1, count + 1))) * square
    order = np.argsort(-masses, kind="stable")[:top]
    boxes = ndimage.find_objects(labels)
    regions: list[Region] = []
    for rank, index in enumerate(order.tolist(), start=1):
        rows, columns = boxes[index]
        inside = labels[rows, columns] == index + 1
        part = np.where(inside, filled[rows, columns], -np.inf)
        y, x = np.unravel_index(int(part.argmax()), part.shape)
        at = ((columns.start + x + 0.5) * step[0], (rows.start + y + 0.5) * step[1])
        regions.append(
            Region(
                rank,
                level,
                float(inside.sum()) * square,
                float(masses[index]),
                float(masses[index]) / total if total > 0 else 0.0,
                float(part.max()),
                at,
                tuple(_polygons(inside, (columns.start, rows.start), step)),
            )
        )
    return regions


def iso_contours(found: SlideMap, levels: list[float]) -> dict[float, list[Ring]]:
    """Return the lines of equal evidence, at each absolute level, in pixels of the slide's finest level."""
    number, values = found.working()
    step = found.pixels_per_position(number)
    low = min(levels) - 1.0
    padded = np.pad(np.where(np.isfinite(values), values, low), 1, constant_values=low)
    return {level: [_placed(line - 1, (0, 0), step) for line in find_contours(padded, level)] for level in levels}


def _polygons(
    inside: Bool[np.ndarray, "h w"], corner: tuple[int, int], step: tuple[float, float]
) -> Iterator[tuple[Ring, ...]]:
    """Yield the outer ring of a connected part with the rings of its holes.

    Lines run half-way between positions inside and outside, so that the polygon holds the positions that were counted.
    """
    rings = find_contours(np.pad(inside, 1).astype(np.float32), 0.5, fully_connected="low")
    placed = [_placed(ring - 1, corner, step) for ring in rings]
    placed.sort(key=lambda ring: -abs(area_of(ring)))
    outer = [ring for ring in placed if np.sign(area_of(ring)) == np.sign(area_of(placed[0]))]
    holes = [ring for ring in placed if np.sign(area_of(ring)) != np.sign(area_of(placed[0]))]
    # a part that is connected by an edge each has one outer ring; every hole lies in it
    yield (outer[0], *holes)


def _placed(line: Float[np.ndarray, "p 2"], corner: tuple[int, int], step: tuple[float, float]) -> Ring:
    """Return rows and columns of positions as x and y in pixels; position 0 is centered half a step from the edge."""
    return np.stack([(line[:, 1] + corner[0] + 0.5) * step[0], (line[:, 0] + corner[1] + 0.5) * step[1]], axis=1)


def area_of(ring: Ring) -> float:
    """Return the signed area of a closed ring (shoelace formula)."""
    x, y = ring[:, 0], ring[:, 1]
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)
