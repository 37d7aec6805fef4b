"""Whole slides: a table that lists slides, each taken apart into the tiles of its tissue.

What makes a table one of slides is a column `mpp`, the microns per pixel that the model sees; beside the roles of any
table it may have `tile` (pixels per side, 256), and `slide_mpp` for slides that do not say their resolution. Each row's
annotation file holds an expert's outlines (QuPath GeoJSON, ASAP or ImageScope XML). What belongs together are
patients, where a column says so, or else slides; never tiles.

Where a slide is outlined, a tile's label is the class that covers most of it, or "other"; elsewhere it is the slide's.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image

from heatproof.audit.entry import Entry, Roles
from heatproof.audit.sources._rows import is_table, open_table
from heatproof.audit.sources.table import TableSource
from heatproof.audit.sources.table import open_source as open_rows
from heatproof.errors import InputError, MissingExtraError
from heatproof.inputs import read
from heatproof.inputs.slide import Slide, Unreadable, open_slide
from heatproof.plugins import simplify
from heatproof.types import Input
from heatproof.wsi.annotations import Outline, mask_in, mask_of, read_outlines
from heatproof.wsi.tissue import find_tissue

NAME = "slides"
ALIASES = ("wsi", "whole slides")
TIER = "core"
BIBTEX = ""

SLIDE, OTHER = "slide", "other"
"""What tiles belong to where no column says the patient; the label of tiles that no outline covers."""
MPP, TILE, SLIDE_MPP = "mpp", "tile", "slidempp"
"""Columns, in any spelling."""
_SIDE = 256
_MOST_OPEN = 8
_TISSUE, _COVERED = 0.5, 0.5
"""Share of a tile that must be tissue for it to be looked at, and lie in outlines of a class to be of it."""


@dataclass(frozen=True)
class Slices:
    """How a slide is taken apart.

    Attributes:
        slide: its path.
        mpp: microns per pixel of the tiles.
        side: pixels per side of a tile.
        slide_mpp: microns per pixel of the finest level, where the file does not say.
        outlines: path of an expert's outlines; empty without.
    """

    slide: str
    mpp: float
    side: int
    slide_mpp: float | None = None
    outlines: str = ""


def open_source(data: str, roles: Roles) -> "SlideSource | None":
    """Return the tiles of the slides that a table lists; None for what is no table, or one without a column `mpp`.

    Raises:
        InputError: it cannot be read, or no column names the slides.
        UsageError: a column that is told does not exist.
    """
    if not is_table(data):
        return None
    if MPP not in map(simplify, open_table(data).columns):
        return None
    rows = open_rows(data, replace(roles, cluster=None) if roles.cluster == SLIDE else roles)
    return None if rows is None else SlideSource(rows)


class SlideSource:
    """Tiles of tissue of the slides that a table lists, slide by slide, row by row of tiles.

    Args:
        rows: the slides.
    """

    kind = "slides"
    labels = None

    def __init__(self, rows: TableSource) -> None:
        self.rows, self.data = rows, rows.data
        self.roles = replace(rows.roles, cluster=rows.roles.cluster or SLIDE)
        by_name = {simplify(name): name for name in rows.columns}
        self._given = {name: by_name.get(name) for name in (MPP, TILE, SLIDE_MPP)}
        self.columns = (*(name for name in rows.columns if name not in self._given.values()), SLIDE)

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries of all tiles; a slide that cannot be opened is one entry, whose reading says why."""
        for row in self.rows:
            columns = {name: row.columns[name] for name in self.columns if name != SLIDE} | {SLIDE: row.id}
            try:
                how = self._slices(row)
                places, labels = _tiles(how)
            except InputError as error:
                reason = str(error).replace(row.location, row.id) if row.location else str(error)
                yield replace(row, location=json.dumps({"reason": reason}), annotation=None, columns=columns)
                continue
            for (x, y), label in zip(places.tolist(), labels or [None] * len(places), strict=True):
                place = {**how.__dict__, "x": x, "y": y}
                yield Entry(
                    id=f"{row.id}@{x},{y}",
                    location=json.dumps(place),
                    label=row.label if label is None else label,
                    annotation=json.dumps({**place, "label": label}) if label not in (None, OTHER) else None,
                    cluster=row.cluster or row.id,
                    columns=columns,
                )

    def read(self, entry: Entry) -> tuple[Input, str]:
        """Return a tile and the SHA-256 of its pixels.

        Raises:
            InputError: the slide cannot be opened, or the tile not be decoded; the sentence says why.
        """
        place: dict[str, Any] = json.loads(entry.location)
        if "reason" in place:
            raise InputError(place["reason"])
        side = place["side"]
        try:
            pixels = _opened(place["slide"], place["slide_mpp"]).read(place["x"], place["y"], side, side, place["mpp"])
        except Unreadable as error:
            raise InputError(f"{entry.id} cannot be decoded ({error}); get an intact copy of the slide.") from error
        return read(Image.fromarray(pixels), name=entry.id), hashlib.sha256(pixels.tobytes()).hexdigest()

    def annotation(self, entry: Entry) -> Any:
        """Return where in a tile its class is outlined, (side, side); None where nothing is outlined.

        Raises:
            InputError: the outlines cannot be read.
        """
        if entry.annotation is None:
            return None
        place: dict[str, Any] = json.loads(entry.annotation)
        slide = _opened(place["slide"], place["slide_mpp"])
        size = (place["side"], place["side"])
        mask = mask_in(
            _outlines(place["outlines"]), slide, place["mpp"], (place["x"], place["y"]), size, place["label"]
        )
        return torch.from_numpy(mask.copy())

    def fingerprint(self) -> str:
        """Return a SHA-256 of the table's own bytes and its roles."""
        return self.rows.fingerprint()

    def _slices(self, row: Entry) -> Slices:
        mpp, side, own = (self._number(row, name) for name in (MPP, TILE, SLIDE_MPP))
        if mpp is None:
            raise InputError(
                f"{row.id} has nothing in the column mpp; write the microns per pixel that the model sees."
            )
        if not row.location:
            raise InputError(f"{row.id} has nothing in the column {self.roles.path!r}; write its path.")
        return Slices(row.location, mpp, int(side or _SIDE), own, row.annotation or "")

    def _number(self, row: Entry, name: str) -> float | None:
        column = self._given[name]
        value = row.columns[column] if column else None
        if value is None:
            return None
        try:
            found = float(value)
        except ValueError:
            found = 0.0
        if not found > 0:
            raise InputError(f"{row.id} has {value!r} in the column {column}; write a number above 0.")
        return found


