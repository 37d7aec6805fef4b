"""The demonstration from end to end: explain, measure, intervene, draw, write the page."""

import dataclasses
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import heatproof
from heatproof.cam import method
from heatproof.demo import dab, lesions
from heatproof.demo.evidence import (
    POSITIVE_LABEL,
    Shares,
    measure,
    on_held_out_half,
    positive_evidence,
    share_on,
    with_random_weights,
)
from heatproof.demo.gallery import Gallery, drawn, legend, panel, stained, with_lines
from heatproof.demo.page import render
from heatproof.demo.photographs import CREDITS, NoWeights, imagenet_model, photograph
from heatproof.demo.stains import Removal, remove
from heatproof.errors import InputError
from heatproof.explain import explain
from heatproof.inputs import read
from heatproof.models import Model, load
from heatproof.report.color import Scale
from heatproof.report.view import THRESHOLD
from heatproof.types import Input

SEEDS = 20
STEPS = SEEDS + 7 + lesions.STEPS
"""How often `advance` is called."""
_MEASURED_STEP = 16  # pixels between the tiles that are counted: they overlap by two thirds
_SHOWN_POSITIVE, _SHOWN_NEGATIVE = 6, 2
_ZOOM = 4

Advance = Callable[[], None]


@dataclass(frozen=True)
class Demo:
    """What the demonstration found and wrote.

    Attributes:
        sentence: the result.
        page: the HTML page.
        files: everything written.
        numbers: the result for programs.
    """

    sentence: str
    page: Path
    files: tuple[Path, ...]
    numbers: dict[str, Any]


def run(out: Path, *, offline: bool = False, advance: Advance = lambda: None) -> Demo:
    """Explain held-out tiles, the whole field and photographs, and write a page with PNGs into `out`.

    Args:
        out: folder, made if need be; files of the same names are replaced.
        offline: never try to download weights for the photographs.
        advance: called after each of `STEPS` steps.

    Raises:
        InputError: `out` cannot be written into.
    """
    began = time.monotonic()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {out} cannot be made ({error.strerror}); name another with --out.") from error
    with _one_thread():
        return _run(out, offline, advance, began)


