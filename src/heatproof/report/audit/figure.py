"""Figures of the page as inline SVG: drawn by hand, so that they follow the page's colors and need no other file."""

import math
from collections.abc import Sequence
from html import escape

from heatproof.report.check import interval_text
from heatproof.types import CheckResult, Interval

_WIDTH, _LEFT, _RIGHT = 300, 10, 290


def result_figure(result: CheckResult, state: str) -> str:
    """Return statistic with interval over the null with interval, the margin shaded, the ceiling where there is one."""
    value = result.value
    if value is None or not math.isfinite(value.estimate):
        return ""
    axis = _Axis([value, result.null, result.ceiling], result.margin)
    told = [f"{result.statistic} {interval_text(value)}"]
    parts: list[str] = []
    if result.null is not None and math.isfinite(result.null.estimate):
        low, high = axis(result.null.estimate - result.margin), axis(result.null.estimate + result.margin)
        parts.append(f'<rect class="zone" x="{low:.1f}" y="4" width="{high - low:.1f}" height="56"/>')
        middle = axis(result.null.estimate)
        parts.append(f'<line class="null" x1="{middle:.1f}" y1="4" x2="{middle:.1f}" y2="60"/>')
        if result.null.low != result.null.high:
            parts.append(_bar(axis, result.null, 48, "null-bar"))
        told.append(f"null {interval_text(result.null)} ({result.null_name}), margin {result.margin:g}")
    if result.ceiling is not None and math.isfinite(result.ceiling.estimate):
        x = axis(result.ceiling.estimate)
        parts.append(f'<path class="ceiling" d="M{x:.1f} 10l5 6l-5 6l-5-6z"/>')
        told.append(f"ceiling {interval_text(result.ceiling)}")
    parts.append(_bar(axis, value, 30, f"value {state}"))
    parts.append(f'<circle class="value {state}" cx="{axis(value.estimate):.1f}" cy="30" r="6"/>')
    return _svg("; ".join(told), 82, parts + axis.drawn(60))


def effects_figure(effects: Sequence[tuple[str, Interval]], margin: float) -> str:
    """Return one row for each experiment: its effect with interval, what is too small to matter shaded."""
    known = [(name, one) for name, one in effects if math.isfinite(one.estimate)]
    if not known:
        return ""
    axis = _Axis([Interval(0.0, 0.0, 0.0), *(one for _, one in known)], margin)
    bottom = 34 * len(known) + 6
    low, high = axis(-margin), axis(margin)
    parts = [f'<rect class="zone" x="{low:.1f}" y="4" width="{high - low:.1f}" height="{bottom - 4}"/>']
    parts.append(f'<line class="null" x1="{axis(0.0):.1f}" y1="4" x2="{axis(0.0):.1f}" y2="{bottom}"/>')
    for row, (name, one) in enumerate(known):
        y = 34 * row + 28
        parts.append(f'<text class="row" x="{_LEFT}" y="{y - 12}">{escape(name)} {interval_text(one)}</text>')
        parts.append(_bar(axis, one, y, "value"))
        parts.append(f'<circle class="value" cx="{axis(one.estimate):.1f}" cy="{y}" r="4.5"/>')
    told = "; ".join(f"{name} {interval_text(one)}" for name, one in known)
    return _svg(told, bottom + 22, parts + axis.drawn(bottom))


def share_figure(interval: Interval, name: str) -> str:
    """Return an interval on the axis from 0 to 1, small."""
    if not math.isfinite(interval.estimate):
        return ""
    axis = _Axis([Interval(0.0, 0.0, 1.0)], 0.0, exact=True)
    parts = [f'<line class="axis" x1="{_LEFT}" y1="8" x2="{_RIGHT}" y2="8"/>']
    parts += [f'<line class="axis" x1="{axis(x):.1f}" y1="5" x2="{axis(x):.1f}" y2="11"/>' for x in (0.0, 0.5, 1.0)]
    parts.append(_bar(axis, interval, 8, "value"))
    parts.append(f'<circle class="value" cx="{axis(interval.estimate):.1f}" cy="8" r="6"/>')
    return _svg(f"{name} {interval_text(interval)} on an axis from 0 to 1", 16, parts)


