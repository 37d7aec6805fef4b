"""DICOM: single pictures with their window applied, multi-frame volumes with their values in real units."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from heatproof.errors import InputError
from heatproof.inputs.assemble import assemble
from heatproof.inputs.dicom import open_dicom, rescaled, steps_of_frames
from heatproof.inputs.world import check_affine, from_dicom, world_axes
from heatproof.types import Axis, Input

NAME = "DICOM"
ALIASES = (".dcm", ".dicom", ".ima")
TIER = "core"


def read(
    path: Path,
    *,
    name: str,
    axis: Axis | str | Sequence[Axis | str] | None = None,
    channels: Sequence[str] | None = None,
    allow_nan: bool = False,
) -> Input:
    """Read one DICOM file.

    One frame becomes a picture in 0..1: rescaled, windowed with the file's first window (else the range of its bits)
    and, for MONOCHROME1, inverted; the channel's name says so. Several frames become a volume (1, frame, row, column)
    in rescaled units, such as HU, with an affine where the frames have positions.

    Raises:
        InputError: broken, without pixels, or frames that are not evenly placed.
    """
    header = open_dicom(path, name)
    pixels = _pixels(header, name)
    if header.get("SamplesPerPixel", 1) == 3:
        if pixels.ndim != 3:
            raise InputError(f"{name} is a color film of {len(pixels)} frames; save the frame you mean as a picture.")
        values = torch.from_numpy(np.ascontiguousarray(np.moveaxis(pixels, 2, 0)))
        return assemble(values, name=name, axis=axis, channels=channels, source=path, allow_nan=allow_nan)
    values, unit = rescaled(header, pixels)
    if pixels.ndim == 2:
        values, told = windowed(header, values)
        axes = axis or _flat_axes(header, values.shape)
        data = torch.from_numpy(values[None])
        return assemble(data, name=name, axis=axes, channels=channels or [told], source=path, allow_nan=allow_nan)
    placed = steps_of_frames(header, name)
    affine = None
    if placed is not None:
        affine = from_dicom(placed.position, placed.orientation, placed.pixel_spacing, placed.step)
        check_affine(affine, name)
        values = values[placed.order]
    axes = axis or (world_axes(affine, values.shape) if affine is not None else None)
    data = torch.from_numpy(np.ascontiguousarray(values)[None])
    found = assemble(data, name=name, axis=axes, channels=channels or [unit], source=path, allow_nan=allow_nan)
    return replace(found, affine=affine)


def windowed(header: Any, values: Float[np.ndarray, "h w"]) -> tuple[Float[np.ndarray, "h w"], str]:
    """Return a picture in 0..1 and what was done.

    Source: DICOM part 3, C.11.2.1.2.1 (linear window) and C.7.6.3.1.2 (MONOCHROME1: the lowest value is white).
    """
    center, width = header.get("WindowCenter"), header.get("WindowWidth")
    if center is not None and width is not None:
        c, w = (
            float(v[0]) if isinstance(v, Sequence) and not isinstance(v, str) else float(v) for v in (center, width)
        )
        low, high = c - 0.5 - (w - 1) / 2, c - 0.5 + (w - 1) / 2
        told = f"window {c:g}/{w:g}"
    else:
        slope, intercept = float(header.get("RescaleSlope", 1) or 1), float(header.get("RescaleIntercept", 0) or 0)
        signed = int(header.get("PixelRepresentation", 0)) == 1
        bits = int(header.get("BitsStored", 8))
        least, most = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
        low, high = sorted((least * slope + intercept, most * slope + intercept))
        told = "full range"
    scaled = np.clip((values - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        return 1 - scaled, f"{told}, inverted"
    return scaled, told


def _pixels(header: Any, name: str) -> np.ndarray:
    if not any(word in header for word in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise InputError(f"{name} is a DICOM file without pixels ({header.get('Modality', 'unknown')}); give an image.")
    try:
        return np.asarray(header.pixel_array)
    except Exception as error:
        raise InputError(
            f"{name}: its pixels cannot be decoded ({type(error).__name__}: {' '.join(str(error).split())}); "
            "get an intact copy, or decompress it."
        ) from error


def _flat_axes(header: Any, size: tuple[int, ...]) -> tuple[Axis, ...] | None:
    between = header.get("PixelSpacing") or header.get("ImagerPixelSpacing")
    if between is None:
        return None
    named = zip(("y", "x"), between, size, strict=True)
    return tuple(Axis(axis, "mm", np.arange(length) * float(step)) for axis, step, length in named)
