"""Small explanations with known maps."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch

from heatproof.types import Axis, Explanation, Geometry, Input, Resolution, Target

Maker = Callable[..., Explanation]


def flags(values: torch.Tensor) -> tuple[str, ...]:
    if not values.isfinite().all():
        return ("non-finite",)
    if not values.any():
        return ("blank",)
    names = {"constant": values.min() == values.max(), "all-negative": values.max() <= 0}
    return tuple(name for name, holds in names.items() if holds)


def make(
    maps: Any,
    data: Any = None,
    *,
    size: Sequence[int] = (48, 64),
    names: Sequence[str] = ("tabby cat",),
    score: float = 11.25,
    geometry: Geometry | None = None,
    axes: Sequence[Axis] | None = None,
    picture: bool = True,
    index: int | None = 281,
    **changes: Any,
) -> Explanation:
    """Make an explanation of one input, repeated for as many as `maps` (n, t, *grid) or (*grid) has.

    The default picture is random and never 0, so that every color changes it.
    """
    if data is None:
        generator = np.random.default_rng(0)
        data = generator.integers(1, 256, (3, *size)) / 255
    data = torch.as_tensor(np.asarray(data), dtype=torch.float32)
    size = tuple(data.shape[1:])
    maps = torch.as_tensor(np.asarray(maps), dtype=torch.float32)
    if maps.ndim == len(size):
        maps = maps[None, None]
    n, t = maps.shape[:2]
    geometry = geometry or Geometry.identity(size)
    axes = tuple(axes or (Axis(name, "px") for name in ("z", "y", "x")[-len(size) :]))
    channels = tuple(f"channel {i}" for i in range(len(data)))
    names = tuple(names) * t if len(names) == 1 else tuple(names)
    grid = tuple(maps.shape[2:])
    made = {
        "maps": maps,
        "scores": torch.full((n, t), score),
        "targets": tuple(tuple(Target(name, index) for name in names) for _ in range(n)),
        "method": "gradcam",
        "layer": "layer4",
        "resolution": Resolution(grid, tuple(m / g for m, g in zip(geometry.model_size, grid, strict=True))),
        "inputs": tuple(Input(data, axes, channels, name=f"input {i}", picture=picture) for i in range(n)),
        "geometries": (geometry,) * n,
        "input_size": geometry.model_size,
        "flags": tuple(tuple(flags(values) for values in row) for row in maps),
        "model": "bundled:test",
        "provenance": {"seed": 0},
    }
    return Explanation(**{**made, **changes})


@pytest.fixture
def explanation() -> Maker:
    return make
