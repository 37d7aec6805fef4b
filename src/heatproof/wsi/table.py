"""Any table of coordinates and scores as a slide's map: drawn, ranked and exported like every other."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

import heatproof
from heatproof.inputs.features import check_corners
from heatproof.inputs.slide import Slide
from heatproof.wsi.canvas import Canvas
from heatproof.wsi.result import SlideMap, Tile
from heatproof.wsi.tissue import Tissue, mask_mpp


def table_map(
    slide: Slide,
    corners: Float[np.ndarray, "n 2"],
    side: float,
    values: Float[np.ndarray, " n"],
    folder: Path,
    about: dict[str, Any],
    *,
    level: float | None = None,
    vmax: float | None = None,
) -> SlideMap:
    """Lay one value per patch over the slide; where patches share a place, their mean.

    Args:
        slide: the slide.
        corners: upper left corners, in pixels of its finest level.
        side: of a patch, in the same pixels.
        values: one per patch.
        folder: of the result; a map that is there is replaced.
        about: entries of the manifest: target, method, model, layer.
        level: value above which a place is a region; None is half of `vmax`.
        vmax: end of the color scale; None takes the strongest thousandth, but at least 1.

    Raises:
        InputError: patches lie outside of the slide.
    """
    check_corners(corners, slide, str(about.get("source") or "the table"))
    microns = side * slide.mpp[0]
    rows = np.floor(corners[:, 1] * slide.mpp[1] / microns + 0.5).astype(int)
    columns = np.floor(corners[:, 0] * slide.mpp[0] / microns + 0.5).astype(int)
    shape = (int(rows.max()) + 1, int(columns.max()) + 1)
    total, count = np.zeros(shape), np.zeros(shape)
    np.add.at(total, (rows, columns), values.astype(np.float64))
    np.add.at(count, (rows, columns), 1)
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(folder / "map.ome.zarr", ignore_errors=True)
    canvas = Canvas.create(folder / "map.ome.zarr", shape, microns, 256)
    mean = np.divide(total, count, out=np.full(shape, np.nan), where=count > 0).astype(np.float32)
    canvas.write(0, 0, mean)
    canvas.build_pyramid()
    tiles = tuple(
        Tile((float(x), float(y), float(side), float(side)), float(v), 1)
        for (x, y), v in zip(corners, values, strict=True)
    )
    positive = values[values > 0]
    limit = vmax if vmax is not None else max(float(np.quantile(positive, 0.999)) if positive.size else 0.0, 1.0)
    told = {
        "heatproof": heatproof.__version__,
        "slide": slide.path.name,
        "mpp": slide.mpp[0],
        "mode": "table",
        "why": "one value per patch",
        "bias": None,
        "grid_spacing_microns": microns,
        **about,
    }
    chosen = level if level is not None else limit / 2
    return SlideMap(folder, slide, _patches(slide, corners, side), canvas, tiles, float(chosen), float(limit), told)


def _patches(slide: Slide, corners: Float[np.ndarray, "n 2"], side: float) -> Tissue:
    mpp = mask_mpp(slide)
    width, height = slide.size_at(mpp)
    mask, scale = np.zeros((height, width), bool), slide.scale(mpp)
    for x, y in corners:
        left, right = round(x / scale.x), max(round((x + side) / scale.x), round(x / scale.x) + 1)
        top, bottom = round(y / scale.y), max(round((y + side) / scale.y), round(y / scale.y) + 1)
        mask[top:bottom, left:right] = True
    return Tissue(mask, mpp, "where patches are")
