"""DeepZoom: the slide with its map over it, for any browser (OpenSeadragon)."""

import math
from pathlib import Path

from PIL import Image

from heatproof.inputs.slide import Unreadable
from heatproof.report.color import Scale, blend
from heatproof.wsi.pictures import map_at
from heatproof.wsi.regions import Region
from heatproof.wsi.result import SlideMap

NAME = "DeepZoom"
ALIASES = ("dzi",)
TIER = "core"

_TILE = 512
_MOST = 20_000  # pixels per side: a slide at full magnification would be hundreds of thousands of files
_OPACITY, _THRESHOLD = 0.6, 0.1


def export(found: SlideMap, regions: list[Region], folder: Path) -> list[Path]:
    """Write `overlay.dzi` and its folder of JPEG tiles, at the map's own resolution or coarser."""
    finest = max(found.canvas.microns / 4, 1000 * max(found.slide.millimeters) / _MOST, *found.slide.mpp)
    width, height = found.slide.size_at(finest)
    last = math.ceil(math.log2(max(width, height)))
    root = folder / "overlay_files"
    for level in range(last, -1, -1):
        mpp = finest * 2 ** (last - level)
        wide, high = math.ceil(width / 2 ** (last - level)), math.ceil(height / 2 ** (last - level))
        (root / str(level)).mkdir(parents=True, exist_ok=True)
        for row in range(math.ceil(high / _TILE)):
            for column in range(math.ceil(wide / _TILE)):
                x, y = column * _TILE, row * _TILE
                size = (min(_TILE, wide - x), min(_TILE, high - y))
                _tile(found, mpp, x, y, *size).save(root / str(level) / f"{column}_{row}.jpg", quality=85)
    path = folder / "overlay.dzi"
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<Image xmlns="http://schemas.microsoft.com/deepzoom/2008" '
        f'Format="jpg" Overlap="0" TileSize="{_TILE}"><Size Width="{width}" Height="{height}"/></Image>\n',
        encoding="utf-8",
    )
    return [path, root]


def _tile(found: SlideMap, mpp: float, x: int, y: int, width: int, height: int) -> Image.Image:
    try:
        picture = found.slide.read(x, y, width, height, mpp)
    except Unreadable:
        return Image.new("RGB", (width, height), (128, 128, 128))
    values = map_at(found, mpp, (height, width), (x, y))
    return Image.fromarray(blend(picture, values, Scale(found.vmax, _THRESHOLD), _OPACITY))
