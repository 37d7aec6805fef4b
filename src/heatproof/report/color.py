"""From evidence to color: perceptually even, color-blind-safe palettes on an absolute, stated scale."""

import functools
import math
from dataclasses import dataclass

import matplotlib as mpl
import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.colors import LinearSegmentedColormap

SEQUENTIAL = "viridis"
# blue against orange is told apart by all common kinds of color blindness; both arms darken evenly away from zero
DIVERGING = ("#08519c", "#6baed6", "#f7f7f7", "#fd8d3c", "#a63603")
_STRIP = 256  # rows blended at a time, so that a picture of 36 megapixels needs no float copy of itself


@dataclass(frozen=True)
class Scale:
    """What the colors mean, in the units of the target.

    Attributes:
        vmax: the evidence at the end of the color bar, which begins at 0 (at `-vmax`, if signed).
        threshold: share of `vmax` below which nothing is drawn.
        signed: whether evidence against the target is drawn too.
    """

    vmax: float
    threshold: float
    signed: bool = False

    @property
    def floor(self) -> float:
        """The smallest evidence that is drawn."""
        return self.vmax * self.threshold

    def drawn(self, values: Float[np.ndarray, "..."]) -> Bool[np.ndarray, "..."]:
        """Return where the evidence is strong enough to be drawn; NaN and zero never are."""
        strength = np.abs(values) if self.signed else values
        return (strength >= self.floor) & (strength > 0)

    def colors(self, values: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape 3"]:
        """Return the color of each value; values beyond the ends get the ends' colors."""
        table = palette(self.signed)
        position = np.clip(values / self.vmax, -1.0 if self.signed else 0.0, 1.0)
        if self.signed:
            position = (position + 1) / 2
        return table[np.rint(position * (len(table) - 1)).astype(np.intp)]


@functools.cache
def palette(signed: bool) -> UInt8[np.ndarray, "entries 3"]:
    """Return the palette; a diverging one has an odd number of entries, so that zero is exactly neutral."""
    if signed:
        colors = LinearSegmentedColormap.from_list("evidence", DIVERGING, N=257)(np.arange(257))
    else:
        colors = mpl.colormaps[SEQUENTIAL](np.arange(256))
    table = np.rint(colors[:, :3] * 255).astype(np.uint8)
    table.flags.writeable = False  # it is cached
    return table


def blend(
    picture: UInt8[np.ndarray, "h w 3"], values: Float[np.ndarray, "h w"], scale: Scale, opacity: float
) -> UInt8[np.ndarray, "h w 3"]:
    """Lay colors of one constant opacity over a picture where evidence is drawn, leaving every other pixel as it is."""
    out = picture.copy()
    for top in range(0, len(out), _STRIP):
        strip, evidence = out[top : top + _STRIP], values[top : top + _STRIP]
        here = scale.drawn(evidence)
        strip[here] = np.rint((1 - opacity) * strip[here] + opacity * scale.colors(evidence[here])).astype(np.uint8)
    return out


def veil(picture: UInt8[np.ndarray, "h w 3"], unseen: Bool[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    """Dim and hatch the part of a picture that the model did not see."""
    if not unseen.any():
        return picture
    out = picture.copy()
    height, width = unseen.shape
    pitch = max(4, round(math.sqrt(height * width) / 40))
    line = max(1, pitch // 6)
    columns = np.arange(width)
    for row in np.flatnonzero(unseen.any(axis=1)):
        here = unseen[row]
        gray = np.where((columns + row) % pitch < line, 235.0, 110.0)[here, None]
        out[row, here] = np.rint(0.35 * out[row, here] + 0.65 * gray).astype(np.uint8)
    return out


def number(value: float) -> str:
    """Write a value for a person: three significant digits, no more exponent than it needs."""
    if value == 0:
        return "0"  # -0.0 too
    if not math.isfinite(value):
        return str(value)
    text = f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"
    return text.replace("-", "−", 1) if value < 0 else text
