"""OpenSlide: the formats of most scanners, DICOM and tiled TIFF."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from heatproof.errors import MissingExtraError
from heatproof.inputs.readers._reader import NotMine, Unreadable, on_white, positive

NAME = "OpenSlide"
ALIASES = ()
TIER = "core"

_BLOCK = 256  # pixels of a level


class OpenSlideReader:
    """A slide that OpenSlide has opened."""

    def __init__(self, library: Any, path: Path) -> None:
        self._library, self._path = library, path
        self._lock = threading.Lock()
        self._slide = library.OpenSlide(str(path))
        told = self._slide.properties
        self.vendor = str(told.get("openslide.vendor", "unknown"))
        self.levels = tuple((int(w), int(h)) for w, h in self._slide.level_dimensions)
        self.mpp = (positive(told.get("openslide.mpp-x")), positive(told.get("openslide.mpp-y")))
        # its own notion, so that regions start at just the pixel of the level that is meant
        self._shrinks = tuple(float(one) for one in self._slide.level_downsamples)

    def read(self, level: int, x: int, y: int, width: int, height: int) -> UInt8[np.ndarray, "h w 3"]:
        """Return a region of a level, see `Reader.read`."""
        shrink = self._shrinks[level]
        if shrink == round(shrink):
            return self._region(level, x, y, width, height)
        # Regions begin at whole pixels of the finest level, and are interpolated: read from any place, a pixel would
        # differ with it, and tiles would not fit. Read from one lattice, it does not.
        left, top = x // _BLOCK * _BLOCK, y // _BLOCK * _BLOCK
        rows = [
            np.concatenate(
                [self._region(level, column, row, _BLOCK, _BLOCK) for column in range(left, x + width, _BLOCK)], axis=1
            )
            for row in range(top, y + height, _BLOCK)
        ]
        return np.concatenate(rows)[y - top : y - top + height, x - left : x - left + width]

    def _region(self, level: int, x: int, y: int, width: int, height: int) -> UInt8[np.ndarray, "h w 3"]:
        slide, shrink = self._slide, self._shrinks[level]
        asked = ((round(x * shrink), round(y * shrink)), level, (width, height))
        try:
            return on_white(slide.read_region(*asked))
        except self._library.OpenSlideError:
            self._reopen(slide)
        # After an error the library refuses all else from the same handle, to other threads, too: whether it is this
        # region that is broken, only a handle of its own tells.
        alone = self._library.OpenSlide(str(self._path))
        try:
            return on_white(alone.read_region(*asked))
        except self._library.OpenSlideError as error:
            raise Unreadable(" ".join(str(error).split())) from error
        finally:
            alone.close()

    def _reopen(self, broken: Any) -> None:
        with self._lock:
            if self._slide is broken:  # another thread may have done it
                self._slide = self._library.OpenSlide(str(self._path))

    def close(self) -> None:
        """Close the file."""
        self._slide.close()


def open_slide(path: Path) -> OpenSlideReader:
    """Open a slide.

    Raises:
        NotMine: it is not of a format that OpenSlide knows, or it is broken.
        MissingExtraError: the library is not installed.
    """
    try:
        import openslide
    except ImportError as error:
        raise MissingExtraError("openslide-python", "slides") from error
    try:
        return OpenSlideReader(openslide, path)
    except openslide.OpenSlideError as error:
        raise NotMine(" ".join(str(error).split())) from error
