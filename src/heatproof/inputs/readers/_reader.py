"""What every reader of whole slides offers."""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8
from PIL import Image


class NotMine(Exception):  # noqa: N818  no error: the next reader is asked
    """A reader cannot open this file; the message says why."""


class Unreadable(Exception):  # noqa: N818  becomes a mark in the result, see `heatproof.wsi`
    """A region of a slide cannot be decoded; the message says why."""


@runtime_checkable
class Reader(Protocol):
    """An open slide.

    Attributes:
        levels: width and height of every level, in pixels, finest first.
        mpp: microns per pixel of the finest level, across and down; None for what the file does not say.
        vendor: the scanner's format, for reports.
    """

    levels: tuple[tuple[int, int], ...]
    mpp: tuple[float | None, float | None]
    vendor: str

    def read(self, level: int, x: int, y: int, width: int, height: int) -> UInt8[np.ndarray, "h w 3"]:
        """Return a region inside a level, in that level's pixels; transparent parts are white. Thread-safe.

        Raises:
            Unreadable: it cannot be decoded.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


@dataclass(frozen=True)
class Scale:
    """How many pixels of the finest level one pixel of a level spans, across and down."""

    x: float
    y: float


def level_scale(finest: tuple[int, int], level: tuple[int, int]) -> Scale:
    """Return the scale of a level from its size: the whole number that explains both sides, if there is one.

    A side of 3,001 pixels becomes 1,501 and 751: by their ratios, these levels would drift against each other.
    """
    ratios = [a / b for a, b in zip(finest, level, strict=True)]
    whole = round(ratios[0])
    if all(abs(b - a / whole) <= 1 for a, b in zip(finest, level, strict=True)):
        return Scale(float(whole), float(whole))
    return Scale(*ratios)


def on_white(picture: Any) -> UInt8[np.ndarray, "h w 3"]:
    """Return a PIL picture as RGB, transparent parts white."""
    if picture.mode != "RGBA":
        return np.asarray(picture.convert("RGB"))
    white = Image.new("RGB", picture.size, "white")
    white.paste(picture, mask=picture.getchannel("A"))
    return np.asarray(white)


def positive(value: Any) -> float | None:
    """Return a resolution as a number, or None where it is missing or senseless."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    # 72 or 96 dots per inch are what picture programs write by default, and no microscope's resolution
    return number if 0.01 <= number <= 100 else None
