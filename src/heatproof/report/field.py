"""A map over a field: the field in gray with arrows for a plane vector, the map as contours, axes in their units."""

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from heatproof.errors import InputError, UsageError
from heatproof.report.view import OPACITY, THRESHOLD, View, label, literal, tidy, view
from heatproof.types import Axis, Explanation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLORS = ("#fdae61", "#f46d43", "#d73027")
_LEVELS = (0.25, 0.5, 0.75)
"""Shares of the map's largest evidence at which contours are drawn."""
_ARROWS = 16
"""Arrows along the longer side, at most."""
_SIDE = 5.2  # inches


def plot_field(ex: Explanation, index: int = 0, target: int = 0, *, vector: tuple[int, int] | None = None) -> "Figure":
    """Return a figure of a two-dimensional input with its map as contours; it belongs to no global state.

    Args:
        ex: the explanation.
        index: which input.
        target: which of its targets.
        vector: channels with the components along the last axis and the one before it, drawn as arrows over their
            length; None does so for inputs of two channels, and shows the mean of the channels otherwise.

    Raises:
        InputError: the input has not two spatial axes of at least two samples.
        UsageError, TargetError: there is no such input, channel or target.
    """
    from matplotlib.figure import Figure

    seen = view(ex, index, target, signed=False, threshold=THRESHOLD, opacity=OPACITY, vmax=None)
    if len(seen.input.axes) != 2:
        raise InputError(f"{seen.input.name} has {len(seen.input.axes)} spatial axes; field plots are for two.")
    data = seen.input.data.detach().float().cpu().numpy()
    if min(data.shape[1:]) < 2:
        raise InputError(f"{seen.input.name} is {data.shape[1]} × {data.shape[2]}; contours take 2 samples a side.")
    if vector is not None and not all(0 <= channel < len(data) for channel in vector):
        raise UsageError(f"vector={vector} names channels of {len(data)}, which are numbered from 0.")
    vector = (0, 1) if vector is None and len(data) == 2 else vector
    y, x = (_places(axis, side) for axis, side in zip(seen.input.axes, data.shape[1:], strict=True))
    shown = data.mean(0) if vector is None else np.hypot(data[vector[0]], data[vector[1]])
    shown = shown if np.isfinite(shown).any() else np.zeros_like(shown)
    figure = Figure(figsize=(_SIDE + 1.2, _SIDE * min(1.6, max(0.4, len(y) / len(x))) + 1.6), layout="constrained")
    axes = figure.subplots()
    mesh = axes.pcolormesh(x, y, shown, cmap="Greys", shading="nearest", rasterized=True)
    names = [tidy(name) for name in seen.input.channels]
    what = f"|({names[vector[0]]}, {names[vector[1]]})|" if vector else (names[0] if len(names) == 1 else "mean")
    figure.colorbar(mesh, ax=axes, label=literal(what), shrink=0.8)
    if vector is not None:
        step = max(1, max(len(y), len(x)) // _ARROWS)
        cut = np.s_[step // 2 :: step]
        u, v = (data[channel][cut, cut] for channel in vector)
        axes.quiver(x[cut], y[cut], u, v, color="tab:blue", width=0.004, alpha=0.8)
    told = _contours(axes, x, y, seen)
    axes.set_xlabel(_named(seen.input.axes[1]))
    axes.set_ylabel(_named(seen.input.axes[0]))
    axes.set_aspect("equal" if seen.input.axes[0].unit == seen.input.axes[1].unit else "auto")
    title = f"{label(seen.target)}: score {seen.score:.3g}\n{told}\n{seen.resolution()}"
    axes.set_title(literal(title), fontsize=9)
    return figure


def _contours(axes: "Axes", x: np.ndarray, y: np.ndarray, seen: View) -> str:
    """Draw the contours, and return what they are in words."""
    values = np.nan_to_num(seen.restored)
    top = float(values.max())
    if seen.empty or not top > 0:
        return "; ".join(seen.remarks) or "No positive evidence."
    levels = [share * top for share in _LEVELS]
    axes.contour(x, y, values, levels=levels, colors=_COLORS, linewidths=1.6)
    shares = ", ".join(f"{share:.0%}" for share in _LEVELS)
    return f"{seen.ex.method}: contours at {shares} of {top:.3g}"


def _places(axis: Axis, side: int) -> Float[np.ndarray, " s"]:
    return np.arange(side, dtype=float) if axis.coordinates is None else np.asarray(axis.coordinates, dtype=float)


def _named(axis: Axis) -> str:
    return literal(tidy(f"{axis.name} ({axis.unit})" if axis.unit else axis.name))
