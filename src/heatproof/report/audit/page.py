"""The report as one HTML file that asks nothing of any network and lets nothing in it run but its own script."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from heatproof.errors import UsageError
from heatproof.report.audit.advice import advise
from heatproof.report.audit.album import Album, Images
from heatproof.report.audit.document import Answer, Document, Group
from heatproof.report.audit.figure import effects_figure, reliability_figure, result_figure, share_figure
from heatproof.report.audit.privacy import allowed
from heatproof.report.audit.questions import QUESTIONS, gravest_first, questions, state_of
from heatproof.report.audit.shown import shown
from heatproof.report.audit.words import LIMITS, flattened, interval, measure, number

IMAGES: tuple[Images, ...] = ("full", "thumbnail", "none")
MEASURES = ("accuracy", "AUROC", "sensitivity", "specificity", "calibration error")
"""Measures in the order of the first screen."""
_SHAPES = {"good": "✓", "bad": "✕", "open": "?", "none": "–"}
_FAILURES = 1000


def html(document: Document, images: str = "full", *, paths: bool = False) -> str:
    """Return the page; it holds everything that it shows.

    Args:
        document: what it says.
        paths: show absolute paths and URLs as they are; by default they are taken out of every text.
        images: "full" (up to 768 pixels, smaller where the page would grow beyond 15 MB), "thumbnail", or "none".

    Raises:
        UsageError: `images` is none of these.
    """
    if images not in IMAGES:
        raise UsageError(f"images is {images!r}; give one of {', '.join(IMAGES)}.")
    document = document if paths else shown(document)
    style, script = _part("style.css"), _part("page.js")
    album = Album(Path(document.folder), _files(document), images)
    return (
        _environment()
        .get_template("page.html.jinja")
        .render(
            d=document,
            style=style,
            script=script,
            policy=_policy(style, script),
            advice=advise(document),
            questions=questions(document),
            album=album,
            images=images,
            names=MEASURES,
            shortcuts=None if document.shortcuts is None else gravest_first(document.shortcuts),
            others=[one for one in document.answers if one.result.check not in QUESTIONS and one.subgroup is None],
            parts=_by_part(document.answers),
            groups=_grouped(document),
            group_measures=[m for m in MEASURES if any(m in g.measures for g in _all_groups(document))],
            failures=document.failures[:_FAILURES],
            limits=LIMITS,
            shapes=_SHAPES,
        )
    )


def _policy(style: str, script: str) -> str:
    """Return the content security policy: nothing is fetched, and only this style and this script are run."""
    digests = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode("ascii") for one in (style, script)]
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _files(document: Document) -> list[str]:
    """Return the pictures of the page, those of shortcuts first: they are what verdicts rest on."""
    listed = [file for one in document.shortcuts or () for file in one.pictures.values()]
    return listed + [file for one in document.gallery for file in (one.base, *one.maps.values())]


def _all_groups(document: Document) -> list[Group]:
    return [] if document.performance is None else [document.performance.whole, *document.performance.groups]


def _grouped(document: Document) -> dict[str, list[Group]]:
    """Return the groups by what parts the data."""
    groups = _all_groups(document)
    return {by: [one for one in groups if one.by == by] for by in dict.fromkeys(one.by for one in groups)}


def _by_part(answers: Sequence[Answer]) -> dict[str, list[Answer]]:
    """Return the results of parts of the data, by what parts it."""
    found: dict[str, list[Answer]] = {}
    for one in answers:
        if one.subgroup is not None:
            found.setdefault(one.subgroup[0], []).append(one)
    return found


@cache
def _part(name: str) -> str:
    return (files("heatproof.report.audit") / "parts" / name).read_text(encoding="utf-8").strip() + "\n"


@cache
def _environment() -> Any:
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=FunctionLoader(_part),
    )

    def drawn(function: Callable[..., str]) -> Callable[..., Markup]:
        def call(*given: Any) -> Markup:
            return Markup(function(*given))  # noqa: S704  these functions escape every text that they are given

        return call

    filters: dict[str, Any] = {
        "interval": interval,
        "number": number,
        "flattened": flattened,
        "allowed": allowed,
    }
    environment.filters.update(filters)
    helpers: dict[str, Any] = {
        "measure": measure,
        "state_of": state_of,
        "result_figure": drawn(result_figure),
        "effects_figure": drawn(effects_figure),
        "share_figure": drawn(share_figure),
        "reliability_figure": drawn(reliability_figure),
        "raw": Markup,
    }
    environment.globals.update(helpers)
    return environment
