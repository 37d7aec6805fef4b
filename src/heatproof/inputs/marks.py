"""How files write down what an expert marked: boxes and points as columns or lists, x first."""

from collections.abc import Sequence
from typing import Any

AXES = "xyz"


def marked_columns(columns: Sequence[str]) -> tuple[str, list[str]] | None:
    """Return what the columns of a table mark, and which of them in order: None where they mark nothing.

    Returns:
        ("mask", ["mask"]), ("boxes", ["x_min", "y_min", "x_max", "y_max"]; "xmin" and "XMin" are known, too) or
        ("points", ["x", "y"]), each for one to three axes.
    """
    plain = {column.lower().replace("_", "").replace(" ", ""): column for column in reversed(columns)}
    if "mask" in columns:
        return "mask", ["mask"]
    for axes in (3, 2, 1):
        corners = [f"{axis}{end}" for end in ("min", "max") for axis in AXES[:axes]]
        if set(corners) <= set(plain):
            return "boxes", [plain[corner] for corner in corners]
    for axes in (3, 2, 1):
        if set(AXES[:axes]) <= set(plain):
            return "points", [plain[axis] for axis in AXES[:axes]]
    return None


def is_shapes(entry: Any) -> bool:
    """Return whether an entry is of the form {"boxes": [[...], ...]} or {"points": [[...], ...]}."""
    return isinstance(entry, dict) and all(
        isinstance(shapes, list) and all(map(_is_numbers, shapes)) for shapes in entry.values()
    )


def _is_numbers(shape: Any) -> bool:
    return isinstance(shape, list) and all(isinstance(v, int | float) for v in shape)
