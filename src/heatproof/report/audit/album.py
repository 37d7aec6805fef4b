"""The pictures of the page, within its budget: drawn anew, so that nothing but pixels gets in."""

import base64
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from PIL import Image

Images = Literal["full", "thumbnail", "none"]
BUDGET = 11_000_000
"""Letters that all pictures of a page may take; with them it stays below 15 MB."""
_SIDES: dict[Images, list[int]] = {
    "full": [768, 560, 400, 288, 208, 144, 96, 64],
    "thumbnail": [144, 96, 64],
    "none": [],
}
_QUALITY = 82


class Album:
    """Pictures by file, as data URIs of one size.

    A file's own bytes are never passed on: they may carry a name, a place, or a header that says more.

    Attributes:
        side: longest side in pixels that pictures were brought to; 0 where there are none.
        reduced: whether they had to be smaller than asked for, for the page to stay below its limit.
    """

    def __init__(self, folder: Path, files: Iterable[str], images: Images, *, budget: int = BUDGET) -> None:
        self._folder = folder.resolve()
        self._made: dict[str, str] = {}
        self.side, self.reduced = 0, False
        wanted = list(dict.fromkeys(files))
        sides = _SIDES[images]
        for side in sides:
            self.side, self.reduced = side, side != sides[0]
            self._made = self._all(wanted, side, budget)
            if sum(map(len, self._made.values())) <= budget:
                return
        if sides:  # even the smallest are too many
            self._made = {}
            self.side = 0

    def uri(self, file: str | None) -> str | None:
        """Return a picture as a data URI; None where it is not there, not wanted or not readable."""
        return None if file is None else self._made.get(file)

    def _all(self, files: list[str], side: int, budget: int) -> dict[str, str]:
        made: dict[str, str] = {}
        spent = 0
        for file in files:
            if data := self._read(file, side):
                made[file] = data
                spent += len(data)
            if spent > budget:
                break  # too large a side; the rest need not be drawn to know
        return made

    def _read(self, file: str, side: int) -> str | None:
        path = (self._folder / file).resolve()
        if not path.is_relative_to(self._folder):
            return None
        try:
            with Image.open(path) as opened:
                picture = opened.convert("RGBA" if opened.has_transparency_data else "RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            return None  # the page says that it is not there
        if max(picture.size) > side:
            picture.thumbnail((side, side), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=_QUALITY, method=2)
        return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
