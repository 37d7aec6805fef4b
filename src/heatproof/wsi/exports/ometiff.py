"""OME-TIFF: the map's float32 values as a pyramid, NaN where nothing was looked at; for QuPath, Fiji, napari."""

import hashlib
import json
import uuid
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from heatproof.errors import MissingExtraError
from heatproof.wsi.regions import Region
from heatproof.wsi.result import SlideMap

NAME = "OME-TIFF"
ALIASES = ("ome.tif", "ome.tiff", "tiff")
TIER = "core"

_TILE = 256


def export(found: SlideMap, regions: list[Region], folder: Path) -> list[Path]:
    """Write `map.ome.tif`, tile by tile, so that memory stays bounded."""
    try:
        import tifffile
    except ImportError as error:
        raise MissingExtraError("tifffile", "slides") from error
    path = folder / "map.ome.tif"
    canvas = found.canvas
    with tifffile.TiffWriter(path, bigtiff=True, ome=True) as writer:
        for level in range(canvas.levels):
            array, microns = canvas.level(level), canvas.microns * 2**level
            metadata: dict[str, Any] = {
                "axes": "YX",
                "Name": f"evidence for {found.target}",
                "PhysicalSizeX": microns,
                "PhysicalSizeXUnit": "µm",
                "PhysicalSizeY": microns,
                "PhysicalSizeYUnit": "µm",
                "UUID": _uuid(found),  # not drawn at random: a run that is done again gives the same bytes
            }
            writer.write(
                _tiles(array),
                shape=array.shape,
                dtype="float32",
                tile=(_TILE, _TILE),
                photometric="minisblack",
                compression="zlib",
                subifds=canvas.levels - 1 if level == 0 else None,
                subfiletype=0 if level == 0 else 1,
                resolution=(1e4 / microns, 1e4 / microns),
                resolutionunit="CENTIMETER",
                metadata=metadata if level == 0 else None,
                software=None,
                maxworkers=1,
            )
    return [path]


def _tiles(array: Any) -> Iterator[Float[np.ndarray, "256 256"]]:
    rows, columns = array.shape
    for row, column in product(range(0, rows, _TILE), range(0, columns, _TILE)):
        tile = np.full((_TILE, _TILE), np.nan, np.float32)
        part = array[row : row + _TILE, column : column + _TILE]
        tile[: part.shape[0], : part.shape[1]] = part
        yield tile


def _uuid(found: SlideMap) -> str:
    told = json.dumps(found.about, sort_keys=True, default=str).encode()
    return f"urn:uuid:{uuid.UUID(bytes=hashlib.sha256(told).digest()[:16])}"
