"""An expert's outlines on a slide, by class name: QuPath GeoJSON, ASAP XML, ImageScope XML."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw

from heatproof.errors import InputError, UsageError, nearest
from heatproof.inputs.readers._reader import Scale
from heatproof.inputs.slide import Slide

_FORMS = "QuPath GeoJSON (.geojson, .json), ASAP XML or ImageScope XML (.xml)"

Ring = Float[np.ndarray, "_ 2"]


@dataclass(frozen=True, eq=False)
class Outline:
    """One outlined area.

    Attributes:
        label: its class; empty where it has none.
        ring: x and y of its corners, in pixels of the slide's finest level.
        holes: rings that are cut out of it.
        negative: whether the area itself is cut out of what its class covers.
    """

    label: str
    ring: Ring
    holes: tuple[Ring, ...] = ()
    negative: bool = False


def read_outlines(path: Path) -> list[Outline]:
    """Read every outlined area of a file; points and lines have no area and are left out.

    Raises:
        InputError: it cannot be read, has another format, or outlines nothing.
    """
    if not path.is_file():
        raise InputError(f"The annotations {path} do not exist; give {_FORMS}.")
    found = list(_from_xml(path) if path.suffix.lower() == ".xml" else _from_geojson(path))
    if not found:
        raise InputError(f"{path.name} outlines no area; give {_FORMS} with polygons.")
    return found


def mask_of(
    outlines: Sequence[Outline], slide: Slide, mpp: float, labels: Sequence[str] = ()
) -> Bool[np.ndarray, "h w"]:
    """Return where classes were outlined, over the whole slide.

    Args:
        outlines: of any classes.
        slide: the slide.
        mpp: microns per pixel of the mask.
        labels: the classes to take; none for all.

    Raises:
        UsageError: there is no such class.
        InputError: the outlines lie outside of the slide.
    """
    known = sorted({one.label for one in outlines})
    for label in labels:
        if label not in known:
            raise UsageError(f"No area is outlined as {label!r}{nearest(label, known) or f'; there are {known}.'}")
    chosen = [one for one in outlines if not labels or one.label in labels]
    mask = _drawn(chosen, slide.scale(mpp), (0, 0), slide.size_at(mpp))
    if not mask.any():
        raise InputError(
            f"The outlines lie outside of {slide.path.name} ({slide.size[0]} x {slide.size[1]} pixels); are they of "
            "another slide, or not in pixels of its finest level?"
        )
    return mask


def mask_in(
    outlines: Sequence[Outline], slide: Slide, mpp: float, corner: tuple[int, int], size: tuple[int, int], label: str
) -> Bool[np.ndarray, "h w"]:
    """Return where one class was outlined in a part of the slide.

    Args:
        outlines: of any classes.
        slide: the slide.
        mpp: microns per pixel of the mask.
        corner: x and y of its first pixel, at that resolution.
        size: its width and height.
        label: the class.
    """
    return _drawn([one for one in outlines if one.label == label], slide.scale(mpp), corner, size)


def _drawn(
    outlines: Sequence[Outline], scale: Scale, corner: tuple[int, int], size: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """Return which pixels of (width, height), the first of them at `corner`, lie in outlines."""
    canvas = Image.new("1", size)
    draw = ImageDraw.Draw(canvas)
    for one in sorted(outlines, key=lambda outline: outline.negative):
        rings = [(one.ring, 0 if one.negative else 1), *((hole, 1 if one.negative else 0) for hole in one.holes)]
        for ring, value in rings:
            places = ring / (scale.x, scale.y) - 0.5 - corner
            draw.polygon([(x, y) for x, y in places.tolist()], fill=value)
    return np.asarray(canvas, bool)


def _from_geojson(path: Path) -> Iterator[Outline]:
    try:
        told: Any = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError) as error:
        raise InputError(f"{path.name} is not JSON ({error}); give {_FORMS}.") from error
    features: Any = told.get("features", [told]) if isinstance(told, dict) else told
    for feature in features:
        geometry, properties = feature.get("geometry") or {}, feature.get("properties") or {}
        label = _label(properties)
        kind, coordinates = geometry.get("type"), geometry.get("coordinates", [])
        polygons = [coordinates] if kind == "Polygon" else coordinates if kind == "MultiPolygon" else []
        for rings in polygons:
            outer, *holes = (np.asarray(ring, np.float64)[:, :2] for ring in rings)
            yield Outline(label, outer, tuple(holes))


def _label(properties: dict[str, Any]) -> str:
    given: Any = properties.get("classification")
    if isinstance(given, dict):
        told: dict[str, Any] = given
        return str(told.get("name") or ": ".join(map(str, told.get("names", []))))
    return str(given or properties.get("name") or "")


def _from_xml(path: Path) -> Iterator[Outline]:
    try:
        root = ElementTree.parse(path).getroot()  # noqa: S314  a file that the user names; expat bounds entities itself
    except (ElementTree.ParseError, OSError) as error:
        raise InputError(f"{path.name} is not XML ({error}); give {_FORMS}.") from error
    if root.tag == "ASAP_Annotations":
        for one in root.iter("Annotation"):
            points = sorted(one.iter("Coordinate"), key=lambda p: float(p.get("Order", "0")))
            if len(points) > 2:
                yield Outline(str(one.get("PartOfGroup", "")), _points(points))
    elif root.tag == "Annotations":
        for one in root.iter("Annotation"):
            for region in one.iter("Region"):
                points = list(region.iter("Vertex"))
                if len(points) > 2:
                    negative = region.get("NegativeROA", "0") == "1"
                    yield Outline(str(one.get("Name") or ""), _points(points), negative=negative)
    else:
        raise InputError(f"{path.name} is XML with the root <{root.tag}>; give {_FORMS}.")


def _points(points: Sequence[ElementTree.Element]) -> Ring:
    return np.array([[float(p.get("X", "nan")), float(p.get("Y", "nan"))] for p in points])
