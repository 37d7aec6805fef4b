"""The demonstration's page: one HTML file that asks nothing of any network."""

from importlib.resources import files
from typing import Any

from heatproof.report.color import number


def render(**story: Any) -> str:
    """Fill the template; every value is escaped, and a missing one is an error."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["percent"] = _percent
    environment.filters["number"] = number
    template = (files("heatproof.demo") / "page.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(template).render(**story)


def _percent(value: float) -> str:
    return f"{value:.0%}"
