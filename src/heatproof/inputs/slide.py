"""Whole slides: opened by the library that reads them best, and read by microns per pixel, never by level number."""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from heatproof.errors import HeatproofWarning, InputError, MissingExtraError, UsageError
from heatproof.inputs.readers._reader import NotMine, Reader, Scale, Unreadable, level_scale
from heatproof.inputs.truncation import check_complete
from heatproof.plugins import Plugin, discover

__all__ = ["Slide", "Unreadable", "open_slide"]

_ALIKE = 0.01  # a scanner's pixels are square to within this share
_COARSEST_READ = 2048  # pixels of a level decoded at once for an overview
_SLACK = 0.02  # an MPP this much finer than the slide's is taken for the slide's own


@dataclass(frozen=True, eq=False)
class Slide:
    """An open whole slide.

    Places and sizes are in pixels at the microns per pixel that the caller asks for, with (0, 0) the upper left corner.

    Attributes:
        path: the file.
        mpp: microns per pixel of the finest level, across and down.
        reader: the library's handle.
    """

    path: Path
    mpp: tuple[float, float]
    reader: Reader = field(repr=False)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels of the finest level."""
        return self.reader.levels[0]

    @property
    def millimeters(self) -> tuple[float, float]:
        """Width and height in mm."""
        return self.size[0] * self.mpp[0] / 1000, self.size[1] * self.mpp[1] / 1000

    @cached_property
    def _scales(self) -> tuple[Scale, ...]:
        return tuple(level_scale(self.size, level) for level in self.reader.levels)

    def scale(self, mpp: float | int) -> Scale:
        """Return how many pixels of the finest level one pixel at `mpp` spans."""
        return Scale(mpp / self.mpp[0], mpp / self.mpp[1])

    def size_at(self, mpp: float | int) -> tuple[int, int]:
        """Return width and height in pixels at `mpp`, rounded up."""
        wanted = self.scale(mpp)
        width, height = self.size
        return int(np.ceil(width / wanted.x - 1e-6)), int(np.ceil(height / wanted.y - 1e-6))

    def check(self, mpp: float | int) -> None:
        """Raise where the slide is coarser than what a model wants to see.

        Raises:
            UsageError: `mpp` is not positive.
            InputError: detail would have to be invented.
        """
        if not mpp > 0:
            raise UsageError(f"mpp={mpp} must be above 0: the microns per pixel that the model was trained at.")
        if mpp < max(self.mpp) * (1 - _SLACK):
            raise InputError(
                f"The model wants {mpp:g} microns per pixel, but {self.path.name} was scanned at {max(self.mpp):g}: "
                f"the detail it was trained on is not there. Use a finer scan, or a model for {max(self.mpp):g} or "
                "coarser."
            )

    def read(self, x: int, y: int, width: int, height: int, mpp: float | int) -> UInt8[np.ndarray, "h w 3"]:
        """Return a region as RGB at `mpp`; what lies outside of the slide is white.

        Neighboring regions fit without a seam: a pixel's value does not depend on which region it was read with.

        Raises:
            Unreadable: a part of it cannot be decoded.
        """
        wanted = self.scale(mpp)
        level = self._level(wanted)
        have = self._scales[level]
        factors = (wanted.x / have.x, wanted.y / have.y)
        limits = self.reader.levels[level]
        if all(abs(f - 1) * side < 0.5 for f, side in zip(factors, limits, strict=True)):
            return self._padded(level, x, y, width, height)
        begin = (x * factors[0], y * factors[1])
        end = ((x + width) * factors[0], (y + height) * factors[1])
        margin = [int(np.ceil(max(f, 1.0))) + 1 for f in factors]
        left, top = (int(np.floor(b)) - m for b, m in zip(begin, margin, strict=True))
        right, bottom = (int(np.ceil(e)) + m for e, m in zip(end, margin, strict=True))
        source = Image.fromarray(self._padded(level, left, top, right - left, bottom - top))
        box = (begin[0] - left, begin[1] - top, end[0] - left, end[1] - top)
        return np.asarray(source.resize((width, height), Image.Resampling.BILINEAR, box=box))

    def overview(self, mpp: float | int) -> UInt8[np.ndarray, "h w 3"]:
        """Return the whole slide at a coarse `mpp`, read part by part, so that memory stays bounded.

        Parts that cannot be decoded are white.

        Warns:
            HeatproofWarning: there are such parts.
        """
        width, height = self.size_at(mpp)
        whole, lost = np.full((height, width, 3), 255, np.uint8), 0
        parts = list(self._parts(width, height, mpp))
        for x, y, w, h in parts:
            try:
                whole[y : y + h, x : x + w] = self.read(x, y, w, h, mpp)
            except Unreadable:
                lost += 1
        if lost:
            warnings.warn(
                f"{lost} of {len(parts)} parts of the overview of {self.path.name} cannot be decoded and are taken for "
                "empty glass; get an intact copy.",
                HeatproofWarning,
                stacklevel=2,
            )
        return whole

    def _parts(self, width: int, height: int, mpp: float | int) -> Iterator[tuple[int, int, int, int]]:
        wanted = self.scale(mpp)
        have = self._scales[self._level(wanted)]
        side = max(1, int(_COARSEST_READ / max(wanted.x / have.x, wanted.y / have.y, 1.0)))
        for y, x in product(range(0, height, side), range(0, width, side)):
            yield x, y, min(side, width - x), min(side, height - y)

    def _level(self, wanted: Scale) -> int:
        """Return the coarsest level that is at least as fine as wanted."""
        fine = [i for i, s in enumerate(self._scales) if s.x <= wanted.x * 1.01 and s.y <= wanted.y * 1.01]
        return max(fine, key=lambda i: self._scales[i].x, default=0)

    def _padded(self, level: int, x: int, y: int, width: int, height: int) -> UInt8[np.ndarray, "h w 3"]:
        limit_x, limit_y = self.reader.levels[level]
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + width, limit_x), min(y + height, limit_y)
        if (left, top, right, bottom) == (x, y, x + width, y + height):
            return self.reader.read(level, x, y, width, height)
        whole = np.full((height, width, 3), 255, np.uint8)
        if right > left and bottom > top:
            part = self.reader.read(level, left, top, right - left, bottom - top)
            whole[top - y : bottom - y, left - x : right - x] = part
        return whole

    def close(self) -> None:
        """Close the file."""
        self.reader.close()

    def __enter__(self) -> "Slide":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_slide(path: str | Path, mpp: float | int | Sequence[float | int] | None = None) -> Slide:
    """Open a whole slide.

    Args:
        path: a file of any format that OpenSlide or TiffSlide reads.
        mpp: microns per pixel of its finest level (across, down, if they differ), where the file does not say or is
            wrong. Never guessed: lengths, areas and what the model sees depend on it.

    Raises:
        InputError: it cannot be read, is truncated, or does not say its resolution.
        UsageError: `mpp` is not positive.
    """
    path = Path(path).expanduser()
    if not path.exists():
        raise InputError(f"The slide {path} does not exist; check the path (now in {Path.cwd()}).")
    if path.is_file() and path.stat().st_size == 0:
        raise InputError(f"{path} is empty (0 bytes); get an intact copy.")
    check_complete(path)
    reader = _opened(path)
    try:
        return Slide(path, _resolution(path, reader, mpp), reader)
    except BaseException:
        reader.close()
        raise


def _opened(path: Path) -> Reader:
    found = discover("heatproof.inputs.readers", "open_slide", "heatproof.readers")
    reasons: list[str] = []

    def order(plugin: Plugin) -> tuple[bool, bool]:
        better = any(path.name.lower().endswith(ending) for ending in plugin.aliases)
        return not better, plugin.name != "openslide"

    missing: MissingExtraError | None = None
    for plugin in sorted(found.values(), key=order):
        try:
            return plugin.function(path)
        except NotMine as reason:
            reasons.append(f"{plugin.title}: {reason}")
        except MissingExtraError as error:
            missing = missing or error
    if missing is not None and not reasons:
        raise missing
    raise InputError(
        f"{path} is not a slide that can be read ({'; '.join(reasons)}); get an intact copy, or convert it to a "
        "pyramidal TIFF."
    )


def _resolution(path: Path, reader: Reader, given: float | int | Sequence[float | int] | None) -> tuple[float, float]:
    if given is not None:
        pair = (float(given), float(given)) if isinstance(given, int | float) else (float(given[0]), float(given[1]))
        if not all(0 < side < float("inf") for side in pair):
            raise UsageError(f"The slide's MPP was given as {given}; it must be above 0, in microns per pixel.")
        return pair
    across, down = reader.mpp
    if across is None or down is None:
        raise InputError(
            f"{path.name} does not say its resolution; give the microns per pixel of its finest level with --slide-mpp "
            "(in Python: open_slide(path, mpp=...)). It is on the scanner's data sheet: often 0.25 at 40x, 0.5 at 20x."
        )
    if abs(across - down) > _ALIKE * max(across, down):
        raise InputError(
            f"{path.name} says {across:g} microns per pixel across and {down:g} down, which no common scanner makes; "
            f"if that is right, confirm it with --slide-mpp {across:g},{down:g}, otherwise give the right one."
        )
    return across, down
