"""Tiles without seams: one forward each, one set of channel weights for the whole slide."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.inputs.slide import Slide
from heatproof.wsi.canvas import Canvas
from heatproof.wsi.journal import Journal
from heatproof.wsi.network import Network, Way
from heatproof.wsi.plan import Plan
from heatproof.wsi.tiles import Tile, ahead, read_tile
from heatproof.wsi.tissue import Tissue

Advance = Callable[[int], None]


def batches(count: int, size: int) -> list[range]:
    """Return the tiles of each batch: always the same ones, so that a resumed run computes the same numbers."""
    return [range(begin, min(begin + size, count)) for begin in range(0, count, size)]


def remaining(journal: Journal, groups: list[range], slide: Slide, plan: Plan) -> Iterator[tuple[int, list[Tile]]]:
    """Yield the number and the tiles of each batch that is not done, read ahead."""
    waiting = [number for number in range(len(groups)) if number not in journal.done]
    order = [tile for number in waiting for tile in groups[number]]
    tiles = ahead(lambda tile: read_tile(slide, plan, tile), order)
    for number in waiting:
        yield number, [next(tiles) for _ in groups[number]]


def run(
    network: Network,
    slide: Slide,
    tissue: Tissue,
    plan: Plan,
    way: Way,
    canvas: Canvas,
    journal: Journal,
    batch_size: int,
    advance: Advance,
) -> None:
    """Fill the canvas; note each tile's score, or that it could not be read."""
    assert way.layer is not None
    assert way.weights is not None
    groups = batches(len(plan.tiles), batch_size)
    advance(sum(len(groups[number]) for number in journal.done))
    for number, tiles in remaining(journal, groups, slide, plan):
        good = [i for i, tile in enumerate(tiles) if isinstance(tile, np.ndarray)]
        noted: list[Any] = [{"unreadable": str(tile)} if i not in good else None for i, tile in enumerate(tiles)]
        if good:
            activations = network.activations(way.layer, network.batch([tiles[i] for i in good]))  # pyright: ignore[reportArgumentType]  these are arrays
            for i, map in zip(good, _cores(activations, way.weights, plan), strict=True):
                tile = groups[number][i]
                seen = np.where(plan.tissue_of(tissue, tile), map, np.nan).astype(np.float32)
                row, column = plan.tiles[tile]
                canvas.write(int(row), int(column), seen)
                noted[i] = _note(seen, way)
        journal.note(number, noted)
        advance(len(tiles))


def _cores(
    activations: Float[Tensor, "n k h w"], weights: Float[Tensor, " k"], plan: Plan
) -> list[Float[np.ndarray, "c c"]]:
    """Return sum_k w_k A^k over each tile's core."""
    edge = round(plan.halo / plan.spacing)
    core = activations[:, :, edge : edge + plan.core, edge : edge + plan.core]
    maps = torch.einsum("k,nkhw->nhw", weights.to(core.device), core)
    return list(maps.cpu().numpy())


def _note(seen: Float[np.ndarray, "h w"], way: Way) -> dict[str, float | int]:
    values = seen[np.isfinite(seen)].astype(np.float64)
    assert way.bias is not None
    return {"score": float(values.mean() + way.bias) if values.size else float("nan"), "positions": int(values.size)}
