"""How a layer's output lies on a grid: channels first, channels last, or a sequence of tokens."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import floor, inf, prod
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

MAX_PREFIX = 16
"""Most tokens (class, distillation, registers) beside the grid's that are assumed without having been measured."""

_EVEN = 1.1
"""Strides of the axes that differ by less than this count as alike."""


@dataclass(frozen=True)
class Layout:
    """Where the grid lies in a layer's output.

    Attributes:
        kind: "channels_first" (n, k, *grid), "channels_last" (n, *grid, k) or "tokens"
            (n, prefix + prod(grid) + suffix, k).
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
    """Return the likeliest of `options`, or None where there is none."""
    return next(iter(options(shape, n, input_size, seen, lengths, strict=strict)), None)


def options(
    shape: Sequence[int],
    n: int,
    input_size: Sequence[int],
    seen: Iterable[tuple[int, ...]] = (),
    lengths: Collection[int] = (),
    *,
    prefix: int | None = None,
    first: bool = False,
    strict: bool = True,
) -> tuple[Layout, ...]:
    """Return how an output of `shape` may lie on a grid of at least 2 positions a side over the input, likeliest first.

    Args:
        shape: shape of the raw output.
        n: batch size.
        input_size: spatial size of the input.
        seen: grids that earlier layers of the same run had, latest first: a token sequence keeps one of them.
        lengths: lengths of the token sequences of the same run: (n, heads, length, ...) is attention, not a grid.
        prefix: tokens before the grid's, where the network's configuration says it.
        first: whether the output is known to be channels first.
        strict: refuse grids that are not aligned with the input. A network that resizes its input itself has such.
    """
    axes = len(input_size)
    if not shape or shape[0] != n or prod(shape) == 0:
        return ()
    found: list[Layout] = []
    if len(shape) == axes + 2:
        front, back = Layout("channels_first", tuple(shape[2:])), Layout("channels_last", tuple(shape[1:-1]))
        if not first and axes > 1 and shape[2] in lengths and shape[1] not in lengths:
            return ()
        both = [front] if first else [front, back]
        aligned = [(skew, layout) for layout in both if (skew := _skew(layout.grid, input_size)) is not None]
        even = [entry for entry in aligned if entry[0] <= _EVEN]
        found += [layout for _, layout in sorted(even or aligned, key=lambda entry: entry[0])]
        if not found and not strict and min(front.grid) >= 2:
            found.append(front)
    if len(shape) == 3 and not first:
        found += _tokens(shape[1], input_size, seen, prefix)
    return tuple(dict.fromkeys(found))


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


def _tokens(
    length: int, input_size: Sequence[int], seen: Iterable[tuple[int, ...]], prefix: int | None
) -> Iterator[Layout]:
    grids = [g for g in dict.fromkeys(seen) if len(g) == len(input_size) and _skew(g, input_size) is not None]
    # Evenly sampled grids first: a table of relative positions has a shape like a grid's, too.
    grids.sort(key=lambda g: (_skew(g, input_size) or inf) > _EVEN)
    if len(input_size) > 1:  # square patches of one size are the only other thing that can be inferred
        cut = range(1, min(input_size) // 2 + 1)
        grids += [tuple(s // p for s in input_size) for p in cut if all(s % p == 0 for s in input_size)]
    for grid in grids:
        extra = length - prod(grid)
        if 0 <= extra <= MAX_PREFIX and (extra or len(grid) > 1):
            if prefix is not None and 0 <= prefix < extra:
                yield Layout("tokens", grid, prefix)
            yield Layout("tokens", grid, extra)
