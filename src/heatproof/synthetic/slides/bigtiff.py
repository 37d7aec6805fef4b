"""A writer of tiled BigTIFF pyramids in which equal tiles share their bytes: a slide of 2.5 gigapixels in a few MB."""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image

_SHORT, _LONG, _RATIONAL, _ASCII, _LONG8 = 3, 4, 5, 2, 16
_FORMATS = {_SHORT: "H", _LONG: "I", _LONG8: "Q"}


@dataclass(frozen=True, eq=False)
class Level:
    """One level of a pyramid: its size, and which picture stands at each place.

    Attributes:
        width: in pixels.
        height: in pixels.
        places: (rows, columns) index into `pictures`.
        pictures: the tiles that occur.
    """

    width: int
    height: int
    places: Int[np.ndarray, "r c"]
    pictures: Sequence[UInt8[np.ndarray, "t t 3"]]

    def halved(self) -> "Level":
        """Return the next level: each picture made of four, each combination of four once."""
        rows, columns = (-(-side // 2) for side in self.places.shape)
        padded = np.pad(
            self.places, [(0, 2 * rows - self.places.shape[0]), (0, 2 * columns - self.places.shape[1])], "edge"
        )
        fours = padded.reshape(rows, 2, columns, 2).transpose(0, 2, 1, 3).reshape(-1, 4)
        kinds, places = np.unique(fours, axis=0, return_inverse=True)
        pictures = [_quarter([self.pictures[i] for i in four]) for four in kinds]
        return Level(-(-self.width // 2), -(-self.height // 2), places.reshape(rows, columns), pictures)


def write(path: Path, levels: Sequence[Level], mpp: tuple[float, float] | None, quality: int = 80) -> None:
    """Write the levels, finest first, as JPEG tiles; `mpp` (across, down) goes into the resolution tags."""
    with path.open("wb") as file:
        file.write(struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0))
        link = 8  # where the place of the next directory is to be written
        for number, level in enumerate(levels):
            blobs = [_jpeg(picture, quality) for picture in level.pictures]
            offsets: list[int] = []
            for blob in blobs:
                offsets.append(file.tell())
                file.write(blob)
            places = level.places.ravel()
            scale = 2**number
            entries = _entries(
                level,
                np.array(offsets, np.uint64)[places],
                np.array([len(blob) for blob in blobs], np.uint64)[places],
                reduced=number > 0,
                mpp=None if mpp is None else (mpp[0] * scale, mpp[1] * scale),
            )
            link = _directory(file, entries, link)


def _entries(
    level: Level,
    offsets: np.ndarray,
    counts: np.ndarray,
    *,
    reduced: bool,
    mpp: tuple[float, float] | None,
) -> dict[int, tuple[int, int, bytes]]:
    """Return the directory's entries by tag: type, count, and the packed values."""
    side = level.pictures[0].shape[0]

    def whole(kind: int, *values: int) -> tuple[int, int, bytes]:
        return kind, len(values), struct.pack(f"<{len(values)}{_FORMATS[kind]}", *values)

    found = {
        254: whole(_LONG, int(reduced)),
        256: whole(_LONG, level.width),
        257: whole(_LONG, level.height),
        258: whole(_SHORT, 8, 8, 8),
        259: whole(_SHORT, 7),  # JPEG
        262: whole(_SHORT, 6),  # YCbCr
        277: whole(_SHORT, 3),
        284: whole(_SHORT, 1),
        322: whole(_LONG, side),
        323: whole(_LONG, side),
        324: (_LONG8, len(offsets), offsets.astype("<u8").tobytes()),
        325: (_LONG, len(counts), counts.astype("<u4").tobytes()),
        530: whole(_SHORT, 2, 2),
    }
    if mpp is not None:
        for tag, microns in ((282, mpp[0]), (283, mpp[1])):  # pixels per centimeter
            found[tag] = (_RATIONAL, 1, struct.pack("<II", round(1e7 / microns), 1000))
        found[296] = whole(_SHORT, 3)
    return found


def _directory(file: io.BufferedWriter, entries: dict[int, tuple[int, int, bytes]], link: int) -> int:
    """Write one directory, let `link` point to it, and return where the next one's place is to be written."""
    fields: list[bytes] = []
    for tag, (kind, count, packed) in sorted(entries.items()):
        if len(packed) > 8:
            place = file.tell()
            file.write(packed)
            packed = struct.pack("<Q", place)
        fields.append(struct.pack("<HHQ", tag, kind, count) + packed.ljust(8, b"\0"))
    begin = file.tell()
    file.write(struct.pack("<Q", len(fields)) + b"".join(fields))
    end = file.tell()
    file.write(struct.pack("<Q", 0))
    file.seek(link)
    file.write(struct.pack("<Q", begin))
    file.seek(0, io.SEEK_END)
    return end


def _jpeg(picture: UInt8[np.ndarray, "t t 3"], quality: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=quality, subsampling="4:2:0")
    return stream.getvalue()


def _quarter(four: Sequence[UInt8[np.ndarray, "t t 3"]]) -> UInt8[np.ndarray, "t t 3"]:
    """Return four tiles, in reading order, as one of their size."""
    whole = np.concatenate([np.concatenate(four[:2], axis=1), np.concatenate(four[2:], axis=1)])
    side = four[0].shape[0]
    return np.rint(whole.reshape(side, 2, side, 2, 3).mean((1, 3))).astype(np.uint8)
