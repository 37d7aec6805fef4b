"""Pictures of a slide's map: the overview with legend and scale bar, and the loupe on each region."""

import math

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

from heatproof.inputs.slide import Unreadable
from heatproof.report.color import Scale, blend, number
from heatproof.report.frame import INK, Legend, add_frame, font
from heatproof.wsi.regions import Region
from heatproof.wsi.result import SlideMap

_OVERVIEW, _LOUPE = 1600, 512  # pixels
_OPACITY, _THRESHOLD = 0.6, 0.1
_LINE = (0, 90, 200)


def overview(found: SlideMap, regions: list[Region]) -> Image.Image:
    """Return the slide with its map, the outlines of regions with their ranks, a color bar and a scale bar."""
    mpp = max(1000 * max(found.slide.millimeters) / _OVERVIEW, *found.slide.mpp)
    picture = found.slide.overview(mpp)
    scale = Scale(found.vmax, _THRESHOLD)
    drawn = Image.fromarray(blend(picture, map_at(found, mpp, picture.shape[:2]), scale, _OPACITY))
    draw, shrink = ImageDraw.Draw(drawn), found.slide.scale(mpp)
    for region in regions:
        for rings in region.outlines:
            for ring in rings:
                draw.line([(x / shrink.x, y / shrink.y) for x, y in ring], fill=_LINE, width=2)
    face = font(max(14, max(drawn.size) // 60), bold=True)
    for region in reversed(regions):
        left, top, _, _ = region.box
        draw.text((left / shrink.x, top / shrink.y - 4), str(region.rank), fill=_LINE, font=face, anchor="rb")
    _scale_bar(drawn, mpp)
    legend = Legend(scale, f"evidence for {found.target}, in units of the score", _OPACITY, (244, 200))
    return add_frame(np.asarray(drawn), _caption(found, regions), legend)


def _caption(found: SlideMap, regions: list[Region]) -> list[str]:
    about = found.about
    lines = [f"{found.slide.path.name}: {found.target}"]
    area = f"{found.tissue.area:.2f} mm² of tissue ({found.tissue.origin}) at {about['mpp']:g} µm per pixel"
    lines.append(f"{about['method']} of {about['model']}, layer {about['layer']}; {area}.")
    lines.append(
        f"One scale for the whole slide. One grid position is {about['grid_spacing_microns']:g} µm: finer claims are "
        "not supported."
    )
    if about["mode"] == "blended":
        lines.append(f"Blended from overlapping windows, so it depends on the tiling: {about['why']}.")
    if regions:
        lines.append(f"Outlined: the first {len(regions)} regions above {number(found.level)}, by evidence mass.")
    else:
        lines.append(f"No place is above {number(found.level)}.")
    if found.unreadable:
        lines.append(f"{len(found.unreadable)} of {len(found.tiles)} tiles could not be read.")
    return lines


def loupe(found: SlideMap, region: Region) -> tuple[Image.Image, Image.Image] | None:
    """Return the place of a region's peak at the slide's full magnification, plain and with the map over it.

    None where it cannot be read.
    """
    mpp = max(found.slide.mpp)
    scale = found.slide.scale(mpp)
    left, top = (round(at / s) - _LOUPE // 2 for at, s in zip(region.at, (scale.x, scale.y), strict=True))
    try:
        picture = found.slide.read(left, top, _LOUPE, _LOUPE, mpp)
    except Unreadable:
        return None
    plain = Image.fromarray(picture)
    values = map_at(found, mpp, (_LOUPE, _LOUPE), (left, top))
    hot = Image.fromarray(blend(picture, values, Scale(found.vmax, _THRESHOLD), _OPACITY))
    for one in (plain, hot):
        _scale_bar(one, mpp)
    return plain, hot


def map_at(
    found: SlideMap, mpp: float, shape: tuple[int, int], corner: tuple[int, int] = (0, 0)
) -> Float[np.ndarray, "h w"]:
    """Return the map at each pixel of a picture: the position that the pixel lies in, from the level that fits best."""
    level = min(found.canvas.levels - 1, max(0, math.floor(math.log2(max(mpp / found.canvas.microns, 1.0)))))
    array, step = found.canvas.level(level), found.canvas.microns * 2**level
    rows = ((corner[1] + np.arange(shape[0]) + 0.5) * mpp / step).astype(int)
    columns = ((corner[0] + np.arange(shape[1]) + 0.5) * mpp / step).astype(int)
    inside_r = (rows >= 0) & (rows < array.shape[0])
    inside_c = (columns >= 0) & (columns < array.shape[1])
    whole = np.full(shape, np.nan, np.float32)
    if inside_r.any() and inside_c.any():
        r, c = rows[inside_r], columns[inside_c]
        part = array[r.min() : r.max() + 1, c.min() : c.max() + 1]
        whole[np.ix_(inside_r, inside_c)] = part[np.ix_(r - r.min(), c - c.min())]
    return whole


def _scale_bar(picture: Image.Image, mpp: float) -> None:
    """Draw a bar of a round length, about a fifth of the width, in the lower right corner."""
    wanted = picture.width * mpp / 5
    power = 10.0 ** math.floor(math.log10(wanted))
    length = max(f * power for f in (1, 2, 5) if f * power <= wanted)
    text = f"{length / 1000:g} mm" if length >= 1000 else f"{length:g} µm"
    size = max(12, picture.width // 45)
    draw, face = ImageDraw.Draw(picture), font(size)
    width, pad = length / mpp, size // 2
    left, bottom = picture.width - width - 2 * pad, picture.height - 2 * pad
    box = (left - pad, bottom - 2.2 * size, picture.width - pad, bottom + pad)
    draw.rectangle(box, fill=(255, 255, 255))
    draw.rectangle((left, bottom - size // 3, left + width, bottom), fill=INK)
    draw.text((left + width / 2, bottom - size // 2), text, fill=INK, font=face, anchor="mb")