@contextmanager
def _one_thread() -> Generator[None]:
    """Keep torch to one thread: small networks gain nothing from more, which on a busy machine wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _run(out: Path, offline: bool, advance: Advance, began: float) -> Demo:
    gallery = Gallery(out)
    model = load("bundled:dab")
    advance()
    shares, removals = _measure(model, advance)
    tiles = _show_tiles(model, shares, gallery)
    advance()
    field = _show_field(model, gallery)
    advance()
    photographs = _show_photographs(gallery, offline)
    advance()
    seen, networks = lesions.ask(advance)
    ruler = lesions.show(seen, networks, gallery)
    advance()
    sentence = f"{summarize(shares)}\n\n{lesions.summarize(networks)}"
    numbers: dict[str, Any] = {
        "sentence": sentence,
        "model": "bundled:dab",
        "target": POSITIVE_LABEL,
        "tiles": {**dataclasses.asdict(shares), "random_mean": shares.random_mean, "seeds": list(range(SEEDS))},
        "field": {"held_out_share": field["share"], "held_out_chance": field["chance"]},
        "stain_removal": [dataclasses.asdict(removal) for removal in removals],
        "lesions": {
            one.model.name: {
                "accuracy": one.accuracy,
                "verdicts": {finding.candidate.name: finding.verdict for finding in one.findings},
                "weights_sha256": one.model.weights_sha256(),
            }
            for one in networks
        },
        "photographs": [{key: p[key] for key in ("name", "label", "score")} for p in photographs["shown"]],
        "no_photographs_because": photographs["missing"],
        "weights_sha256": model.weights_sha256(),
        "versions": {"heatproof": heatproof.__version__, "torch": torch.__version__},
        "seconds": round(time.monotonic() - began, 1),
    }
    page = out / "index.html"
    page.write_text(
        render(
            sentence=summarize(shares),
            unmasked=lesions.summarize(networks),
            shares=shares,
            removals=removals,
            tiles=tiles,
            field=field,
            photographs=photographs,
            ruler=ruler,
            numbers=numbers,
        ),
        encoding="utf-8",
    )
    return Demo(sentence, page, (page, *gallery.files), numbers)


def summarize(shares: Shares) -> str:
    """Return the result as one sentence, with what it does not show."""
    low, high = min(shares.random_seen), max(shares.random_seen)
    return (
        f"On {shares.tiles} held-out tiles, {shares.trained:.0%} of the positive evidence falls on DAB-stained pixels, "
        f"which cover {shares.chance:.0%} of the area (chance); the same network with random weights puts "
        f"{shares.random_mean:.0%} there (mean of {len(shares.random_seen)} seeds, {low:.0%} to {high:.0%}; "
        f"{shares.random_as_good} of them as good as the trained one); the tiles overlap and come from one picture, "
        "the map is coarse, and lying on the stain does not by itself prove that the network uses it."
    )


def _measure(model: Model, advance: Advance) -> tuple[Shares, list[Removal]]:
    tiles = dab.tiles("test", _MEASURED_STEP)
    positive = tiles.labels == 1
    inputs = [read(image) for image in tiles.images[positive]]
    shares = measure(model, inputs, tiles.truths[positive], range(SEEDS), advance)
    removals = [remove(model, list(tiles.images[positive]), stain) for stain in (None, "DAB", "hematoxylin")]
    advance()
    return shares, removals


def _show_tiles(model: Model, shares: Shares, gallery: Gallery) -> dict[str, Any]:
    """Draw some held-out tiles that do not overlap, evenly spaced among all of them: nobody picked the nice ones."""
    tiles = dab.tiles("test", dab.TILE)
    shown = [
        int(rows[i])
        for label, count in ((1, _SHOWN_POSITIVE), (0, _SHOWN_NEGATIVE))
        for rows in [np.flatnonzero(tiles.labels == label)]
        for i in np.linspace(0, len(rows) - 1, count).round().astype(int)
    ]
    inputs = [_tile(tiles.images[i], tiles.corners[i]) for i in shown]
    truths = tiles.truths[shown]
    ex = explain(model, inputs, POSITIVE_LABEL)
    seed = _middle_seed(shares)
    random = explain(with_random_weights(model, seed), inputs, POSITIVE_LABEL, layer=ex.layer)
    vmax, random_vmax = (float(one.maps.max()) for one in (ex, random))
    found, by_random = (share_on(positive_evidence(one), truths) for one in (ex, random))
    rows: list[dict[str, Any]] = []
    for i, (index, one) in enumerate(zip(shown, inputs, strict=True)):
        name = f"tile-{i + 1}"
        gallery.add(f"{name}-explained", ex.overlay(i))
        rows.append(
            {
                "title": f"{model.label(int(tiles.labels[index]))} tile, {one.name}",
                "positive": bool(tiles.labels[index]),
                "score": float(ex.scores[i, 0]),
                "highest": float(ex.maps[i, 0].max()),
                "area": float(truths[i].mean()),
                "share": None if np.isnan(found[i]) else float(found[i]),
                "random_share": None if np.isnan(by_random[i]) else float(by_random[i]),
                "picture": gallery.add(name, panel(tiles.images[index], _ZOOM)),
                "stain": gallery.add(f"{name}-stain", panel(stained(tiles.images[index], truths[i]), _ZOOM)),
                "trained": gallery.add(f"{name}-evidence", panel(drawn(ex, i, vmax), _ZOOM)),
                "random": gallery.add(f"{name}-random", panel(drawn(random, i, random_vmax), _ZOOM)),
            }
        )
    return {
        "rows": rows,
        "seed": seed,
        "legend": legend(Scale(vmax, THRESHOLD)),
        "random_legend": legend(Scale(random_vmax, THRESHOLD)),
        "spacing": ex.resolution.spacing[0],
        "receptive_field": None if ex.resolution.receptive_field is None else ex.resolution.receptive_field[0],
        "layer": ex.layer,
        "method": method(ex.method).title,
    }


def _show_field(model: Model, gallery: Gallery) -> dict[str, Any]:
    ex = explain(model, read(dab.field(), name="whole field"), POSITIVE_LABEL)
    share, chance = on_held_out_half(ex)
    vmax = float(ex.maps.max())
    borders = (dab.SPLIT["train"][1], dab.SPLIT["test"][0])
    gallery.add("field-explained", ex.overlay(0))
    return {
        "share": share,
        "chance": chance,
        "score": float(ex.scores[0, 0]),
        "grid": " × ".join(str(side) for side in ex.resolution.grid),
        "legend": legend(Scale(vmax, THRESHOLD)),
        "picture": gallery.add("field", with_lines(panel(dab.field()), borders)),
        "stain": gallery.add("field-stain", with_lines(panel(stained(dab.field(), dab.truth())), borders)),
        "evidence": gallery.add("field-evidence", with_lines(drawn(ex, 0, vmax), borders)),
    }


def _show_photographs(gallery: Gallery, offline: bool) -> dict[str, Any]:
    model = imagenet_model(offline)
    if isinstance(model, NoWeights):
        return {"shown": [], "missing": model.reason, "model": None}
    shown: list[dict[str, Any]] = []
    for name, credit in CREDITS.items():
        ex = explain(model, read(photograph(name), name=name))
        vmax = float(ex.maps.max())
        gallery.add(f"photo-{name}-explained", ex.overlay(0))
        shown.append(
            {
                "name": name,
                "label": ex.targets[0][0].name,
                "score": float(ex.scores[0, 0]),
                "credit": credit,
                "grid": " × ".join(str(side) for side in ex.resolution.grid),
                "legend": legend(Scale(vmax, THRESHOLD)) if vmax > 0 else None,
                "picture": gallery.add(f"photo-{name}", panel(photograph(name))),
                "evidence": gallery.add(f"photo-{name}-evidence", drawn(ex, 0, vmax if vmax > 0 else 1.0)),
            }
        )
    return {"shown": shown, "missing": None, "model": model.name}


def _tile(image: np.ndarray, corner: np.ndarray) -> Input:
    row, column = (int(value) for value in corner)
    return read(image, name=f"row {row}, column {column}")


def _middle_seed(shares: Shares) -> int:
    """Return the seed whose random network is the median one: neither a lucky nor an unlucky draw is shown."""
    ranked = sorted((share, seed) for seed, share in enumerate(shares.random) if not np.isnan(share))
    return ranked[(len(ranked) - 1) // 2][1]
