"""What a notebook shows for an explanation: a small page of its own, with nothing loaded from elsewhere."""

import base64
import io
from html import escape

from PIL import Image

from heatproof.report.overlay import overlay
from heatproof.report.view import tidy
from heatproof.types import Explanation

_MOST_INPUTS, _MOST_TARGETS = 8, 4
_LARGEST = 720  # pixels: a notebook keeps every picture that it shows


def notebook_html(ex: Explanation) -> str:
    """Return the first overlays as self-contained HTML; names that users chose are escaped."""
    targets = max((len(row) for row in ex.targets), default=0)
    figures = [
        _figure(ex, index, target)
        for index in range(min(len(ex), _MOST_INPUTS))
        for target in range(min(len(ex.targets[index]), _MOST_TARGETS))
    ]
    head = tidy(f"{_count(len(ex), 'input')}, {ex.method} at {ex.layer}, {ex.model}")
    left = [_count(len(ex) - _MOST_INPUTS, "more input")] if len(ex) > _MOST_INPUTS else []
    left += [f"{_count(targets - _MOST_TARGETS, 'more target')} per input"] if targets > _MOST_TARGETS else []
    rest = f"<p>Not shown: {' and '.join(left)}.</p>" if left else ""
    row = f'<div style="display:flex;flex-wrap:wrap;gap:1em;align-items:flex-start">{"".join(figures)}</div>'
    return f'<div class="heatproof-explanation"><p><b>Explanation</b>: {escape(head)}</p>{row}{rest}</div>'


def _figure(ex: Explanation, index: int, target: int) -> str:
    image = overlay(ex, index, target)
    lines = str(image.info["caption"]).splitlines()
    image.thumbnail((_LARGEST, _LARGEST), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    alt = escape(" ".join(line if line.endswith(".") else f"{line}." for line in lines))
    under = escape(f"{tidy(ex.inputs[index].name)} · {lines[0]}")
    picture = f'<img alt="{alt}" src="data:image/png;base64,{data}" style="max-width:100%">'
    return f'<figure style="margin:0">{picture}<figcaption>{under}</figcaption></figure>'


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
