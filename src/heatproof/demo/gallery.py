"""The pictures of the demonstration: written as PNG files and embedded into the page."""

import base64
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image, ImageDraw

from heatproof.report.color import Scale, number, palette
from heatproof.report.overlay import overlay
from heatproof.report.view import OPACITY
from heatproof.types import Explanation

_FADE = 0.82  # how far pixels without stain are faded to white
_LINE = (220, 30, 120)  # a hue that neither stain has, nor the map's colors


class Gallery:
    """A folder of PNG files, each also as text to embed.

    Attributes:
        folder: where they go.
        files: what was written, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []

    def add(self, name: str, picture: Image.Image) -> str:
        """Write a picture and return it as a data URI."""
        data = io.BytesIO()
        picture.save(data, "PNG", optimize=True)
        path = self.folder / f"{name}.png"
        path.write_bytes(data.getvalue())
        self.files.append(path)
        return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode("ascii")


def panel(picture: UInt8[np.ndarray, "h w 3"] | Image.Image, factor: int = 1) -> Image.Image:
    """Return a picture enlarged by a whole factor, each pixel a square, so that nothing is invented between pixels."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.ascontiguousarray(picture))
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def stained(picture: UInt8[np.ndarray, "h w 3"], truth: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture with all but the stained pixels faded."""
    faded = np.rint(picture * (1 - _FADE) + 255 * _FADE).astype(np.uint8)
    return np.where(truth[..., None], picture, faded)


def drawn(ex: Explanation, index: int, vmax: float) -> Image.Image:
    """Return one map over its input on a given scale, without a frame."""
    return overlay(ex, index, vmax=vmax, frame=False)


def with_lines(picture: Image.Image, columns: Iterable[int]) -> Image.Image:
    """Return the picture with a dashed upright line at each column."""
    marked = picture.copy()
    draw = ImageDraw.Draw(marked)
    for column in columns:
        for row in range(0, marked.height, 12):
            draw.line((column, row, column, min(row + 6, marked.height)), fill=_LINE, width=2)
    return marked


def legend(scale: Scale) -> dict[str, str]:
    """Return what a color bar in HTML needs: its gradient, from where colors are drawn on, and its numbers."""
    colors = palette(scale.signed)
    stops = ", ".join(
        f"rgb({r} {g} {b}) {i / (len(colors) - 1):.1%}" for i, (r, g, b) in list(enumerate(colors.tolist()))[::17]
    )
    return {
        "gradient": f"linear-gradient(90deg, {stops})",
        "empty": f"{scale.threshold:.0%}",
        "opacity": str(OPACITY),
        "floor": number(scale.floor),
        "end": number(scale.vmax),
    }
