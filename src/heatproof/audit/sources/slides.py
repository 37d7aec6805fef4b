"""Whole slides: a table that lists slides, each taken apart into the tiles of its tissue.

What makes a table one of slides is a column `mpp`, the microns per pixel that the model sees, beside files that are no
ordinary pictures. Beside the roles of any table it may have `tile` (pixels per side, 256), and `slide_mpp` for slides
that do not say their resolution. Each row's annotation file holds an expert's outlines (QuPath GeoJSON, ASAP or
ImageScope XML). What belongs together are patients, where a column says so, or else slides; never tiles.

Where a slide is outlined, a tile's label is the class that covers most of it, or "other"; elsewhere it is the slide's.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from heatproof.audit.entry import Entry, Roles
from heatproof.audit.sources._roles import find_roles
from heatproof.audit.sources._rows import is_table, open_table
from heatproof.audit.sources._tiles import OTHER, Slices, opened, outlines_of, stamp_of, tiles_of
from heatproof.audit.sources.table import TableSource
from heatproof.audit.sources.table import open_source as open_rows
from heatproof.errors import InputError
from heatproof.inputs import read
from heatproof.inputs.slide import Slide, Unreadable
from heatproof.plugins import simplify
from heatproof.types import Input
from heatproof.wsi.annotations import mask_in

NAME = "Slides"
ALIASES = ("wsi", "whole slides")
TIER = "core"
BIBTEX = ""

SLIDE = "slide"
"""What tiles belong to where no column says the patient."""
MPP, TILE, SLIDE_MPP = "mpp", "tile", "slidempp"
"""Columns, in any spelling."""
_SIDE = 256
_PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".npy", ".npz")
"""What is no slide, whatever columns stand beside it."""


def open_source(data: str, roles: Roles) -> "SlideSource | None":
    """Return the tiles of the slides that a table lists; None for what is no table, or none of slides.

    Raises:
        InputError: it cannot be read, or no column names the slides.
        UsageError: a column that is told does not exist.
    """
    if not is_table(data):
        return None
    names = open_table(data).columns
    if MPP not in map(simplify, names):
        return None
    by_slide = roles.cluster == SLIDE and (
        SLIDE not in names or find_roles(names, Roles(path=roles.path), data).path == SLIDE
    )
    rows = open_rows(data, replace(roles, cluster="") if by_slide else roles)
    if rows is None or next(iter(rows)).location.lower().endswith(_PICTURES):
        return None
    return SlideSource(rows)


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
        self._kept = tuple(name for name in rows.columns if name not in self._given.values())
        self.columns = tuple(dict.fromkeys((*self._kept, SLIDE)))

    def __iter__(self) -> Iterator[Entry]:
        """Yield the entries of all tiles; a slide that cannot be used is one entry, whose reading says why."""
        for row in self.rows:
            columns = {SLIDE: row.id} | {name: row.columns[name] for name in self._kept}
            columns = {name: columns[name] for name in self.columns}
            try:
                how = self._slices(row)
                places, labels = tiles_of(how, stamp_of(how.slide), stamp_of(how.outlines)).all()
            except InputError as error:
                told = {"slide": row.location, "reason": _nameless(str(error), row)}
                yield replace(row, location=json.dumps(told), annotation=None, columns=columns)
                continue
            for (x, y), label in zip(places.tolist(), labels, strict=True):
                place = {**asdict(how), "x": x, "y": y}
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
            pixels = _slide(place).read(place["x"], place["y"], side, side, place["mpp"])
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
        size = (place["side"], place["side"])
        outlines = outlines_of(place["outlines"], stamp_of(place["outlines"]))
        mask = mask_in(outlines, _slide(place), place["mpp"], (place["x"], place["y"]), size, place["label"])
        return torch.from_numpy(mask.copy())

    def fingerprint(self) -> str:
        """Return a SHA-256 of the table's own bytes and its roles, the sizes of the slides and all outlines."""
        digest = hashlib.sha256(self.rows.fingerprint().encode())
        for row in self.rows:
            digest.update(f"{row.id} {stamp_of(row.location)[0]}\n".encode())
            file = Path(row.annotation or "")
            digest.update(file.read_bytes() if row.annotation and file.is_file() else b"-")
        return digest.hexdigest()

    def _slices(self, row: Entry) -> Slices:
        mpp, side, own = (self._number(row, name) for name in (MPP, TILE, SLIDE_MPP))
        if mpp is None:
            raise InputError(f"{row.id} has nothing in the column mpp; write the microns per pixel of the model.")
        if not row.location:
            raise InputError(f"{row.id} has nothing in the column {self.roles.path!r}; write its path.")
        if side is not None and side != round(side):
            raise InputError(f"{row.id} has tiles of {side:g} pixels; write a whole number.")
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
        if not found > 0 or not isfinite(found):
            raise InputError(f"{row.id} has {value!r} in the column {column}; write a number above 0.")
        return found


def _nameless(sentence: str, row: Entry) -> str:
    """Return a sentence about a slide that calls it, and its outlines, by the row's identifier alone."""
    for path, name in ((row.location, "\0"), (row.annotation or "", "The outlines of \0")):
        for told in (path, Path(path).name):
            sentence = sentence.replace(told, name) if told else sentence
    # what is an option of `heatproof wsi` is a column here
    return sentence.replace("\0", row.id).replace("--slide-mpp", "the column slide_mpp")


def _slide(place: dict[str, Any]) -> Slide:
    return opened(place["slide"], place["slide_mpp"], stamp_of(place["slide"]))
