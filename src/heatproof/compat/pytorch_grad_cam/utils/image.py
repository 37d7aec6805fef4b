"""pytorch-grad-cam's image functions, without OpenCV."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from heatproof.compat._maps import minmax, resized
from heatproof.errors import InputError, UsageError

JET = 2
"""OpenCV's number for the color map "jet", the default there."""

_SAME = {13: "magma", 14: "inferno", 15: "plasma", 16: "viridis", 17: "cividis", 20: "turbo"}
"""OpenCV's numbers of the color maps that are the same in matplotlib; others go by matplotlib's names."""


def show_cam_on_image(
    img: np.ndarray,
    mask: np.ndarray,
    use_rgb: bool = False,
    colormap: int | str = JET,
    image_weight: float = 0.5,
) -> np.ndarray:
    """Blend a map with a picture; return (h, w, 3) uint8, scaled so that the brightest value is 255.

    Args:
        img: (h, w, 3) float in 0..1, in the order of channels that `use_rgb` says.
        mask: (h, w) in 0..1.
        use_rgb: whether the colors come as RGB; otherwise BGR, as in OpenCV.
        colormap: the name of one of matplotlib's color maps, or OpenCV's number of "jet", "viridis", "cividis",
            "magma", "inferno", "plasma" or "turbo".
        image_weight: share of the picture, 0..1.

    Raises:
        InputError: the picture has not three channels, its values are not in 0..1, or the map has another size.
        UsageError: the share is not in 0..1, or there is no such color map.
    """
    if img.ndim != 3 or img.shape[2] not in (1, 3):
        raise InputError(f"img is of shape {img.shape}; pass (h, w, 3), for a gray picture (h, w, 1).")
    if img.max() > 1 or img.min() < 0:
        raise InputError(f"img has values from {img.min()} to {img.max()}; divide by 255 to bring them into 0..1.")
    if img.shape[:2] != mask.shape:
        raise InputError(f"img is of shape {img.shape} and mask of shape {mask.shape}; bring them to one size.")
    if not 0 <= image_weight <= 1:
        raise UsageError(f"image_weight is {image_weight}; it is the picture's share, 0 to 1.")
    levels = (255 * np.nan_to_num(np.clip(mask, 0, 1))).astype(np.uint8)
    heat = _colors(colormap)[levels]
    blend = (1 - image_weight) * (heat if use_rgb else heat[..., ::-1]) + image_weight * img
    return (255 * (blend / max(float(blend.max()), np.finfo(np.float32).tiny))).astype(np.uint8)


def preprocess_image(
    img: np.ndarray, mean: Sequence[float] = (0.5, 0.5, 0.5), std: Sequence[float] = (0.5, 0.5, 0.5)
) -> Tensor:
    """Return a picture (h, w, c) or (h, w), uint8 or float in 0..1, as a normalized batch (1, c, h, w) of float32.

    Raises:
        InputError: the picture has another number of channels than `mean` and `std`.
    """
    scale = 255 if img.dtype == np.uint8 else 1
    pixels = torch.from_numpy(np.ascontiguousarray(img[..., None] if img.ndim == 2 else img))
    pixels = pixels.float().movedim(-1, 0) / scale
    if not {len(mean), len(std)} <= {1, len(pixels)}:
        raise InputError(
            f"img is of shape {img.shape}, with {len(pixels)} channels, and mean and std have {len(mean)} and "
            f"{len(std)} values; pass one per channel."
        )
    shape = (-1, 1, 1)
    return ((pixels - torch.tensor(mean).view(shape)) / torch.tensor(std).view(shape)).unsqueeze(0)


def deprocess_image(img: np.ndarray) -> np.ndarray:
    """Return any array as uint8 for display: mean at half, one standard deviation a tenth of the range."""
    spread = np.std(img)
    values = (img - np.mean(img)) / (spread if spread > 0 else 1) * 0.1 + 0.5
    return (np.clip(values, 0, 1) * 255).astype(np.uint8)


def scale_cam_image(cam: np.ndarray | Sequence[np.ndarray], target_size: Sequence[int] | None = None) -> np.ndarray:
    """Return maps (n, *grid) scaled to 0..1 each, as float32, resampled linearly if asked.

    Args:
        cam: the maps.
        target_size: the new size, **last axis first** (width, height), as OpenCV counts.
    """
    maps = minmax(torch.from_numpy(np.asarray(cam)).float())
    return (maps if target_size is None else resized(maps, tuple(target_size)[::-1])).numpy()


def _colors(colormap: int | str) -> np.ndarray:
    """Return 256 colors (256, 3) as RGB in 0..1."""
    if colormap == JET:
        x = 4 * np.arange(256)[:, None] / 255 - np.array([3, 2, 1])
        return np.round(255 * np.clip(1.5 - np.abs(x), 0, 1)) / 255
    from matplotlib import colormaps

    name = _SAME.get(colormap) if isinstance(colormap, int) else colormap
    if name is None or name not in colormaps:
        known = ", ".join(str(number) for number in sorted({JET, *_SAME}))
        raise UsageError(f"colormap is {colormap!r}; of OpenCV's numbers {known} are known, or pass a name: 'viridis'.")
    return colormaps[name](np.linspace(0, 1, 256))[:, :3]


def __getattr__(name: str) -> Any:
    """Answer for what is not offered."""
    if name in ("show_factorization_on_image", "create_labels_legend"):
        raise UsageError(f"There is no {name}: deep feature factorization is not offered; explain with EigenCAM.")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
