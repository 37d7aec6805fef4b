"""NIfTI volumes: .nii and .nii.gz, with orientation, spacing and affine kept."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from heatproof.errors import InputError, MissingExtraError
from heatproof.inputs.assemble import assemble
from heatproof.inputs.world import check_affine, world_axes
from heatproof.types import Axis, Input

NAME = "NIfTI"
ALIASES = (".nii", ".nii.gz")
TIER = "core"

_MOST_CHANNELS = 16  # more volumes than that in one file are a time series, which no network takes as channels


def read(
    path: Path,
    *,
    name: str,
    axis: Axis | str | Sequence[Axis | str] | None = None,
    channels: Sequence[str] | None = None,
    allow_nan: bool = False,
) -> Input:
    """Read a volume as (c, i, j, k) in the order of the file, its scale factor applied; `affine` maps (i, j, k) to mm.

    Raises:
        InputError: broken, without a valid affine, or not of 2 to 4 dimensions.
    """
    try:
        import nibabel
    except ImportError as error:
        raise MissingExtraError("nibabel", "medical") from error
    try:
        image: Any = nibabel.load(path)
        values = np.asarray(image.dataobj, dtype=np.float32)
    except Exception as error:
        raise InputError(
            f"{name} is no intact NIfTI file ({type(error).__name__}: {error}); get an intact copy."
        ) from error
    header: Any = image.header
    if not int(header["sform_code"]) and not int(header["qform_code"]):
        raise InputError(
            f"{name} has no valid affine (sform and qform codes are 0), so it is unknown which way is left and how "
            "large a voxel is; set it with nibabel (image.set_sform(affine, code=1)), or read the bare array as .npy."
        )
    affine = np.asarray(image.affine, np.float64)
    check_affine(affine, name)
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim not in (2, 3, 4) or (values.ndim == 4 and values.shape[3] > _MOST_CHANNELS):
        raise InputError(
            f"{name} has the shape {values.shape}; give one volume (i, j, k), or up to {_MOST_CHANNELS} of them in a "
            "fourth dimension, which become channels."
        )
    data = np.moveaxis(values, 3, 0) if values.ndim == 4 else values[None]
    read = assemble(
        torch.from_numpy(np.ascontiguousarray(data)),
        name=name,
        axis=axis or world_axes(affine, data.shape[1:]),
        channels=channels,
        source=path,
        allow_nan=allow_nan,
    )
    return replace(read, affine=affine)
