"""A map over a volume: the three orthogonal planes through its strongest evidence."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from heatproof.report.color import blend, number, veil
from heatproof.report.frame import INK, font, wrap
from heatproof.report.picture import backdrop, hatched
from heatproof.report.view import View, position_axis, tidy
from heatproof.types import Axis

_PANEL = 240  # pixels: planes below half of it are enlarged by a whole factor
_MOST_STRETCH = 16


def draw_volume(view: View, opacity: float) -> tuple[UInt8[np.ndarray, "h w 3"], list[str]]:
    """Draw three planes side by side; return the picture and what the caption must say."""
    colors, note = backdrop(view.input)
    evidence, unseen, axes = view.restored, view.unseen, view.input.axes
    signed = view.scale is not None and view.scale.signed
    cut = tuple(side // 2 for side in evidence.shape)
    where = "the center"
    if not view.empty:
        strength = np.abs(evidence) if signed else evidence
        cut = np.unravel_index(int(np.nanargmax(strength)), evidence.shape)
        where = "the strongest evidence"
    stretch = _proportions(axes)
    shown = [side * times for side, times in zip(evidence.shape, stretch, strict=True)]
    zoom = max(1, _PANEL // max(shown))
    planes: list[Image.Image] = []
    for axis in range(3):
        rows, columns = (a for a in range(3) if a != axis)
        at = int(cut[axis])
        plane, values = colors.take(at, axis=axis), evidence.take(at, axis=axis)
        if view.scale is not None and not view.empty:
            plane = blend(plane, values, view.scale, opacity)
        plane = veil(plane, unseen.take(at, axis=axis))
        plane = plane.repeat(stretch[rows] * zoom, axis=0).repeat(stretch[columns] * zoom, axis=1)
        marks = tuple((int(cut[a]) + 0.5) * stretch[a] * zoom for a in (rows, columns))
        title = f"{_place(axes[axis], at)}: {tidy(axes[rows].name)} down, {tidy(axes[columns].name)} right"
        planes.append(_panel(plane, title, marks))
    notes = [f"Three planes through {where}; marks at the edges show where the others cut.", note, hatched(view)]
    if (factors := [times * zoom for times in stretch]) != [1, 1, 1]:
        names = " × ".join(f"{times} ({tidy(axis.name)})" for times, axis in zip(factors, axes, strict=True))
        notes.append(f"Pixels per sample: {names}.")
    return _side_by_side(planes), notes


def _proportions(axes: tuple[Axis, ...]) -> list[int]:
    """Return the whole factors that bring samples closest to their true proportions."""
    if len({axis.unit for axis in axes}) > 1:
        return [1, 1, 1]
    steps = [axis.spacing() for axis in axes]
    least = min(steps)
    return [min(_MOST_STRETCH, round(step / least)) for step in steps] if least > 0 else [1, 1, 1]


def _place(axis: Axis, at: int) -> str:
    if axis.coordinates is None:
        return f"{tidy(axis.name)} = {at}"
    value = float(position_axis(axis, np.array([float(at)]))[0])
    return f"{tidy(axis.name)} = {number(value)} {axis.unit or ''}".strip() + f" (sample {at})"


def _panel(plane: UInt8[np.ndarray, "h w 3"], title: str, marks: tuple[float, ...]) -> Image.Image:
    """Put a title above a plane and marks on its left and upper edge."""
    height, width = plane.shape[:2]
    size = max(11, round((height * width) ** 0.5 / 24))
    inner = max(width, 9 * size)
    lines = wrap(title, font(size), inner)
    top = round(len(lines) * size * 1.3) + size
    image = Image.new("RGB", (inner + size, top + height), "white")
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(lines):
        draw.text((size, row * size * 1.3), line, fill=INK, font=font(size))
    image.paste(Image.fromarray(plane), (size, top))
    line = max(1, size // 6)
    draw.line((size // 3, top + marks[0], size - 2, top + marks[0]), fill=INK, width=line)
    draw.line((size + marks[1], top - size * 2 // 3, size + marks[1], top - 2), fill=INK, width=line)
    return image


def _side_by_side(planes: list[Image.Image]) -> UInt8[np.ndarray, "h w 3"]:
    """Put panels into one row, their lower edges on one line."""
    gap = max(8, planes[0].width // 30)
    height = max(plane.height for plane in planes)
    row = Image.new("RGB", (sum(plane.width for plane in planes) + 2 * gap, height), "white")
    left = 0
    for plane in planes:
        row.paste(plane, (left, height - plane.height))
        left += plane.width + gap
    return np.asarray(row)
