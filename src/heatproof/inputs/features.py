"""Stored features of a slide's patches: HDF5 with `features` and `coords`, as CLAM and TRIDENT write them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import InputError, MissingExtraError
from heatproof.inputs.slide import Slide


@dataclass(frozen=True, eq=False)
class Features:
    """One feature vector per patch.

    Attributes:
        values: (n, d).
        corners: (n, 2) x and y of each patch's upper left corner, in pixels of the slide's finest level.
        side: of a patch, in the same pixels.
    """

    values: Float[Tensor, "n d"]
    corners: Float[np.ndarray, "n 2"]
    side: float


def read_features(path: Path, slide: Slide) -> Features:
    """Read a file of features and see that it belongs to the slide.

    Raises:
        InputError: it cannot be read, lacks a part, or its coordinates do not belong to the slide.
        MissingExtraError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise MissingExtraError("h5py", "slides") from error
    try:
        with h5py.File(path, "r") as file:
            missing = [name for name in ("features", "coords") if name not in file]
            if missing:
                raise InputError(
                    f"{path.name} holds no {' and no '.join(map(repr, missing))} (it holds "
                    f"{', '.join(file) or 'nothing'}); give the file that CLAM or TRIDENT wrote, with one feature "
                    "vector and one x, y per patch."
                )
            stored: Any = file["coords"]
            values = np.asarray(file["features"], np.float32)
            corners = np.asarray(stored, np.float64)
            told = {**dict(file.attrs), **dict(stored.attrs)}
    except OSError as error:
        raise InputError(f"{path.name} is no intact HDF5 file ({error}); get an intact copy.") from error
    values = values.reshape(-1, values.shape[-1]) if values.ndim == 3 and values.shape[0] == 1 else values
    corners = corners.reshape(-1, 2) if corners.ndim == 3 and corners.shape[0] == 1 else corners
    if values.ndim != 2 or corners.shape != (len(values), 2):
        raise InputError(
            f"{path.name} has features of shape {values.shape} and coords of shape {corners.shape}; give (patches, "
            "features) and (patches, 2)."
        )
    check_corners(corners, slide, path.name)
    return Features(torch.from_numpy(values), corners, _side(corners, told))


def check_corners(corners: Float[np.ndarray, "n 2"], slide: Slide, name: str) -> None:
    """Raise where patches lie outside of the slide.

    Raises:
        InputError: some do, or there are none.
    """
    if not len(corners):
        raise InputError(f"{name} holds no patches; extract features where the slide has tissue.")
    width, height = slide.size
    outside = ~((corners >= 0).all(1) & (corners[:, 0] < width) & (corners[:, 1] < height))
    if outside.any():
        x, y = corners[outside][0]
        raise InputError(
            f"The coordinates in {name} do not belong to {slide.path.name}: {int(outside.sum())} of {len(corners)} "
            f"patches lie outside of its {width} x {height} pixels, the first at ({x:g}, {y:g}); give the features of "
            "this slide, with coordinates in pixels of its finest level."
        )


def _side(corners: Float[np.ndarray, "n 2"], told: dict[str, Any]) -> float:
    """Return a patch's side in pixels of the finest level: as the file says, else the least distance of neighbors."""
    if "patch_size_level0" in told:
        return float(told["patch_size_level0"])
    if "patch_size" in told:
        shrink = np.ravel(told.get("downsample", 1.0))
        return float(told["patch_size"]) * float(shrink[0])
    return least_distance(corners)


def least_distance(corners: Float[np.ndarray, "n 2"]) -> float:
    """Return the smallest distance along an axis between two columns or rows of patches."""
    gaps = np.concatenate([np.diff(np.unique(corners[:, axis])) for axis in (0, 1)])
    gaps = gaps[gaps > 0]
    return float(gaps.min()) if gaps.size else 256.0
