"""Artifacts of dermoscopy: what lies beside the lesion, or over the whole picture, and has nothing to do with it."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from PIL import Image
from scipy.ndimage import binary_dilation, gaussian_filter

Picture = Float[np.ndarray, "h w 3"]
Mask = Bool[np.ndarray, "h w"]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A picture with an artifact at full opacity, and where it lies."""

    picture: Picture
    mask: Mask


def ruler(rng: np.random.Generator, picture: Picture, spot: Mask, other: bool) -> Drawn:
    """Draw a ticked scale along one side; of the other look: pale, with a baseline."""
    size = len(picture)
    ticks = np.zeros((size, size), bool)
    depth = int(rng.uniform(0.02, 0.10) * size)
    step = max(3, round(rng.uniform(0.07, 0.10) * size))
    first = int(rng.integers(0, step))
    wide = max(1, size // 64)
    for number, at in enumerate(range(first, size - wide, step)):
        length = int((0.14 if number % 5 == 0 else 0.08) * size)
        ticks[depth : depth + length, at : at + wide] = True
    if other:
        ticks[depth : depth + wide, first:] = True
    ticks = np.rot90(ticks, int(rng.integers(4))) & ~spot
    color = np.array([0.97, 0.97, 0.93]) if other else np.array([0.12, 0.12, 0.14])
    return _painted(picture, ticks, color)


def sticker(rng: np.random.Generator, picture: Picture, spot: Mask, other: bool) -> Drawn:
    """Draw a colored calibration disc that reaches over the rim; of the other look: a square of another color."""
    size = len(picture)
    y, x = np.mgrid[:size, :size]
    corner = np.array([0.0, 1.0])[rng.integers(0, 2, 2)] * size + rng.uniform(-0.03, 0.03, 2) * size
    radius = rng.uniform(0.16, 0.22) * size
    far: np.ndarray = np.hypot(y - corner[0], x - corner[1])
    if other:
        far = np.maximum(abs(y - corner[0]), abs(x - corner[1])) * 1.1
    colors = [[0.15, 0.45, 0.80], [0.20, 0.62, 0.40]] if not other else [[0.85, 0.75, 0.15], [0.75, 0.20, 0.55]]
    return _painted(picture, (far < radius) & ~spot, np.array(colors[int(rng.integers(2))]))


def ink(rng: np.random.Generator, picture: Picture, spot: Mask, other: bool) -> Drawn:
    """Draw strokes of a violet pen beside the lesion; of the other look: a cross of green ink."""
    size = len(picture)
    line = np.zeros((size, size), bool)
    around = np.asarray(binary_dilation(spot, iterations=max(2, size // 20)), bool)
    free = np.argwhere(~around[4:-4, 4:-4]) + 4
    for _ in range(1 if other else 2):
        at = free[rng.integers(len(free))].astype(float)
        turn = rng.uniform(0, 2 * np.pi)
        for arm in (0.0, np.pi / 2) if other else (0.0,):
            t = np.linspace(-0.5, 0.5, size)
            bend = (0.0 if other else 0.8) * t
            _stroke(line, at, 0.26 * size * t, turn + arm + bend)
    line = np.asarray(binary_dilation(line, iterations=max(1, size // 48)), bool) & ~around
    return _painted(picture, line, np.array([0.10, 0.45, 0.25] if other else [0.36, 0.16, 0.55]))


def hairs(rng: np.random.Generator, picture: Picture, spot: Mask, other: bool) -> Drawn:
    """Draw dark hairs all over the skin; they may cross the lesion."""
    size = len(picture)
    line = np.zeros((size, size), bool)
    for _ in range(7 if other else 5):
        at, turn = rng.uniform(0, size, 2), rng.uniform(0, 2 * np.pi)
        curl = rng.normal(0, 0.6 if other else 0.25)
        t = np.linspace(-0.5, 0.5, 3 * size)
        _stroke(line, at, size * t, turn + curl * t)
    return _painted(picture, line, np.array([0.14, 0.09, 0.07]))


def vignette(rng: np.random.Generator, picture: Picture, spot: Mask, other: bool) -> Drawn:
    """Draw the dark corners of a round field of view."""
    size = len(picture)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    far = np.hypot(y, x) / (size / 2)
    dark = 1 / (1 + np.exp((far - rng.uniform(1.0, 1.1)) / -(0.06 if other else 0.03)))
    return Drawn(picture * (1 - dark[..., None]) + 0.03 * dark[..., None], dark > 0.05)


def tint(rng: np.random.Generator, picture: Picture, spot: Mask, other: bool) -> Drawn:
    """Give the whole picture the color of another scanner."""
    cast = np.array([0.05, -0.01, -0.07] if other else [-0.05, 0.0, 0.07]) * rng.uniform(0.8, 1.2)
    return Drawn(np.clip(picture + cast, 0, 1), np.ones(spot.shape, bool))


def blur(rng: np.random.Generator, picture: Picture, spot: Mask, other: bool) -> Drawn:
    """Put the whole picture out of focus."""
    width = rng.uniform(0.9, 1.3) * len(picture) / 64
    return Drawn(gaussian_filter(picture, (width, width, 0)), np.ones(spot.shape, bool))


def compression(rng: np.random.Generator, picture: Picture, spot: Mask, other: bool) -> Drawn:
    """Save the picture as a JPEG of low quality."""
    stream = io.BytesIO()
    Image.fromarray((picture * 255).round().astype(np.uint8)).save(stream, "JPEG", quality=12 if other else 18)
    return Drawn(np.asarray(Image.open(stream), dtype=float) / 255, np.ones(spot.shape, bool))


ARTIFACTS: dict[str, Callable[[np.random.Generator, Picture, Mask, bool], Drawn]] = {
    "ruler": ruler,
    "sticker": sticker,
    "ink": ink,
    "hairs": hairs,
    "vignette": vignette,
    "tint": tint,
    "blur": blur,
    "compression": compression,
}
"""Each takes a seeded generator, the picture, where the lesion lies, and whether to draw the other look."""


def _stroke(
    line: Mask, at: Float[np.ndarray, "2"], way: Float[np.ndarray, " t"], turn: Float[np.ndarray, " *t"]
) -> None:
    """Mark, within the picture, the points that lie some way from a place in the direction of an angle."""
    points = at + way[:, None] * np.stack([np.sin(turn), np.cos(turn)], -1)
    rows, columns = np.round(points).astype(int).T
    inside = (rows >= 0) & (rows < len(line)) & (columns >= 0) & (columns < len(line))
    line[rows[inside], columns[inside]] = True


def _painted(picture: Picture, where: Mask, color: np.ndarray) -> Drawn:
    return Drawn(np.where(where[..., None], color, picture), where)
