"""Where voxels lie in the patient: axes with their direction and spacing from an affine, and affines from DICOM.

Affines map voxel indices to millimeters in the RAS+ convention of NIfTI: to the patient's right, front and head.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from heatproof.errors import InputError
from heatproof.types import Axis

_WAYS = (("left", "right"), ("back", "front"), ("feet", "head"))
Affine = Float[np.ndarray, "4 4"]


def check_affine(affine: Affine, name: str) -> None:
    """Raise where an affine places no volume.

    Raises:
        InputError: it is not finite, or flattens the volume.
    """
    linear = affine[:3, :3]
    if affine.shape != (4, 4) or not np.isfinite(affine).all():
        raise InputError(f"{name} has no valid affine: it holds values that are not finite ({affine.tolist()}).")
    sides = np.linalg.norm(linear, axis=0)
    if (sides == 0).any() or abs(np.linalg.det(linear / np.where(sides == 0, 1, sides))) < 1e-3:
        raise InputError(
            f"{name} has no valid affine: its axes span no volume (voxel sides {np.round(sides, 4).tolist()} mm, "
            f"determinant {np.linalg.det(linear):.3g}); set the right one before explaining it."
        )


def spacing(affine: Affine) -> tuple[float, ...]:
    """Return the voxel's sides in mm."""
    return tuple(float(side) for side in np.linalg.norm(affine[:3, :3], axis=0))


def directions(affine: Affine) -> tuple[str, ...]:
    """Return, for each voxel axis, where the closest patient axis runs to: "right", "back", "head", ..."""
    linear = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    free, found = [0, 1, 2], [""] * 3
    for axis in np.argsort(-np.abs(linear).max(0)):  # the clearest first, so that no direction is given twice
        world = max(free, key=lambda w: abs(linear[w, axis]))
        free.remove(world)
        found[axis] = _WAYS[world][int(linear[world, axis] > 0)]
    return tuple(found)


def world_axes(affine: Affine, size: Sequence[int]) -> tuple[Axis, ...]:
    """Return the axes of a volume (or of its first two, for a picture), named by where they run to, in mm."""
    named = zip(directions(affine), spacing(affine), size, strict=False)
    return tuple(Axis(f"to {way}", "mm", np.arange(length) * side) for way, side, length in named)


def from_dicom(
    position: Sequence[float], orientation: Sequence[float], pixel_spacing: Sequence[float], step: Sequence[float]
) -> Affine:
    """Return the affine of (slice, row, column) indices in RAS+.

    Source: DICOM part 3, C.7.6.2.1.1, equation C.7.6.2.1-1, whose patient coordinates run to the left, back and head.

    Args:
        position: Image Position (Patient) of the first slice.
        orientation: Image Orientation (Patient): along a row, then down a column.
        pixel_spacing: between rows, then between columns, in mm.
        step: from one slice to the next, in mm.
    """
    along, down = np.array(orientation[:3], float), np.array(orientation[3:], float)
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = down * pixel_spacing[0]
    affine[:3, 2] = along * pixel_spacing[1]
    affine[:3, 3] = position
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def cropped(affine: Affine, begin: Sequence[int]) -> Affine:
    """Return the affine of a volume whose first voxel was at `begin`."""
    out = affine.copy()
    out[:3, 3] = affine[:3, :3] @ np.asarray(begin, float) + affine[:3, 3]
    return out


def resampled(affine: Affine, old: Sequence[int], new: Sequence[int]) -> Affine:
    """Return the affine after resizing: the volume's outer faces stay where they are."""
    factor = np.asarray(old, float) / np.asarray(new, float)
    out = affine.copy()
    out[:3, :3] = affine[:3, :3] * factor
    out[:3, 3] = affine[:3, :3] @ ((factor - 1) / 2) + affine[:3, 3]
    return out
