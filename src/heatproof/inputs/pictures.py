"""PIL images -> Input: orientation, palettes, transparency, color spaces and bit depths."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from heatproof.errors import InputError
from heatproof.inputs.assemble import assemble
from heatproof.types import Axis, Input

_FULL_16_BIT = 65535
_WITH_ALPHA = ("LA", "La", "RGBA", "RGBa", "PA")
_AS_RGB = ("P", "CMYK", "YCbCr", "HSV", "RGBX")


def from_picture(
    image: Image.Image,
    *,
    axis: Sequence[Axis | str] | None = None,
    channels: Sequence[str] | None = None,
    name: str = "input",
    source: Path | None = None,
    allow_nan: bool = False,
) -> Input:
    """Make an Input of a PIL image: 1 channel if it is gray, else red, green, blue.

    The EXIF orientation is applied; palettes, CMYK and YCbCr become RGB; transparency is flattened on white; 8 and 16
    bits become 0..1; floating-point and 32-bit pictures keep their values.

    Args:
        image: any PIL image; it is not changed.
        axis: an `Axis` or a name for y and x.
        channels: a name for each channel.
        name: what reports call it.
        source: the file it came from.
        allow_nan: let values that are not finite through.

    Raises:
        InputError: an empty image, or a mode that has no RGB equivalent.
    """
    if 0 in image.size:
        raise InputError(f"{name} is empty: {image.width} x {image.height} pixels; give a picture with at least one.")
    data = _pixels(ImageOps.exif_transpose(image), name, image.format)
    return assemble(data, name=name, axis=axis, channels=channels, source=source, allow_nan=allow_nan)


def _pixels(image: Image.Image, name: str, file_format: str | None) -> Tensor:
    """Return (c, h, w), gray or RGB: uint8, or float with the picture's own values or 0..1."""
    mode = image.mode
    widened = mode == "I" and file_format in ("PNG", "PPM")  # 16 bits, which some Pillows open as 32
    if widened or mode.startswith("I;16"):
        return torch.from_numpy(np.array(image, dtype=np.float32))[None] / _FULL_16_BIT
    if mode in ("I", "F"):
        return torch.from_numpy(np.array(image, dtype=np.float32))[None]
    if mode in _WITH_ALPHA or "transparency" in image.info:
        # "La" and "RGBa" hold colors multiplied by alpha, which only their namesakes can undo
        gray = mode in ("L", "LA", "La", "1")
        return _flattened(image.convert("RGBA"), gray=gray)
    if mode in _AS_RGB:
        image = image.convert("RGB")
    elif mode == "1":
        image = image.convert("L")
    elif mode not in ("L", "RGB"):
        raise InputError(f"{name} is of the color mode {mode!r}, which has no exact RGB; save it as RGB or gray.")
    return _channels_first(image)


def _flattened(image: Image.Image, *, gray: bool) -> Tensor:
    """Lay an RGBA image on white, in floating point."""
    pixels = _channels_first(image).float() / 255
    color, alpha = pixels[: 1 if gray else 3], pixels[3:]
    return color * alpha + (1 - alpha)


def _channels_first(image: Image.Image) -> Tensor:
    array = np.array(image)
    return torch.from_numpy(array if array.ndim == 3 else array[..., None]).movedim(-1, 0)
