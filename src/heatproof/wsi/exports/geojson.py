"""QuPath GeoJSON: regions as annotations, the map as tiles with measurements, in pixels of the finest level."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from heatproof.wsi.regions import Region
from heatproof.wsi.result import SlideMap

NAME = "QuPath GeoJSON"
ALIASES = ("qupath", "json")
TIER = "core"

_MOST_TILES = 20_000
_NAMESPACE = uuid.UUID("6f2a6a0e-6a55-5d0c-9d6b-7a1c4c0f4b11")
_RED = [200, 30, 30]


def export(found: SlideMap, regions: list[Region], folder: Path) -> list[Path]:
    """Write `map.geojson`: drag it onto the open slide in QuPath."""
    path = folder / "map.geojson"
    features = [*_annotations(found, regions), *_detections(found)]
    told = {"type": "FeatureCollection", "features": features}
    path.write_text(json.dumps(told, separators=(",", ":")), encoding="utf-8")
    return [path]


def _annotations(found: SlideMap, regions: list[Region]) -> Iterator[dict[str, Any]]:
    for region in regions:
        polygons = [[_ring(ring) for ring in rings] for rings in region.outlines]
        one = len(polygons) == 1
        yield _feature(
            "annotation",
            f"region {region.rank}",
            {"type": "Polygon" if one else "MultiPolygon", "coordinates": polygons[0] if one else polygons},
            {
                "Rank": region.rank,
                "Area mm^2": region.area,
                "Evidence mass": region.mass,
                "Share of evidence": region.share,
                "Peak evidence": region.peak,
                "Level": region.level,
            },
            found.target,
        )


def _detections(found: SlideMap) -> Iterator[dict[str, Any]]:
    """Yield the positions of the finest level of which QuPath can still show every one."""
    number = found.canvas.level_within(4 * _MOST_TILES)
    values = np.asarray(found.canvas.level(number)[:])
    while np.isfinite(values).sum() > _MOST_TILES and number + 1 < found.canvas.levels:
        number += 1
        values = np.asarray(found.canvas.level(number)[:])
    across, down = found.pixels_per_position(number)
    width, height = found.slide.size
    for row, column in np.argwhere(np.isfinite(values)).tolist():
        left, top = column * across, row * down
        right, bottom = min(left + across, width), min(top + down, height)
        ring = np.array([[left, top], [right, top], [right, bottom], [left, bottom], [left, top]])
        geometry = {"type": "Polygon", "coordinates": [_ring(ring)]}
        yield _feature("tile", f"{number}/{row}/{column}", geometry, {"Evidence": float(values[row, column])}, None)


def _feature(
    kind: str, name: str, geometry: dict[str, Any], measurements: dict[str, Any], label: str | None
) -> dict[str, Any]:
    properties: dict[str, Any] = {"objectType": kind, "measurements": measurements}
    if label is not None:
        properties |= {"name": name, "classification": {"name": label, "color": _RED}}
    identity = str(uuid.uuid5(_NAMESPACE, f"{kind} {name}"))
    return {"type": "Feature", "id": identity, "geometry": geometry, "properties": properties}


def _ring(ring: Any) -> list[list[float]]:
    points = np.round(np.asarray(ring, np.float64), 2)
    keep = np.ones(len(points), bool)
    keep[1:-1] = np.any(points[1:-1] != points[:-2], axis=1)
    return points[keep].tolist()
