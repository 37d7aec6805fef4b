"""Polygons -> masks: GeoJSON as pathology viewers write it, rings of COCO, and run lengths."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from heatproof.errors import InputError

_Ring = Sequence[Any]  # of points [x, y]
_CLASS_KEYS = ("classification", "class", "label", "name", "category")


def polygons_mask(document: Mapping[str, Any], size: tuple[int, ...], name: str, label: Any) -> Bool[np.ndarray, "h w"]:
    """Return where the polygons of a GeoJSON document lie, in samples of the input, x first, y downward.

    Args:
        document: a FeatureCollection, Feature or geometry; Polygon and MultiPolygon are drawn, with their holes.
        size: (height, width) of the input.
        name: of the input, for errors.
        label: class whose polygons are taken, where any carries that name; else all are.

    Raises:
        InputError: it holds another geometry, or is no GeoJSON.
    """
    if len(size) != 2:
        raise InputError(f"The annotation of {name} is polygons, which mark pictures, but it has {len(size)} axes.")
    features = list(_features(document, name))
    of_label = [geometry for geometry, kind in features if kind is not None and kind == str(label)]
    mask = np.zeros(size, dtype=bool)
    for geometry in of_label or [geometry for geometry, _ in features]:
        for rings in _polygons(geometry, name):
            _draw(mask, rings, name)
    return mask


def rings_mask(rings: Sequence[Sequence[Any]], size: tuple[int, int], name: str) -> Bool[np.ndarray, "h w"]:
    """Return where polygons lie that are written as COCO does: [x1, y1, x2, y2, ...], one list each.

    Raises:
        InputError: a list is no polygon.
    """
    mask = np.zeros(size, dtype=bool)
    for ring in rings:
        if len(ring) % 2:
            raise InputError(f"A polygon of {name} has {len(ring)} numbers, which are no pairs of x and y.")
        _draw(mask, [list(zip(ring[::2], ring[1::2], strict=True))], name)
    return mask


def _draw(mask: Bool[np.ndarray, "h w"], rings: Sequence[_Ring], name: str) -> None:
    """Mark the samples whose centers lie within the first ring and in none of the others, its holes."""
    from skimage.draw import polygon

    drawn = np.zeros_like(mask)
    for number, ring in enumerate(rings):
        try:
            points = np.asarray(ring, dtype=float)[:, :2]
        except (ValueError, TypeError, IndexError) as error:
            raise InputError(f"A polygon of {name} is no list of points [x, y].") from error
        if len(points) < 3 or not np.isfinite(points).all():
            raise InputError(f"A polygon of {name} has {len(points)} finite points; give three or more.")
        # sample i covers what lies between i and i + 1, so that its center is at i + 0.5
        inside = polygon(points[:, 1] - 0.5, points[:, 0] - 0.5, mask.shape)
        drawn[inside] = number == 0
        if number == 0 and not drawn.any():  # smaller than a sample: mark where it lies
            column, row = np.floor(points.mean(0)).astype(int)
            if 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]:
                drawn[row, column] = True
    mask |= drawn


def _features(document: Mapping[str, Any], name: str) -> Iterator[tuple[Mapping[str, Any], str | None]]:
    match document.get("type"):
        case "FeatureCollection":
            for feature in document.get("features") or ():
                yield from _features(feature, name)
        case "Feature":
            if document.get("geometry"):
                yield document["geometry"], _class(document.get("properties") or {})
        case "Polygon" | "MultiPolygon":
            yield document, None
        case other:
            raise InputError(f"The annotation of {name} has the GeoJSON type {other!r}; give polygons.")


def _polygons(geometry: Mapping[str, Any], name: str) -> list[Sequence[_Ring]]:
    match geometry.get("type"), geometry.get("coordinates"):
        case "Polygon", list() as rings:
            return [rings]
        case "MultiPolygon", list() as polygons:
            return polygons
        case other, _:
            raise InputError(f"The annotation of {name} holds a GeoJSON {other}; draw polygons.")


def _class(properties: Mapping[str, Any]) -> str | None:
    for key in _CLASS_KEYS:
        value = properties.get(key)
        if isinstance(value, Mapping):  # viewers write {"classification": {"name": "Tumor"}}
            value = value.get("name")
        if value is not None:
            return str(value)
    return None
