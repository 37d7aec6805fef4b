"""TiffSlide: OME-TIFF, whose levels hide in sub-directories, and other TIFF that OpenSlide does not know."""

import re
import threading
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from heatproof.errors import MissingExtraError
from heatproof.inputs.readers._reader import NotMine, Unreadable, positive

NAME = "TiffSlide"
ALIASES = (".ome.tif", ".ome.tiff", ".ome.btf")
TIER = "core"

_MICRONS = {"µm": 1.0, "&#181;m": 1.0, "nm": 1e-3, "mm": 1e3, "cm": 1e4}


class TiffSlideReader:
    """A slide that TiffSlide has opened."""

    def __init__(self, slide: Any) -> None:
        self._slide = slide
        self._lock = threading.Lock()  # its file handle is shared by all threads
        told = slide.properties
        self.vendor = str(told.get("tiffslide.vendor", "unknown"))
        self.levels = tuple((int(w), int(h)) for w, h in slide.level_dimensions)
        ome = str(told.get("tiff.ImageDescription") or "")
        self.mpp = (
            positive(told.get("tiffslide.mpp-x")) or _ome_mpp(ome, "X"),
            positive(told.get("tiffslide.mpp-y")) or _ome_mpp(ome, "Y"),
        )

    def read(self, level: int, x: int, y: int, width: int, height: int) -> UInt8[np.ndarray, "h w 3"]:
        """Return a region of a level, see `Reader.read`."""
        shrink = self._slide.level_downsamples[level]  # its own notion, so that it starts at just this pixel
        place = (round(x * shrink), round(y * shrink))
        try:
            with self._lock:
                found = self._slide.read_region(place, level, (width, height), as_array=True)
        except Exception as error:
            raise Unreadable(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
        return np.ascontiguousarray(found[..., :3])

    def close(self) -> None:
        """Close the file."""
        self._slide.close()


def _ome_mpp(description: str, axis: str) -> float | None:
    """Return the resolution that an OME-XML header states for its first image; TiffSlide does not read it."""
    size = re.search(rf'PhysicalSize{axis}="([^"]+)"', description)
    unit = re.search(rf'PhysicalSize{axis}Unit="([^"]+)"', description)
    factor = _MICRONS.get(unit[1] if unit else "µm")
    return positive(float(size[1]) * factor) if size and factor else None


def open_slide(path: Path) -> TiffSlideReader:
    """Open a slide.

    Raises:
        NotMine: it is no TIFF, or one that is no slide.
        MissingExtraError: the library is not installed.
    """
    try:
        import tiffslide
    except ImportError as error:
        raise MissingExtraError("tiffslide", "slides") from error
    try:
        reader = TiffSlideReader(tiffslide.TiffSlide(path))
        reader.read(len(reader.levels) - 1, 0, 0, 1, 1)
    except Exception as error:
        raise NotMine(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
    return reader
