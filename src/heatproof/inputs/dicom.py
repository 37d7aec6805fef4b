"""DICOM headers: opening, real units, and whether slices make a volume."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int

from heatproof.errors import InputError, MissingExtraError
from heatproof.inputs.assemble import assemble
from heatproof.inputs.world import check_affine, from_dicom, world_axes
from heatproof.types import Input

_EVEN = 0.02  # slices' distances may differ by this share
_PARALLEL = 1e-3


@dataclass(frozen=True, eq=False)
class Placed:
    """Slices that lie evenly one behind the other.

    Attributes:
        order: index of each slice, from the first place to the last.
        position: of the first slice, in mm.
        orientation: along a row, then down a column.
        pixel_spacing: between rows, then between columns, in mm.
        step: from one slice to the next, in mm.
    """

    order: Int[np.ndarray, " n"]
    position: tuple[float, ...]
    orientation: tuple[float, ...]
    pixel_spacing: tuple[float, ...]
    step: tuple[float, ...]


def open_dicom(path: Path, name: str, *, pixels: bool = True) -> Any:
    """Return a DICOM file's data set.

    Raises:
        MissingExtraError: pydicom is not installed.
        InputError: it is no DICOM file.
    """
    try:
        import pydicom
    except ImportError as error:
        raise MissingExtraError("pydicom", "medical") from error
    try:
        return pydicom.dcmread(path, stop_before_pixels=not pixels)
    except Exception as error:
        raise InputError(
            f"{name} is no intact DICOM file ({type(error).__name__}: {error}); get an intact copy."
        ) from error


def rescaled(header: Any, pixels: np.ndarray) -> tuple[Float[np.ndarray, "*shape"], str]:
    """Return stored values in real units, and the unit: HU for CT, what the file says, else "stored value"."""
    shared = header.get("SharedFunctionalGroupsSequence")
    group = header
    if shared and "PixelValueTransformationSequence" in shared[0]:
        group = shared[0].PixelValueTransformationSequence[0]
    slope, intercept = group.get("RescaleSlope"), group.get("RescaleIntercept")
    if slope is None or intercept is None:
        return pixels.astype(np.float32), "stored value"
    unit = str(group.get("RescaleType") or ("HU" if header.get("Modality") == "CT" else "rescaled value"))
    return (pixels.astype(np.float64) * float(slope) + float(intercept)).astype(np.float32), unit


def is_dicom(path: Path) -> bool:
    """Say whether a file begins as DICOM files do."""
    try:
        with path.open("rb") as file:
            file.seek(128)
            return file.read(4) == b"DICM"
    except OSError:
        return False


def read_series(folder: Path, *, name: str | None = None) -> Input:
    """Read the slices of one series as a volume (1, slice, row, column) in real units, ordered by place.

    Raises:
        InputError: no series or several, slices of mixed orientation or size, missing or doubled slices.
    """
    name = name or folder.name
    headers = [open_dicom(file, file.name) for file in sorted(folder.iterdir()) if file.is_file() and is_dicom(file)]
    headers = [header for header in headers if "PixelData" in header]
    if not headers:
        raise InputError(f"The folder {folder} holds no DICOM image; give the folder of one series.")
    series = {str(h.get("SeriesInstanceUID")): str(h.get("SeriesDescription", "")) for h in headers}
    if len(series) > 1:
        told = ", ".join(f"{uid[-12:]} ({text or 'no description'})" for uid, text in sorted(series.items())[:4])
        raise InputError(f"{name} holds {len(series)} series ({told}); put the one you mean into a folder of its own.")
    if len(headers) == 1:
        raise InputError(f"{name} holds a single DICOM image; read the file itself.")
    sizes = sorted({(int(h.Rows), int(h.Columns)) for h in headers})
    if len(sizes) > 1:
        raise InputError(f"{name} has slices of different sizes ({sizes}); take localizers out of the folder.")
    placed = _placed(
        [_numbers(h, "ImagePositionPatient", 3, name) for h in headers],
        [_numbers(h, "ImageOrientationPatient", 6, name) for h in headers],
        [_numbers(h, "PixelSpacing", 2, name) for h in headers],
        name,
    )
    slices = [rescaled(headers[i], np.asarray(headers[i].pixel_array)) for i in placed.order]
    affine = from_dicom(placed.position, placed.orientation, placed.pixel_spacing, placed.step)
    check_affine(affine, name)
    values = np.stack([one for one, _ in slices])
    found = assemble(
        torch.from_numpy(values[None]),
        name=name,
        axis=world_axes(affine, values.shape),
        channels=[slices[0][1]],
        source=folder,
    )
    return Input(found.data, found.axes, found.channels, name, folder, affine=affine)


def steps_of_frames(header: Any, name: str) -> Placed | None:
    """Return how the frames of a multi-frame image lie; None where it does not say.

    Raises:
        InputError: they do not make a volume.
    """
    frames = header.get("PerFrameFunctionalGroupsSequence")
    shared = (header.get("SharedFunctionalGroupsSequence") or [{}])[0]
    if not frames or "PlanePositionSequence" not in frames[0]:
        return None

    def group(frame: Any, sequence: str, word: str) -> tuple[float, ...]:
        holder = frame if sequence in frame else shared
        if sequence not in holder or word not in holder[sequence][0]:
            raise InputError(f"{name}: a frame has no {word}, so that it is unknown where it lies.")
        return tuple(float(v) for v in holder[sequence][0][word].value)

    return _placed(
        [group(f, "PlanePositionSequence", "ImagePositionPatient") for f in frames],
        [group(f, "PlaneOrientationSequence", "ImageOrientationPatient") for f in frames],
        [group(f, "PixelMeasuresSequence", "PixelSpacing") for f in frames],
        name,
    )


def _numbers(header: Any, word: str, count: int, name: str) -> tuple[float, ...]:
    value = header.get(word)
    if value is None or len(value) != count:
        raise InputError(f"{name}: a slice has no {word}, so that it is unknown where it lies; export the series anew.")
    return tuple(float(v) for v in value)


def _placed(
    positions: Sequence[Sequence[float]],
    orientations: Sequence[Sequence[float]],
    spacings: Sequence[Sequence[float]],
    name: str,
) -> Placed:
    turned = np.abs(np.asarray(orientations) - orientations[0]).max(1)
    if (turned > _PARALLEL).any():
        raise InputError(
            f"{name} mixes orientations: {int((turned > _PARALLEL).sum())} of {len(turned)} slices are turned against "
            "the first; put each orientation into a folder of its own."
        )
    if np.ptp(np.asarray(spacings), axis=0).max() > 1e-3:
        raise InputError(f"{name} mixes pixel spacings; put slices of one spacing into a folder of their own.")
    normal = np.cross(orientations[0][:3], orientations[0][3:])
    along = np.asarray(positions) @ normal
    order = np.argsort(along, kind="stable")
    gaps = np.diff(along[order])
    usual = float(np.median(gaps))
    if (gaps < 1e-3).any():
        raise InputError(
            f"{name} has {int((gaps < 1e-3).sum())} slices at the place of another; a series must hold each place once."
        )
    wide = np.flatnonzero(gaps > usual * (1 + _EVEN) + 1e-3)
    if wide.size:
        missing = int(np.rint(gaps[wide] / usual - 1).clip(1).sum())
        at = along[order][wide[0]]
        raise InputError(
            f"{name} has missing slices: {usual:.3g} mm lie between most, but {gaps[wide[0]]:.3g} mm after the one at "
            f"{at:.3g} mm; {missing} of {len(along) + missing} seem to be lost. Export the whole series."
        )
    first, last = (np.asarray(positions[i]) for i in (order[0], order[-1]))
    step = (last - first) / (len(order) - 1)
    return Placed(order, tuple(first), tuple(orientations[0]), tuple(spacings[0]), tuple(step))