@lru_cache(maxsize=_MOST_OPEN)
def _opened(path: str, mpp: float | None) -> Slide:
    try:
        return open_slide(path, mpp)
    except MissingExtraError as error:
        raise InputError(str(error)) from error


@lru_cache(maxsize=_MOST_OPEN)
def _outlines(path: str) -> tuple[Outline, ...]:
    return tuple(read_outlines(Path(path)))


@lru_cache(maxsize=4096)
def _tiles(how: Slices) -> tuple[Int[np.ndarray, "n 2"], list[str] | None]:
    """Return x and y of each tile that is tissue, and its class where the slide is outlined.

    Raises:
        InputError: the slide or its outlines cannot be read, or there is no tissue.
    """
    slide = _opened(how.slide, how.slide_mpp)
    slide.check(how.mpp)
    tissue = find_tissue(slide)
    width, height = slide.size_at(how.mpp)
    corners = np.stack(np.meshgrid(np.arange(0, width, how.side), np.arange(0, height, how.side)), -1).reshape(-1, 2)

    finer = how.mpp / tissue.mpp
    kept = corners[_share(tissue.mask, corners * finer, how.side * finer) >= _TISSUE].astype(np.int32)
    if not how.outlines:
        return kept, None
    outlines = _outlines(how.outlines)
    classes = sorted({one.label for one in outlines})
    masks = (mask_of(outlines, slide, tissue.mpp, [one]) for one in classes)
    covered = np.stack([_share(mask, kept * finer, how.side * finer) for mask in masks])
    best = zip(covered.argmax(0).tolist(), covered.max(0).tolist(), strict=True)
    return kept, [classes[k] if most >= _COVERED else OTHER for k, most in best]


def _share(mask: Bool[np.ndarray, "h w"], corners: Float[np.ndarray, "n 2"], side: float) -> Float[np.ndarray, " n"]:
    """Return how much of each square a mask covers; what lies outside of the mask is not covered."""
    table = np.pad(mask.cumsum(0, dtype=np.int64).cumsum(1), ((1, 0), (1, 0)))  # sums over all rectangles at (0, 0)
    limits = mask.shape[::-1]
    left, top = np.minimum(np.rint(corners).astype(int), limits).T
    right, bottom = np.minimum(np.rint(corners + side).astype(int), limits).T
    inside = table[bottom, right] - table[top, right] - table[bottom, left] + table[top, left]
    return inside / side**2
