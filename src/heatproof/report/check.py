"""A figure for a check result: statistic, null, ceiling and controls with intervals, the margin, and curves."""

from collections.abc import Mapping
from textwrap import fill
from typing import TYPE_CHECKING, Any

from heatproof.report.view import literal
from heatproof.types import CheckResult, Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLORS = {"supports": "tab:green", "undermines": "tab:red", "inconclusive": "tab:orange", "not applicable": "0.5"}
_CURVES = {
    "sanity": ("stages drawn anew (independent: which stage)", "mean |rho|"),
    "faithfulness": ("share of the grid removed", "mean score"),
}
"""What the axes of known checks' curves are."""
_WIDTH = 7.5  # inches, of the whole figure
_ROW, _LINE, _FRAME, _PANEL = 0.3, 0.16, 1.2, 2.9  # inches: a row, a line in it, what is around the rows, the curves


def interval_text(interval: Interval | None) -> str:
    """Return "0.62 [0.55, 0.70]", or the number alone where it is known exactly."""
    if interval is None:
        return "none"
    if interval.low == interval.high:
        return _number(interval.estimate)
    if interval.low != interval.low or interval.high != interval.high:
        return f"{_number(interval.estimate)} (no interval)"
    return f"{_number(interval.estimate)} [{_number(interval.low)}, {_number(interval.high)}]"


def plot_check(result: CheckResult) -> "Figure":
    """Return the figure; it belongs to no window and no global state."""
    from matplotlib.figure import Figure

    rows = _rows(result)
    tallest = max((label.count("\n") + 1 for label, _, _ in rows), default=2)
    heights = [_FRAME + max(_ROW, _LINE * tallest) * max(len(rows), 1)] + [_PANEL] * bool(result.curves)
    figure = Figure(figsize=(_WIDTH, sum(heights)), layout="constrained")
    panels = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _draw_rows(panels[0], result, rows)
    if result.curves:
        _draw_curves(panels[1], result)
    return figure


def _rows(result: CheckResult) -> list[tuple[str, Interval, str]]:
    """Return label, interval and color of each row, from the top."""
    named = [
        ("statistic", result.value, _COLORS[result.verdict]),
        (f"null: {result.null_name}", result.null, "0.35"),
        ("ceiling", result.ceiling, "tab:blue"),
    ]
    controls: Any = result.details.get("controls")
    if isinstance(controls, Mapping):
        named += [(f"control: {name.replace('_', ' ')}", value, "0.65") for name, value in controls.items()]
    return [
        (fill(label, 34), interval, color)
        for label, interval, color in named
        if isinstance(interval, Interval) and interval.estimate == interval.estimate
    ]


def _draw_rows(axes: "Axes", result: CheckResult, rows: list[tuple[str, Interval, str]]) -> None:
    from matplotlib.ticker import MaxNLocator

    unit = f"{result.unit}s" if result.unit in ("input", "cluster", "folder") and result.n != 1 else result.unit
    title = f"{result.check}: {result.verdict} (n = {result.n} {unit})\n{fill(result.claim, 80)}"
    axes.set_title(literal(title), fontsize=10)
    if not rows:
        axes.text(
            0.5, 0.5, literal(fill(result.why, 80)), ha="center", va="center", transform=axes.transAxes, fontsize=9
        )
        axes.set_axis_off()
        return
    margin = ""
    if result.null is not None and result.null.estimate == result.null.estimate:
        low, high = result.null.estimate - result.margin, result.null.estimate + result.margin
        axes.axvspan(low, high, color="0.92", zorder=0)
        axes.axvline(result.null.estimate, color="0.6", linewidth=0.8, linestyle=":", zorder=1)
        margin = f" (shaded: within the margin {result.margin:g} of the null)"
    for y, (_, interval, color) in enumerate(rows):
        if interval.low == interval.low and interval.high == interval.high:
            axes.plot([interval.low, interval.high], [y, y], color=color, linewidth=3, solid_capstyle="butt")
        axes.plot(interval.estimate, y, "o", color=color, markersize=6)
    places = range(len(rows))
    axes.set_yticks(places, [literal(label) for label, _, _ in rows], fontsize=9)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlabel(literal(result.statistic + margin), fontsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter("{x:.3g}")  # a common factor would stand in the label's way
    axes.tick_params(labelsize=9)
    values = axes.twinx()  # the numbers stand outside of the frame, where nothing is drawn
    values.set_ylim(axes.get_ylim())
    values.set_yticks(places, [interval_text(interval) for _, interval, _ in rows], fontsize=9)
    for one in (axes, values):
        one.tick_params(axis="y", length=0)
        one.spines[["top", "left", "right"]].set_visible(False)


def _draw_curves(axes: "Axes", result: CheckResult) -> None:
    """Draw the curves; those called "X, KIND" and "Y, KIND" share a color and differ in their line."""
    from matplotlib.ticker import MaxNLocator

    across, up = _CURVES.get(result.check, ("", ""))
    kinds = list(dict.fromkeys(name.rpartition(", ")[2] for name in result.curves))
    ways = list(dict.fromkeys(name.rpartition(", ")[0] for name in result.curves))
    for name, (xs, ys) in result.curves.items():
        way, _, kind = name.rpartition(", ")
        color, line = f"C{kinds.index(kind) % 10}", ("-", "--", "-.", ":")[ways.index(way) % 4]
        marker = "osD^v"[kinds.index(kind) % 5]
        label = literal(fill(name.replace("_", " "), 26))
        axes.plot(xs, ys, marker=marker, markersize=3.5, linewidth=1.4, color=color, linestyle=line, label=label)
    if all(float(x).is_integer() for xs, _ in result.curves.values() for x in xs):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel(across, fontsize=9)
    axes.set_ylabel(up, fontsize=9)
    axes.tick_params(labelsize=9)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8, frameon=False)


def _number(value: float) -> str:
    return f"{value:.2f}" if 0.01 <= abs(value) < 100 or value == 0 else f"{value:.3g}"
