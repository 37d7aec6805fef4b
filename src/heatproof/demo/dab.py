"""The photomicrograph behind the bundled model: the field, its DAB truth, and the tiles cut from it.

scikit-image ships the picture inside its wheel (`skimage.data.immunohistochemistry`): colonic glands, in which FHL2
protein is revealed by the brown chromogen DAB; the counterstain hematoxylin is blue. Color deconvolution separates the
two, so the place of the stain is known without an expert's marks.
"""

from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

TILE = 48
"""Side of a tile, in pixels."""
SPLIT = {"train": (0, 224), "test": (288, 512)}
"""Columns (first, last + 1) that each part may use. The gap is wider than a tile and than the receptive field."""
POSITIVE = (0.05, 0.40)
"""Share of DAB-stained pixels in a positive tile: enough to see, little enough that chance is low."""
NEGATIVE = 0.01
"""Share of DAB-stained pixels that a negative tile stays below. Tiles in between belong to neither class."""

Part = Literal["train", "test"]


@dataclass(frozen=True, eq=False)
class Tiles:
    """Tiles of one part of the field.

    Attributes:
        images: (n, TILE, TILE, 3) RGB.
        truths: (n, TILE, TILE) where DAB is.
        labels: (n,) 1 = DAB-positive, 0 = DAB-negative.
        corners: (n, 2) row and column of the upper left pixel in the field.
    """

    images: UInt8[np.ndarray, "n h w 3"]
    truths: Bool[np.ndarray, "n h w"]
    labels: Int[np.ndarray, " n"]
    corners: Int[np.ndarray, "n 2"]

    def __len__(self) -> int:
        return len(self.labels)


@cache
def field() -> UInt8[np.ndarray, "512 512 3"]:
    """Return the whole field as RGB; it lies in scikit-image's wheel, so nothing is downloaded."""
    from skimage.data import immunohistochemistry

    return _frozen(immunohistochemistry())


@cache
def stain() -> Float[np.ndarray, "512 512"]:
    """Return the amount of DAB at every pixel, by color deconvolution (Ruifrok & Johnston 2001)."""
    from skimage.color import rgb2hed

    return _frozen(rgb2hed(field())[..., 2])


@cache
def truth() -> Bool[np.ndarray, "512 512"]:
    """Return where DAB is: `stain` above its Otsu threshold (Otsu 1979), taken over the whole field."""
    from skimage.filters import threshold_otsu

    return _frozen(stain() > threshold_otsu(stain()))


def tiles(part: Part, step: int = 4) -> Tiles:
    """Return all tiles of one part that belong to a class, on a lattice of `step` pixels, row by row."""
    first, last = SPLIT[part]
    rows = range(0, field().shape[0] - TILE + 1, step)
    lattice = [(row, column) for row in rows for column in range(first, last - TILE + 1, step)]
    share = np.array([cut(truth(), corner).mean() for corner in lattice])
    positive = (share >= POSITIVE[0]) & (share <= POSITIVE[1])
    kept = np.flatnonzero(positive | (share < NEGATIVE))
    corners = np.array(lattice)[kept]
    return Tiles(
        images=np.stack([cut(field(), corner) for corner in corners]),
        truths=np.stack([cut(truth(), corner) for corner in corners]),
        labels=positive[kept].astype(np.int64),
        corners=corners,
    )


def cut(picture: np.ndarray, corner: tuple[int, int] | np.ndarray) -> np.ndarray:
    """Return the tile of `picture` (rows, columns, ...) whose upper left pixel is `corner`."""
    row, column = corner
    return picture[row : row + TILE, column : column + TILE]


def _frozen(array: np.ndarray) -> np.ndarray:
    # the cache hands the same array to every caller, so none of them may write into it
    array.setflags(write=False)
    return array
