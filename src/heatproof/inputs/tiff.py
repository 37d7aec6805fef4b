"""TIFF pages that Pillow cannot hold: 16 bits in each of several channels, 64-bit floats, any number of channels."""

from pathlib import Path

import numpy as np
import tifffile
import torch
from jaxtyping import Shaped
from torch import Tensor

from heatproof.errors import InputError

_TURNS = {2: (0, True), 3: (2, False), 4: (2, True), 5: (-1, True), 6: (-1, False), 7: (1, True), 8: (1, False)}
"""EXIF orientation -> quarter turns against the clock, and whether the picture is then mirrored left to right."""


def read_page(path: Path, name: str, max_pixels: int | None) -> Shaped[Tensor, "c h w"]:
    """Return the first page of a TIFF, channels first, upright, in the file's own type and values.

    Raises:
        InputError: larger than `max_pixels`, or a page that is no picture with channels.
        ValueError: the page is stored in a way that tifffile cannot decode by itself.
    """
    with tifffile.TiffFile(path) as file:
        page = file.pages.first
        if max_pixels is not None and page.imagewidth * page.imagelength > max_pixels:
            raise InputError(
                f"{name} has {page.imagewidth} x {page.imagelength} pixels, more than the limit of {max_pixels}; if "
                "you trust it, pass a larger max_pixels=."
            )
        array = page.asarray()
        axes, photometric = page.axes, page.photometric
        extra = [int(kind) for kind in page.extrasamples]
        orientation = int(page.tags.valueof("Orientation", 1))
    if axes not in ("YX", "YXS", "SYX") or photometric not in (0, 1, 2):
        raise InputError(
            f"{name} is a TIFF with the axes {axes} and colors {photometric!r}, which is no gray or RGB picture; save "
            "it as an array (.npy)."
        )
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    array = array[None] if axes == "YX" else array if axes == "SYX" else np.moveaxis(array, -1, 0)
    turns, mirrored = _TURNS.get(orientation, (0, False))
    array = np.rot90(array, turns, (1, 2))  # by NumPy: PyTorch before 2.7 cannot mirror unsigned 16-bit numbers
    data = torch.from_numpy(np.ascontiguousarray(array[:, :, ::-1] if mirrored else array))
    if photometric == 0 and array.dtype.kind == "u":  # white is zero
        data = (torch.iinfo(data.dtype).max - data.to(torch.int64)).to(data.dtype)
    if len(data) in (2, 4) and extra[-1:] in ([1], [2]):
        data = _flattened(data, associated=extra[-1] == 1)
    return data


def _flattened(data: Tensor, *, associated: bool) -> Tensor:
    """Lay what is transparent on white; unsigned numbers become 0..1. Associated colors are multiplied by alpha."""
    full = 1.0 if data.dtype.is_floating_point else float(torch.iinfo(data.dtype).max)
    pixels = data.to(torch.float64) / full
    color, alpha = pixels[:-1], pixels[-1:]
    return (color if associated else color * alpha) + (1 - alpha)
