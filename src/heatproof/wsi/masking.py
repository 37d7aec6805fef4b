"""Does the slide's score depend on what the map shows? Its strongest region is painted over, and its shape elsewhere.

One slide is one unit, so this is a reference value without a verdict: cohorts are judged over patients.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from heatproof.inputs import from_array
from heatproof.wsi.regions import Region, Ring
from heatproof.wsi.result import SlideMap
from heatproof.wsi.run import Prepared
from heatproof.wsi.tiles import read_tile

_TRIES = 200
_IN_TISSUE = 0.8  # share of a control's box that must be tissue


@dataclass(frozen=True)
class Masking:
    """What painting over a region does to the slide's score.

    Attributes:
        region: its rank.
        drop: fall of the slide's score.
        drops_elsewhere: the same for its shape at other places with tissue.
        as_large: how many of these are at least as large.
        forwards: tiles that were run.
    """

    region: int
    drop: float
    drops_elsewhere: tuple[float, ...]
    as_large: int
    forwards: int

    def told(self) -> dict[str, Any]:
        """Return it as the manifest holds it."""
        mean = float(np.mean(self.drops_elsewhere)) if self.drops_elsewhere else None
        return asdict(self) | {"mean_drop_elsewhere": mean, "verdict": "none: one slide is one unit"}


class Painter:
    """Scores of a slide with areas painted over, from the tiles that these touch alone.

    Args:
        ready: the run.
        found: its map.
    """

    def __init__(self, ready: Prepared, found: SlideMap) -> None:
        self._ready, self._found = ready, found
        overview = ready.slide.overview(ready.tissue.mpp)
        mask = ready.tissue.mask[: overview.shape[0], : overview.shape[1]]
        self.color = tuple(int(v) for v in np.rint(overview[mask].mean(0)))
        self._positions = sum(tile.positions for tile in found.tiles)
        self.forwards = 0

    def drop(self, rings: list[Ring]) -> float:
        """Return the fall of the slide's score when areas are painted in the mean color of the tissue."""
        points = np.concatenate(rings)
        low, high = points.min(0), points.max(0)
        fall = 0.0
        for tile, one in enumerate(self._found.tiles):
            scale = self._ready.slide.scale(self._ready.plan.mpp)
            x, y = self._ready.plan.pixels(tile)
            side = self._ready.plan.side
            box = np.array([[x * scale.x, y * scale.y], [(x + side) * scale.x, (y + side) * scale.y]])
            if one.score is None or (box[1] < low).any() or (box[0] > high).any():
                continue
            pixels = read_tile(self._ready.slide, self._ready.plan, tile)
            if not isinstance(pixels, np.ndarray):
                continue
            painted = self._painted(pixels, rings, box[0], (scale.x, scale.y))
            before, after = self._scores(tile, [pixels, painted])
            weight = one.positions if self._ready.way.mode == "seamless" else 1
            fall += (before - after) * weight
        return fall / (self._positions if self._ready.way.mode == "seamless" else len(self._found.tiles))

    def _painted(
        self, pixels: UInt8[np.ndarray, "h w 3"], rings: list[Ring], corner: Any, scale: tuple[float, float]
    ) -> UInt8[np.ndarray, "h w 3"]:
        picture = Image.fromarray(pixels)
        draw = ImageDraw.Draw(picture)
        for ring in rings:
            draw.polygon([tuple(p) for p in (ring - corner) / scale], fill=self.color)
        return np.asarray(picture)

    def _scores(self, tile: int, pictures: list[UInt8[np.ndarray, "h w 3"]]) -> list[float]:
        """Return the evidence's mean over a tile's tissue, or the tile's score where windows are blended."""
        ready, way = self._ready, self._ready.way
        self.forwards += len(pictures)
        if way.mode == "blended":
            given = [from_array(picture, layout="hwc", name="tile") for picture in pictures]
            targets = None if ready.network.target is None else [ready.network.target] * len(given)
            return [float(score) for score in ready.explainer(given, targets).scores[:, 0]]
        assert way.layer is not None
        assert way.weights is not None
        activations = ready.network.activations(way.layer, ready.network.batch(pictures))
        edge, core = round(ready.plan.halo / ready.plan.spacing), ready.plan.core
        maps = torch.einsum("k,nkhw->nhw", way.weights, activations[:, :, edge : edge + core, edge : edge + core])
        seen = torch.from_numpy(ready.plan.tissue_of(ready.tissue, tile)).to(maps.device)
        rows, columns = ready.plan.shape  # what reaches beyond the slide was not counted
        seen[rows - int(ready.plan.tiles[tile][0]) :] = False
        seen[:, columns - int(ready.plan.tiles[tile][1]) :] = False
        return [float(one[seen].double().mean()) for one in maps]


def mask_region(ready: Prepared, found: SlideMap, region: Region, *, controls: int = 9, seed: int = 0) -> Masking:
    """Paint over a region, then over its shape at other places with tissue, drawn from `seed`."""
    painter = Painter(ready, found)
    rings = [polygon[0] for polygon in region.outlines]
    drop = painter.drop(rings)
    elsewhere = [painter.drop([ring + shift for ring in rings]) for shift in _shifts(found, region, controls, seed)]
    return Masking(region.rank, drop, tuple(elsewhere), sum(d >= drop for d in elsewhere), painter.forwards)


def _shifts(found: SlideMap, region: Region, controls: int, seed: int) -> list[Any]:
    """Return shifts that bring the region's box onto tissue beside where it was."""
    rng = np.random.default_rng(seed)
    tissue, scale = found.tissue, found.slide.scale(found.tissue.mpp)
    left, top, right, bottom = region.box
    center = np.array([(left + right) / 2, (top + bottom) / 2])
    size = np.array([right - left, bottom - top])
    places = np.argwhere(tissue.mask)
    shifts: list[Any] = []
    for _ in range(_TRIES):
        if len(shifts) == controls:
            break
        row, column = places[rng.integers(len(places))]
        shift = np.array([(column + 0.5) * scale.x, (row + 0.5) * scale.y]) - center
        begin = (center + shift - size / 2) / (scale.x, scale.y)
        end = begin + np.maximum(size / (scale.x, scale.y), 1)
        box = tissue.mask[max(0, int(begin[1])) : int(end[1]) + 1, max(0, int(begin[0])) : int(end[0]) + 1]
        if (np.abs(shift) > size).any() and box.size and box.mean() >= _IN_TISSUE:
            shifts.append(shift)
    return shifts
