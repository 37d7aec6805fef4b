"""How a layer's output lies on a grid: channels first, channels last, or a sequence of tokens."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import floor, prod
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

MAX_PREFIX = 16
"""Most class, distillation and register tokens that are looked for before the grid's tokens."""


_EVEN = 1.1
"""Strides of the axes that differ by less than this count as alike."""


@dataclass(frozen=True)
class Layout:
    """Where the grid lies in a layer's output.

    Attributes:
        kind: "channels_first" (n, k, *grid), "channels_last" (n, *grid, k) or "tokens" (n, prefix + prod(grid), k).
        grid: positions per axis.
        prefix: tokens before the first grid position (class, distillation, registers).
    """

    kind: Literal["channels_first", "channels_last", "tokens"]
    grid: tuple[int, ...]
    prefix: int = 0

    def to_grid(self, raw: Float[Tensor, "..."], lead: int = 1) -> Float[Tensor, "..."]:
        """Return the raw output (or its gradient) as (*lead, k, *grid); `lead` counts the axes before it."""
        if self.kind == "channels_first":
            return raw
        if self.kind == "channels_last":
            return raw.movedim(-1, lead)
        body = raw.narrow(lead, self.prefix, prod(self.grid)).movedim(-1, lead)
        return body.reshape(*body.shape[: lead + 1], *self.grid)

    def from_grid(self, grid: Float[Tensor, "m k *grid"], raw: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Return a raw output that carries `grid`; prefix tokens are taken from `raw`."""
        if self.kind == "channels_first":
            return grid
        if self.kind == "channels_last":
            return grid.movedim(1, -1)
        tokens = grid.flatten(2).movedim(1, -1)
        return torch.cat([raw[:, : self.prefix], tokens, raw[:, self.prefix + prod(self.grid) :]], dim=1)


def infer(
    shape: Sequence[int],
    n: int,
    input_size: Sequence[int],
    seen: Iterable[tuple[int, ...]] = (),
    lengths: Collection[int] = (),
    *,
    strict: bool = True,
) -> Layout | None:
    """Return how an output of `shape` lies on a grid of at least 2 positions a side over the input, or None.

    Args:
        shape: shape of the raw output.
        n: batch size.
        input_size: spatial size of the input.
        seen: grids that earlier layers of the same run had, latest first: a token sequence keeps one of them.
        lengths: lengths of the token sequences of the same run: (n, heads, length, ...) is attention, not a grid.
        strict: refuse grids that are not aligned with the input. A network that resizes its input itself has such.
    """
    axes = len(input_size)
    if not shape or shape[0] != n or prod(shape) == 0:
        return None
    if len(shape) == axes + 2:
        first, last = tuple(shape[2:]), tuple(shape[1:-1])
        if axes > 1 and first[0] in lengths and shape[1] not in lengths:
            return None
        skew_first, skew_last = _skew(first, input_size), _skew(last, input_size)
        if skew_first is not None and (skew_last is None or skew_first <= skew_last):
            return Layout("channels_first", first)
        if skew_last is not None:
            return Layout("channels_last", last)
        return None if strict or min(first) < 2 else Layout("channels_first", first)
    if len(shape) == 3 and axes > 1:
        return _tokens(shape[1], input_size, seen)
    return None


def _skew(grid: Sequence[int], size: Sequence[int]) -> float | None:
    """Return how unevenly `grid` samples the input (1 is even on all axes), or None if it is not aligned with it.

    A grid of g positions over s samples may have any stride around s / g that rounding and borders allow. Axes of
    unlike strides are taken for a grid only if each stride can be a whole number.
    """
    if min(grid) < 2:
        return None
    low = [s / (g + 0.5) for g, s in zip(grid, size, strict=True)]
    high = [s / (g - 0.5) for g, s in zip(grid, size, strict=True)]
    skew = max(1.0, max(low) / min(high))
    whole = all(floor(s / (g - 1.5)) >= s / (g + 1.5) for g, s in zip(grid, size, strict=True) if g > 1.5)
    return skew if skew <= _EVEN or whole else None


def _tokens(length: int, input_size: Sequence[int], seen: Iterable[tuple[int, ...]]) -> Layout | None:
    for grid in seen:
        if len(grid) == len(input_size) and 0 <= length - prod(grid) <= MAX_PREFIX and min(grid) >= 2:
            return Layout("tokens", grid, length - prod(grid))
    # No earlier layer showed the grid: square patches of one size are the only other thing that can be inferred.
    for patch in range(1, min(input_size) // 2 + 1):
        grid = tuple(s // patch for s in input_size)
        if 0 <= length - prod(grid) <= MAX_PREFIX and all(s % patch == 0 for s in input_size):
            return Layout("tokens", grid, length - prod(grid))
    return None
