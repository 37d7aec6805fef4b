"""The frame around a drawing: caption, and a color bar with true numbers, never touching the drawing itself."""

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from heatproof.report.color import Scale, blend, number

INK, _PALE, _PAPER = (20, 20, 20), (90, 90, 90), (255, 255, 255)
_LEAST_TEXT, _LEAST_WIDTH = 12, 26  # pixels; letters' heights


@dataclass(frozen=True)
class Legend:
    """What the color bar shows.

    Attributes:
        scale: the colors' meaning.
        unit: what is measured.
        opacity: of the colors on the drawing.
        grounds: gray levels that the colors are shown on, as they look on bright and on dark parts of the drawing.
    """

    scale: Scale
    unit: str
    opacity: float
    grounds: tuple[int, ...]


def add_frame(
    picture: UInt8[np.ndarray, "h w 3"], lines: list[str], legend: Legend | None, *, stress: int = 0
) -> Image.Image:
    """Put a title, a color bar and a caption around a drawing whose pixels stay as they are.

    `image.info["picture_box"]` says where the drawing lies: (left, top, right, bottom).

    Args:
        picture: the drawing.
        lines: the caption, its title first.
        legend: what the color bar shows; None for none.
        stress: how many lines after the title are set in bold: what nobody may overlook.
    """
    height, width = picture.shape[:2]
    size = max(_LEAST_TEXT, round(math.sqrt(height * width) / 34))
    pad = size
    inner = max(width, _LEAST_WIDTH * size)
    title = font(round(size * 1.2), bold=True)
    head = wrap(lines[0], title, inner)
    faces = [font(size, bold=row < stress) for row in range(len(lines) - 1)]
    body = [(part, face) for line, face in zip(lines[1:], faces, strict=True) for part in wrap(line, face, inner)]
    head_step, step = round(size * 1.6), round(size * 1.4)
    bar_height = round(size * 4.8) if legend is not None else 0
    left = pad + (inner - width) // 2
    top = pad + len(head) * head_step + pad // 2
    below = top + height + pad
    total = below + bar_height + len(body) * step + pad
    image = Image.new("RGB", (inner + 2 * pad, total), _PAPER)
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(head):
        draw.text((pad, pad + row * head_step), line, fill=INK, font=title)
    image.paste(Image.fromarray(picture), (left, top))
    if legend is not None:
        bar(image, (pad, below, pad + inner), legend, size)
    for row, (line, face) in enumerate(body):
        draw.text((pad, below + bar_height + row * step), line, fill=INK, font=face)
    image.info["picture_box"] = (left, top, left + width, top + height)
    return image


def bar(image: Image.Image, box: tuple[int, int, int], legend: Legend, size: int) -> None:
    """Draw a color bar from 0 (signed: from `-vmax`) to `vmax`, checkered where nothing is drawn on the picture.

    Args:
        image: what to draw on.
        box: left, top and right.
        legend: what to show.
        size: height of the text.
    """
    draw, text, scale = ImageDraw.Draw(image), font(size), legend.scale
    left, top, right = box
    draw.text((left, top), legend.unit, fill=INK, font=text)
    top += round(size * 1.5)
    values = np.linspace(-scale.vmax if scale.signed else 0.0, scale.vmax, right - left)
    strip = bar_strip(values, legend, round(size * 1.4))
    bottom = top + len(strip)
    image.paste(Image.fromarray(strip), (left, top))
    line = max(1, size // 12)
    draw.rectangle((left, top, right - 1, bottom), outline=_PALE, width=line)
    taken: list[tuple[float, float]] = []
    for value, name in ticks(scale):
        x = left + (value - values[0]) / (values[-1] - values[0]) * (right - 1 - left)
        half = text.getlength(name) / 2
        middle = min(max(x, left + half), right - half)
        if any(middle - half < end + size / 2 and start - size / 2 < middle + half for start, end in taken):
            continue  # two numbers that overlap read as one wrong number
        taken.append((middle - half, middle + half))
        draw.line((x, bottom, x, bottom + size // 4), fill=_PALE, width=line)
        draw.text((middle, bottom + round(size * 0.3)), name, fill=INK, font=text, anchor="ma")


def bar_strip(values: Float[np.ndarray, " w"], legend: Legend, height: int) -> UInt8[np.ndarray, "h w 3"]:
    """Return the color of each value as it looks on each ground, one ground below the other."""
    rows, columns = np.indices((height, len(values))) // max(3, height // 4)
    checkers = np.where(((rows + columns) % 2 == 0)[..., None], np.uint8(255), np.uint8(214)).repeat(3, axis=2)
    here = legend.scale.drawn(values)
    for part, ground in zip(np.array_split(checkers, len(legend.grounds)), legend.grounds, strict=True):
        plain = np.full(part.shape, ground, dtype=np.uint8)
        part[:, here] = blend(plain, np.broadcast_to(values, part.shape[:2]), legend.scale, legend.opacity)[:, here]
    return checkers


def ticks(scale: Scale) -> list[tuple[float, str]]:
    """Return what the color bar is labelled with, the most important first."""
    marks = [scale.vmax, 0.0, scale.floor, scale.vmax / 2]
    if scale.signed:
        marks = [scale.vmax, -scale.vmax, 0.0, scale.floor, -scale.floor, scale.vmax / 2, -scale.vmax / 2]
    return [(value, number(value)) for value in marks]


def wrap(line: str, text: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break a line so that each part is at most `width` pixels wide, within a word only where one word is too long."""
    parts, part = [], ""
    for word in line.split():
        if text.getlength(f"{part} {word}".strip()) <= width:
            part = f"{part} {word}".strip()
            continue
        if part:
            parts.append(part)
        while text.getlength(word) > width:
            fits = max(1, next(n for n in range(1, len(word) + 1) if text.getlength(word[:n]) > width) - 1)
            parts.append(word[:fits])
            word = word[fits:]
        part = word
    return [*parts, part] if part else parts


@functools.cache
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans, which comes with matplotlib."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts", "ttf", name), size)
