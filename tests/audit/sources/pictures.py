"""Small pictures as files and bytes, and data sets made of them."""

import io

import numpy as np
from PIL import Image


def pixels(seed=0, size=(6, 8)):
    """A picture's bytes (h, w, 3), no two alike."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def png(seed=0, size=(6, 8), form="PNG"):
    """A picture as the bytes of a file."""
    out = io.BytesIO()
    Image.fromarray(pixels(seed, size)).save(out, form)
    return out.getvalue()


def put(folder, name, data=None):
    """Write a file below a folder; a picture of its own unless told what."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(sum(name.encode(errors="surrogateescape"))) if data is None else data)
    return path


def ids(source):
    return [entry.id for entry in source]


def by_id(source):
    return {entry.id: entry for entry in source}
