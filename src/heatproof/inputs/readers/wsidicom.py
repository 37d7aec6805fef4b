"""wsidicom: DICOM slides given as a folder, and those whose transfer syntax OpenSlide does not decode."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from heatproof.errors import MissingExtraError
from heatproof.inputs.readers._reader import NotMine, Unreadable, positive
from heatproof.inputs.readers._series import series_of

NAME = "wsidicom"
ALIASES = ()
TIER = "core"


class WsiDicomReader:
    """A slide that wsidicom has opened."""

    vendor = "dicom"

    def __init__(self, slide: Any) -> None:
        self._slide = slide
        self._levels = sorted(slide.levels, key=lambda level: -level.size.width)
        self.levels = tuple((int(one.size.width), int(one.size.height)) for one in self._levels)
        finest = self._levels[0]
        self.mpp = (positive(finest.mpp.width), positive(finest.mpp.height))

    def read(self, level: int, x: int, y: int, width: int, height: int) -> UInt8[np.ndarray, "h w 3"]:
        """Return a region of a level, see `Reader.read`."""
        index = self._levels[level].level  # the library's own numbers are powers of two, and some may be missing
        try:
            picture = self._slide.read_region((x, y), index, (width, height))
        except Exception as error:
            raise Unreadable(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
        return np.asarray(picture.convert("RGB"))

    def close(self) -> None:
        """Close the file."""
        self._slide.close()


def open_slide(path: Path) -> WsiDicomReader:
    """Open a slide: one of its files, whose folder holds the others, or the folder.

    Raises:
        NotMine: it is no DICOM slide.
        MissingExtraError: the library is not installed.
    """
    try:
        import wsidicom
    except ImportError as error:
        raise MissingExtraError("wsidicom", "slides") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on values of headers that it does not use
            return WsiDicomReader(wsidicom.WsiDicom.open(series_of(path)))
    except NotMine:
        raise
    except Exception as error:
        raise NotMine(f"{type(error).__name__}: {' '.join(str(error).split())}") from error
