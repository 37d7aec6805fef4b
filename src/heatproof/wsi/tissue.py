"""Where the tissue is: Otsu's threshold on saturation, pen marks left out, cleaned up."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Real, UInt8
from scipy import ndimage
from skimage.filters import threshold_otsu

from heatproof.errors import InputError
from heatproof.inputs.slide import Slide
from heatproof.wsi._parts import connected

_FINEST, _MOST = 8.0, 3000  # microns per pixel of the mask, and the pixels that it has at most on one side
_STRONG = 0.2  # saturations beyond it count as this much: else Otsu would part brown from pale, not tissue from glass
_THRESHOLDS = (0.03, 0.08)
"""Glass is below the first saturation and stained tissue above the second, wherever Otsu would cut: on a slide of
tissue alone it would cut the tissue in two, and on a blank one the noise."""
_GLASS = 180  # the least value of a channel that glass is thought to have
_DARK = 0.15  # a brightness below which color is noise: scanners' black fill, ink
_SMALLEST, _HOLE = 0.01, 0.02  # mm2: smaller specks are dust, smaller holes lumen
_PEN_LEAD, _PEN_SATURATION = 0.06, 0.3  # green over red: no stain of histology lets more green than red through


@dataclass(frozen=True, eq=False)
class Tissue:
    """A mask over the whole slide.

    Attributes:
        mask: (rows, columns) true where tissue is.
        mpp: microns per pixel of the mask.
        origin: how it was made, for reports.
    """

    mask: Bool[np.ndarray, "h w"]
    mpp: float
    origin: str

    @property
    def area(self) -> float:
        """Area of the tissue in mm2."""
        return float(self.mask.sum()) * (self.mpp / 1000) ** 2

    def over(self, left: float, top: float, spacing: float, shape: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
        """Return whether tissue is at each position of a lattice.

        Args:
            left: of the lattice's first edge, in microns from the slide's.
            top: likewise.
            spacing: of the lattice, in microns.
            shape: rows and columns.
        """
        rows = ((top + (np.arange(shape[0]) + 0.5) * spacing) / self.mpp).astype(int)
        columns = ((left + (np.arange(shape[1]) + 0.5) * spacing) / self.mpp).astype(int)
        inside = ((rows >= 0) & (rows < self.mask.shape[0]))[:, None]
        inside = inside & ((columns >= 0) & (columns < self.mask.shape[1]))[None]
        rows, columns = (np.clip(i, 0, side - 1) for i, side in zip((rows, columns), self.mask.shape, strict=True))
        return self.mask[np.ix_(rows, columns)] & inside


def find_tissue(slide: Slide, mpp: float | None = None) -> Tissue:
    """Return the tissue of a slide.

    Args:
        slide: an open slide.
        mpp: resolution of the mask; None takes 8 microns, coarser where the slide is larger than 24 mm.

    Raises:
        InputError: there is none.
    """
    used = mask_mpp(slide) if mpp is None else mpp
    mask = segment(slide.overview(used), used)
    if not mask.any():
        raise InputError(
            f"{slide.path.name} shows no tissue: nothing on it is as colored as stained tissue. If it is very pale, "
            "give a mask with --tissue FILE, or --tissue all for the whole slide."
        )
    return Tissue(mask, used, "Otsu on saturation")


def everything(slide: Slide) -> Tissue:
    """Return a mask that takes the whole slide for tissue."""
    used = mask_mpp(slide)
    width, height = slide.size_at(used)
    return Tissue(np.ones((height, width), bool), used, "the whole slide")


def given(slide: Slide, mask: Bool[np.ndarray, "h w"], origin: str) -> Tissue:
    """Return a mask that lies over the whole slide, whatever its size.

    Raises:
        InputError: its aspect is not the slide's, or nothing in it is marked.
    """
    height, width = mask.shape
    mm = slide.millimeters
    across, down = 1000 * mm[0] / width, 1000 * mm[1] / height
    if abs(across - down) > max(across, down) * 0.02 + 2 * max(across, down) / min(mask.shape):
        raise InputError(
            f"The tissue mask {origin} has {width} x {height} pixels, but the slide is {mm[0]:.2f} x {mm[1]:.2f} mm: "
            "their proportions differ, so the mask is of another slide or a part of this one."
        )
    if not mask.any():
        raise InputError(f"The tissue mask {origin} marks nothing; give one with tissue above 0.")
    used = mask_mpp(slide)
    columns, rows = slide.size_at(used)
    down_at = np.minimum((np.arange(rows) + 0.5) * height / rows, height - 1).astype(int)
    across_at = np.minimum((np.arange(columns) + 0.5) * width / columns, width - 1).astype(int)
    return Tissue(mask[np.ix_(down_at, across_at)], used, origin)


def without(tissue: Tissue, excluded: Bool[np.ndarray, "h w"], names: Sequence[str]) -> Tissue:
    """Return the tissue without what was excluded, a mask of the same shape.

    Raises:
        InputError: nothing is left.
    """
    mask = tissue.mask & ~excluded
    if not mask.any():
        raise InputError(f"Nothing is left to look at: all tissue is outlined as {', '.join(names)}.")
    return Tissue(mask, tissue.mpp, f"{tissue.origin}, without {', '.join(names)}")


def mask_mpp(slide: Slide) -> float:
    """Return the microns per pixel at which masks over a slide are made."""
    return max(_FINEST, 1000 * max(slide.millimeters) / _MOST, *slide.mpp)


def segment(picture: UInt8[np.ndarray, "h w 3"], mpp: float) -> Bool[np.ndarray, "h w"]:
    """Return where tissue is on an overview.

    Source: Otsu 1979, "A threshold selection method from gray-level histograms"; thresholds are kept in a range that
    glass and stained tissue leave free.
    """
    ink = np.asarray(ndimage.binary_dilation(pen_marks(picture), iterations=2), bool)
    saturation, brightness = _saturation(_balanced(picture))
    saturation = ndimage.median_filter(saturation, 3)
    seen = np.minimum(saturation[~ink], _STRONG)
    cut = float(np.clip(threshold_otsu(seen), *_THRESHOLDS)) if seen.size and np.ptp(seen) > 0 else _THRESHOLDS[0]
    mask = (saturation > cut) & (brightness > _DARK) & ~ink
    mask = ndimage.binary_closing(mask, iterations=2) & ~ink
    square = (mpp / 1000) ** 2
    mask = _without_small(mask, _SMALLEST / square)
    return ~_without_small(~mask, _HOLE / square) & ~ink


def pen_marks(picture: UInt8[np.ndarray, "h w 3"]) -> Bool[np.ndarray, "h w"]:
    """Return where green or blue felt-tip is; red and black ink cannot be told from stains by color alone."""
    saturation, _ = _saturation(picture)
    lead = (picture[..., 1].astype(np.float32) - picture[..., 0]) / 255
    return (lead > _PEN_LEAD) & (saturation > _PEN_SATURATION)


def _balanced(picture: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w 3"]:
    """Return the picture with its brightest parts, the glass, made white: a warm lamp is no stain."""
    brightness = picture.min(-1)
    glass = picture[brightness >= np.percentile(brightness, 90)]
    white = np.median(glass, axis=0)
    return np.minimum(picture * (255 / white), 255) if white.min() > _GLASS else picture.astype(np.float64)


def _saturation(picture: Real[np.ndarray, "h w 3"]) -> tuple[Float[np.ndarray, "h w"], Float[np.ndarray, "h w"]]:
    high = picture.max(-1).astype(np.float32)
    low = picture.min(-1)
    return np.divide(high - low, high, out=np.zeros_like(high), where=high > 0), high / 255


def _without_small(mask: Bool[np.ndarray, "h w"], least: float) -> Bool[np.ndarray, "h w"]:
    """Remove connected parts of fewer than `least` pixels."""
    labels, count = connected(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    keep = sizes >= least
    keep[0] = False
    return keep[labels]
