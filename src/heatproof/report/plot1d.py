"""A map over a signal: the evidence as colored bands behind the line, on the axis's own unit."""

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from heatproof.report.color import blend
from heatproof.report.view import View, literal, tidy
from heatproof.types import Axis

_MOST_CHANNELS = 12
_LONG, _STEPS = 4000, 2000  # samples; a plot is about 900 pixels wide
_WIDTH, _PLOT_HEIGHT, _DPI = 9.6, 1.2, 100  # inches, inches per channel, pixels per inch
_INK = "#1a1a1a"


def plot_signal(view: View, opacity: float) -> tuple[UInt8[np.ndarray, "h w 3"], list[str]]:
    """Plot a signal's channels with the evidence behind them; return the picture and what the caption must say."""
    data = view.input.data.detach().float().cpu().numpy()
    names, notes = [tidy(name) for name in view.input.channels], list[str]()
    if len(data) > _MOST_CHANNELS:
        notes.append(f"The line is the mean of {len(data)} channels.")
        data, names = data.mean(axis=0, keepdims=True), ["mean"]
    if broken := int((~np.isfinite(data)).any(axis=0).sum()):
        notes.append(f"{broken} of {data.shape[1]} samples are not finite and are not drawn.")
        data = np.where(np.isfinite(data), data, np.nan)
    axis = view.input.axes[0]
    edges = _edges(axis, data.shape[1])
    if edges is None:
        notes.append(f"The coordinates of {tidy(axis.name)} are not in order: the axis counts samples.")
        edges = np.arange(data.shape[1] + 1) - 0.5
        axis = Axis(axis.name, "sample")
    evidence, unseen = view.restored, view.unseen
    low = high = data
    if data.shape[1] > _LONG:
        starts = np.arange(0, data.shape[1], -(-data.shape[1] // _STEPS))
        low, high = np.fmin.reduceat(data, starts, axis=1), np.fmax.reduceat(data, starts, axis=1)
        evidence, unseen = _strongest(evidence, starts), np.logical_and.reduceat(unseen, starts)
        edges = edges[np.append(starts, data.shape[1])]
        notes.append(f"Drawn as the range, and the strongest evidence, within each of {len(starts)} steps.")
    band = np.full((1, len(evidence), 3), 255, dtype=np.uint8)
    if view.scale is not None and not view.empty:
        band = blend(band, evidence[None], view.scale, opacity)
    if unseen.any():
        notes.append("Hatched: not seen by the model.")

    figure = Figure(figsize=(_WIDTH, 1.0 + _PLOT_HEIGHT * max(2, len(data))), dpi=_DPI, layout="constrained")
    figure.set_facecolor("white")
    canvas = FigureCanvasAgg(figure)
    plots = figure.subplots(len(data), 1, sharex=True, squeeze=False)[:, 0]
    for plot, name, lowest, highest in zip(plots, names, low, high, strict=True):
        _plot(plot, edges, lowest, highest, band, unseen)
        plot.set_ylabel(literal(name), color=_INK)
    plots[-1].set_xlabel(literal(tidy(f"{axis.name} ({axis.unit})" if axis.unit else axis.name)), color=_INK)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy(), notes


def _plot(
    plot: Axes,
    edges: Float[np.ndarray, " e"],
    low: Float[np.ndarray, " s"],
    high: Float[np.ndarray, " s"],
    band: UInt8[np.ndarray, "1 s 3"],
    unseen: np.ndarray,
) -> None:
    centers = (edges[:-1] + edges[1:]) / 2
    plot.set_facecolor("white")
    plot.tick_params(colors=_INK, labelsize=9)
    plot.pcolormesh(edges, [0, 1], band, transform=plot.get_xaxis_transform(), zorder=0)
    for first, last in _runs(unseen):
        span = (edges[first], edges[last])
        plot.axvspan(*span, facecolor="#d9d9d9", edgecolor="#9a9a9a", hatch="///", linewidth=0, zorder=1)
    if np.array_equal(low, high, equal_nan=True):
        plot.plot(centers, low, color=_INK, linewidth=1, zorder=2)
        there = np.isfinite(np.concatenate([[np.nan], low, [np.nan]]))
        alone = there[1:-1] & ~there[:-2] & ~there[2:]  # a line of one sample cannot be seen
        plot.plot(centers[alone], low[alone], ".", color=_INK, zorder=2)
    else:
        plot.fill_between(centers, low, high, color=_INK, linewidth=0.6, zorder=2)
    plot.set_xlim(edges[0], edges[-1])
    if np.isfinite(low).any():  # of the line alone: the bands would stretch the axis to 0 and 1
        bottom, top = float(np.nanmin(low)), float(np.nanmax(high))
        room = 0.05 * (top - bottom) or 0.05 * abs(top) or 1.0
        plot.set_ylim(bottom - room, top + room)


def _edges(axis: Axis, length: int) -> Float[np.ndarray, " n"] | None:
    """Return the borders between samples, half a step beyond the ends; None if the coordinates are not in order."""
    if axis.coordinates is None:
        return np.arange(length + 1) - 0.5
    known = np.asarray(axis.coordinates, dtype=np.float64)
    if length < 2:
        return np.array([known[0] - 0.5, known[0] + 0.5])
    steps = np.diff(known)
    if not ((steps > 0).all() or (steps < 0).all()):
        return None
    return np.concatenate([[known[0] - steps[0] / 2], known[:-1] + steps / 2, [known[-1] + steps[-1] / 2]])


def _strongest(values: Float[np.ndarray, " n"], starts: np.ndarray) -> Float[np.ndarray, " s"]:
    """Return the value of the largest size, sign kept, within each step."""
    low, high = np.fmin.reduceat(values, starts), np.fmax.reduceat(values, starts)
    return np.where(-low > high, low, high)


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Return the (first, last + 1) of every run of true values."""
    borders = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(first), int(last)) for first, last in borders.reshape(-1, 2)]
