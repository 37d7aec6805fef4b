"""The door to every drawing: a map over its input, at the input's original size, with color bar and caption."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from heatproof.report.frame import Legend, add_frame
from heatproof.report.picture import draw_picture
from heatproof.report.plot1d import plot_signal
from heatproof.report.view import OPACITY, THRESHOLD, View, view
from heatproof.report.volume import draw_volume
from heatproof.types import Explanation

_SMALL, _ENLARGED = 160, 320  # pictures with no side over the first are enlarged to about the second


def overlay(
    ex: Explanation,
    index: int = 0,
    target: int = 0,
    *,
    signed: bool = False,
    opacity: float = OPACITY,
    threshold: float = THRESHOLD,
    vmax: float | None = None,
    frame: bool = True,
) -> Image.Image:
    """Draw one map over its input.

    Colors have one constant opacity where the evidence is at least `threshold` of the scale; every other pixel is the
    input's own. What the model did not see is hatched. A signal is drawn as a plot, a volume as the three planes
    through the strongest evidence.

    Args:
        ex: the explanation.
        index: which input.
        target: which of its targets.
        signed: show evidence for and against in a diverging color map whose neutral color is zero.
        opacity: of the colors, above 0 and at most 1.
        threshold: share of the scale below which nothing is drawn.
        vmax: end of the color bar in the units of the target, to compare several maps; None is the map's own maximum.
        frame: add title, color bar and caption around the picture (a picture below 160 pixels is then enlarged by a
            whole factor). Without it the result has exactly the input's size.

    Returns:
        An RGB image. A framed one says in `image.info` what its caption is ("caption") and where in it the picture lies
        ("picture_box": left, top, right, bottom).

    Raises:
        UsageError: there is no such input, or a setting is out of its range.
        TargetError: there is no such target.
    """
    seen = view(ex, index, target, signed=signed, threshold=threshold, opacity=opacity, vmax=vmax)
    draw = {1: plot_signal, 2: draw_picture, 3: draw_volume}[len(seen.input.axes)]
    picture, notes = draw(seen, opacity)
    if not frame:
        return Image.fromarray(picture)
    return _framed(seen, picture, notes, opacity)


def _framed(seen: View, picture: UInt8[np.ndarray, "h w 3"], notes: list[str], opacity: float) -> Image.Image:
    largest = max(picture.shape[:2])
    if largest < _SMALL:
        factor = _ENLARGED // largest
        picture = picture.repeat(factor, axis=0).repeat(factor, axis=1)
        notes = [*notes, f"Picture shown at {factor} × its size."]
    legend = None
    if seen.scale is not None:
        grounds = (255,) if len(seen.input.axes) == 1 else (255, 0)  # a plot's bands lie on white paper
        legend = Legend(seen.scale, seen.unit(), opacity, grounds)
        if len(grounds) > 1 and not seen.empty:
            notes = [*notes, f"Color bar: upper half as on white, lower half as on black ({opacity:.0%} opaque)."]
    lines = seen.caption(*notes)
    image = add_frame(picture, lines, legend, stress=len(seen.remarks))
    image.info["caption"] = "\n".join(lines)
    return image
