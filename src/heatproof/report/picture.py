"""Inputs as they can be seen: pictures as they are, everything else as a stated gray."""

import numpy as np
from jaxtyping import Float, UInt8

from heatproof.report.color import blend, number, veil
from heatproof.report.view import View
from heatproof.types import Input

_LOW, _HIGH = 1, 99  # percentiles: single hot pixels must not make the rest black


def draw_picture(view: View, opacity: float) -> tuple[UInt8[np.ndarray, "h w 3"], list[str]]:
    """Draw a map over a two-dimensional input, at its original size; return it with what the caption must say."""
    picture, note = backdrop(view.input)
    return compose(picture, view, opacity), [note, hatched(view)]


def compose(
    picture: UInt8[np.ndarray, "h w 3"],
    view: View,
    opacity: float,
) -> UInt8[np.ndarray, "h w 3"]:
    """Lay the evidence and the veil over a picture."""
    if view.scale is not None and not view.empty:
        picture = blend(picture, view.restored, view.scale, opacity)
    return veil(picture, view.unseen)


def hatched(view: View) -> str:
    """Return what the hatching means, or an empty string when the model saw everything."""
    return "Hatched: not seen by the model." if view.unseen.any() else ""


def backdrop(input: Input) -> tuple[UInt8[np.ndarray, "*spatial 3"], str]:
    """Return an input of any number of axes in display colors, and what the caption must say about them."""
    data = input.data.detach().float().cpu().numpy()
    broken = ~np.isfinite(data)
    note = ""
    if broken.any():
        note = f" {int(broken.any(axis=0).sum())} samples are not finite and are shown black."
        data = np.where(broken, 0, data)
    if input.picture:
        shown = np.broadcast_to(data, (3, *data.shape[1:]))
    else:
        shown, how = _gray(data, np.asarray(broken.any(axis=0)))
        note = how + note
    colors = np.rint(np.clip(shown, 0, 1) * 255).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(colors, 0, -1)), note.strip()


def _gray(data: Float[np.ndarray, "c *spatial"], broken: np.ndarray) -> tuple[Float[np.ndarray, "3 *spatial"], str]:
    mean = data.mean(axis=0)
    low, high = (float(v) for v in np.percentile(mean[~broken] if not broken.all() else mean, (_LOW, _HIGH)))
    what = "the input" if len(data) == 1 else f"the mean of the input's {len(data)} channels"
    if high > low:
        gray = (mean - low) / (high - low)
        how = f"Gray: {what}, black {number(low)} to white {number(high)} ({_LOW}st to {_HIGH}th percentile)."
    else:
        gray = np.full_like(mean, 0.5)
        how = f"Gray: {what}, which is {number(low)} almost everywhere."
    gray = np.where(broken, 0, gray)
    return np.broadcast_to(gray, (3, *mean.shape)), how
