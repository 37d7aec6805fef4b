"""One small figure for a check result: statistic, interval, null, ceiling and margin."""

from typing import TYPE_CHECKING

from heatproof.types import CheckResult

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_check(result: CheckResult) -> "Figure":
    """Return the figure; it belongs to no window and no global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 1.8), layout="constrained")
    axes = figure.add_subplot()
    if result.null is not None:
        low, high = result.null.estimate - result.margin, result.null.estimate + result.margin
        axes.axvspan(low, high, color="0.9", label=f"within the margin {result.margin:g} of the null")
    rows = [("null", result.null, "0.4"), ("ceiling", result.ceiling, "tab:green"), ("statistic", result.value, "k")]
    shown = [(name, interval, color) for name, interval, color in rows if interval is not None]
    for y, (_, interval, color) in enumerate(shown):
        axes.plot([interval.low, interval.high], [y, y], color=color, linewidth=3)
        axes.plot(interval.estimate, y, "o", color=color)
    axes.set_yticks(range(len(shown)), [name for name, _, _ in shown])
    axes.set_xlabel(result.statistic)
    axes.set_title(f"{result.check}: {result.verdict} (n = {result.n} {result.unit}s)", fontsize=10)
    return figure