def reliability_figure(bins: Sequence[tuple[float, float, int]]) -> str:
    """Return share right over mean probability; the area of a dot is its bin's count."""
    if not bins:
        return ""
    side, most = 242, max(count for *_, count in bins) or 1
    place = [(30 + 200 * p, 210 - 200 * share, count) for p, share, count in bins]
    parts = [
        '<path class="axis" d="M30 10V210H230"/>',
        '<line class="null" x1="30" y1="210" x2="230" y2="10"/>',
        *(f'<text class="tick" x="{30 + 200 * x:.0f}" y="224">{x:g}</text>' for x in (0.0, 0.5, 1.0)),
        *(f'<text class="tick" x="16" y="{214 - 200 * x:.0f}">{x:g}</text>' for x in (0.0, 0.5, 1.0)),
        *(
            f'<circle class="value" cx="{x:.1f}" cy="{y:.1f}" r="{3 + 6 * math.sqrt(count / most):.1f}"/>'
            for x, y, count in place
        ),
        '<text class="tick" x="130" y="238">probability that it gave</text>',
    ]
    told = "; ".join(f"probability {p:.2f}: {share:.0%} right (n = {count})" for p, share, count in bins)
    return _svg(f"Calibration: {told}", side, parts, width=side)


class _Axis:
    """Places values between the left and the right edge, and draws the ticks."""

    def __init__(self, intervals: Sequence[Interval | None], margin: float, *, exact: bool = False) -> None:
        ends = [x for one in intervals if one is not None for x in (one.estimate, one.low, one.high)]
        null = intervals[1] if len(intervals) > 1 and not exact else None
        around = null.estimate if null is not None else 0.0
        ends += [around - margin, around + margin] if null is not None or margin else []
        known = [x for x in ends if math.isfinite(x)]
        low, high = min(known), max(known)
        pad = 0.0 if exact else 0.05 * (high - low) or 0.5
        self.low, self.high = low - pad, high + pad

    def __call__(self, value: float) -> float:
        clipped = min(max(value, self.low), self.high)
        return _LEFT + (_RIGHT - _LEFT) * (clipped - self.low) / (self.high - self.low)

    def drawn(self, y: int) -> list[str]:
        """Return the axis line and its ticks."""
        parts = [f'<line class="axis" x1="{_LEFT}" y1="{y}" x2="{_RIGHT}" y2="{y}"/>']
        for tick in ticks(self.low, self.high):
            x = self(tick)
            parts.append(f'<line class="axis" x1="{x:.1f}" y1="{y}" x2="{x:.1f}" y2="{y + 4}"/>')
            parts.append(f'<text class="tick" x="{min(max(x, 16), 284):.1f}" y="{y + 17}">{tick:g}</text>')
        return parts


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers between two limits: multiples of 1, 2 or 5 times a power of ten, at most `most`."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    step = next(power * m for m in (1, 2, 5, 10, 20) if (high - low) / (power * m) <= most - 1)
    first = math.ceil(low / step - 1e-9)
    return [round(i * step, 12) + 0.0 for i in range(first, math.floor(high / step + 1e-9) + 1)]


def _bar(axis: _Axis, interval: Interval, y: int, name: str) -> str:
    if not (math.isfinite(interval.low) and math.isfinite(interval.high)):
        return ""
    return f'<line class="{name}" x1="{axis(interval.low):.1f}" y1="{y}" x2="{axis(interval.high):.1f}" y2="{y}"/>'


def _svg(told: str, height: int, parts: Sequence[str], *, width: int = _WIDTH) -> str:
    said = escape(told, quote=True)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{said}">{"".join(parts)}</svg>'
