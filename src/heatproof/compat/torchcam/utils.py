"""torchcam's `overlay_mask`."""

from typing import Any

import numpy as np
from PIL.Image import Image, Resampling, blend, fromarray

from heatproof.errors import InputError, UsageError


def overlay_mask(img: Image, mask: Image, colormap: Any = "jet", alpha: float = 0.7) -> Image:
    """Return a picture with a map over it, at the picture's size.

    Args:
        img: the picture, gray or RGB.
        mask: the map as a picture, mode "F" with values in 0..1; colors go by its square, as in torchcam.
        colormap: name of one of matplotlib's color maps, or the map itself.
        alpha: share of the picture, at least 0 and below 1.

    Raises:
        InputError: `img` or `mask` is no such picture.
        UsageError: `alpha` is out of its range, or there is no such color map.
    """
    for name, picture in (("img", img), ("mask", mask)):
        if not isinstance(picture, Image):  # pyright: ignore[reportUnnecessaryIsInstance]  not every user runs a type checker
            raise InputError(f"{name} is {type(picture).__name__}; pass a PIL image (Image.fromarray makes one).")
    if not 0 <= alpha < 1:
        raise UsageError(f"alpha is {alpha}; it is the picture's share, at least 0 and below 1.")
    if len(img.getbands()) not in (1, 3):
        raise InputError(f"img has the bands {img.getbands()}; convert it to 'RGB' or 'L'.")
    if img.mode.startswith("I;16"):
        raise InputError("img has 16 bits a pixel, of which a picture shows 8; divide by 256 and convert it to 'L'.")
    if len(mask.getbands()) != 1:
        raise InputError(f"mask has the bands {mask.getbands()}; pass a map of mode 'F' with values in 0..1.")
    from matplotlib import colormaps

    if isinstance(colormap, str) and colormap not in colormaps:
        raise UsageError(f"colormap is {colormap!r}; pass the name of one of matplotlib's color maps: 'viridis'.")
    squared = np.asarray(mask.resize(img.size, resample=Resampling.BICUBIC)) ** 2
    colors = colormaps.get_cmap(colormap)(squared, bytes=True)[..., :3]
    return blend(fromarray(np.ascontiguousarray(colors)), img.convert("RGB"), alpha)
