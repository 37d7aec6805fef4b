"""Overlapping windows for every other network, each explained by itself, then blended: they depend on the tiling."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from jaxtyping import Float

from heatproof.explain import Explainer
from heatproof.inputs import from_array
from heatproof.inputs.slide import Slide
from heatproof.wsi.canvas import CHUNK, Canvas
from heatproof.wsi.journal import Journal
from heatproof.wsi.network import Network
from heatproof.wsi.plan import Plan
from heatproof.wsi.seamless import Advance, batches, remaining
from heatproof.wsi.tissue import Tissue


def run(
    network: Network,
    slide: Slide,
    tissue: Tissue,
    plan: Plan,
    explainer: Explainer,
    canvas: Canvas,
    journal: Journal,
    batch_size: int,
    advance: Advance,
    folder: Path,
) -> None:
    """Explain every window, keep its small map on disk, then blend all into the canvas.

    The windows' values are the method's own times the number of positions in a window where it measures the score, so
    that their mean, not their sum, is what the window's evidence amounts to: one scale, whatever the window.
    """
    windows = _store(folder / "windows.zarr", len(plan.tiles), plan.core)
    factor = plan.core**2 if explainer.plan.units == "score" else 1
    groups = batches(len(plan.tiles), batch_size)
    advance(sum(len(groups[number]) for number in journal.done))
    for number, tiles in remaining(journal, groups, slide, plan):
        good = [i for i, tile in enumerate(tiles) if isinstance(tile, np.ndarray)]
        noted: list[Any] = [{"unreadable": str(tile)} if i not in good else None for i, tile in enumerate(tiles)]
        if good:
            pictures = [from_array(tiles[i], layout="hwc", name=f"tile {groups[number][i]}") for i in good]  # pyright: ignore[reportArgumentType]  these are arrays
            targets = None if network.target is None else [network.target] * len(good)
            found = explainer(pictures, targets)
            maps = found.maps[:, 0].float().cpu().numpy() * factor
            for place, i in enumerate(good):
                tile = groups[number][i]
                windows[tile] = maps[place]
                inside = int(plan.tissue_of(tissue, tile).sum())
                noted[i] = {"score": float(found.scores[place, 0]), "positions": inside}
        journal.note(number, noted)
        advance(len(tiles))
    _blend(windows, tissue, plan, canvas)


def _store(path: Path, count: int, core: int) -> Any:
    group: Any = zarr.open_group(path, mode="a")
    if "maps" in group:
        return group["maps"]
    return group.create_array(
        "maps", shape=(count, core, core), chunks=(1, core, core), dtype="float32", fill_value=float("nan")
    )


def _blend(windows: Any, tissue: Tissue, plan: Plan, canvas: Canvas) -> None:
    """Write the mean of all windows over each position, weighted by how central it is in each."""
    weight = window_weights(plan.core)
    begin = plan.tiles
    rows, columns = plan.shape
    for top, left in product(range(0, rows, CHUNK), range(0, columns, CHUNK)):
        height, width = min(CHUNK, rows - top), min(CHUNK, columns - left)
        here = np.flatnonzero(
            (begin[:, 0] < top + height)
            & (begin[:, 0] + plan.core > top)
            & (begin[:, 1] < left + width)
            & (begin[:, 1] + plan.core > left)
        )
        if not here.size:
            continue
        # a border of one window all around, so that windows can be added whole
        total = np.zeros((height + 2 * plan.core, width + 2 * plan.core))
        mass = np.zeros_like(total)
        for tile in here:
            values = np.asarray(windows[int(tile)], np.float64)
            if not np.isfinite(values).all():
                continue  # it could not be read
            y, x = begin[tile] - (top, left) + plan.core
            total[y : y + plan.core, x : x + plan.core] += weight * values
            mass[y : y + plan.core, x : x + plan.core] += weight
        inner = np.s_[plan.core : plan.core + height, plan.core : plan.core + width]
        mean = np.divide(total[inner], mass[inner], out=np.full((height, width), np.nan), where=mass[inner] > 0)
        seen = tissue.over(left * plan.microns, top * plan.microns, plan.microns, (height, width))
        canvas.write(top, left, np.where(seen, mean, np.nan).astype(np.float32))


def window_weights(side: int) -> Float[np.ndarray, "side side"]:
    """Return Hann weights at the centers of `side` positions: shifted by half their width they sum to one."""
    one = np.sin(np.pi * (np.arange(side) + 0.5) / side) ** 2
    return np.outer(one, one)
