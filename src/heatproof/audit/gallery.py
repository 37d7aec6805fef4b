"""Pictures of a run: the best and the worst maps, mistakes, what was flagged; drawn once, kept in the run folder."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np
from PIL import Image

from heatproof.audit.drawn import read_again
from heatproof.audit.outcomes import outcome
from heatproof.audit.pipeline import Worker
from heatproof.audit.store import RunFolder
from heatproof.explain import Explainer
from heatproof.inputs.prepare import restore
from heatproof.report.audit.document import Picture, Why
from heatproof.report.color import Scale
from heatproof.report.overlay import overlay
from heatproof.report.picture import backdrop
from heatproof.report.view import THRESHOLD
from heatproof.types import Explanation

FOLDER, INDEX = "gallery", "gallery/gallery.json"
EACH = 6
"""Pictures of each kind."""
_FIRST: tuple[Why, ...] = ("false positive", "false negative", "disagreement", "flagged", "worst", "best")
"""What an input that belongs to several kinds is shown as."""
SIDE = 512
"""Longest side of a picture, in pixels."""
_BY = ("faithfulness.superiority", "faithfulness.SRG", "plausibility.relevance_rank")


@dataclass
class _Best:
    """The rows with the highest value so far."""

    rows: list[tuple[float, int, dict[str, Any]]]

    def offer(self, value: float, row: Mapping[str, Any]) -> None:
        self.rows.append((value, -row["map_row"], dict(row)))
        if len(self.rows) > 4 * EACH:
            self.cut()

    def cut(self) -> list[dict[str, Any]]:
        self.rows = sorted(self.rows, key=lambda one: one[:2], reverse=True)[:EACH]
        return [row for _, _, row in self.rows]


def choose(
    rows: Iterable[Mapping[str, Any]], per_input: Mapping[str, Mapping[str, float | None]]
) -> list[tuple[Why, dict[str, Any]]]:
    """Return which inputs are shown, and why; each once. Memory does not grow with the number of rows.

    Best and worst are those whose maps the first faithfulness column puts so; without one, the surest right and the
    least sure decisions. Disagreements are the surest mistakes of more than two classes.
    """
    column = next((per_input[name] for name in _columns(per_input)), {})
    kinds: dict[Why, _Best] = {why: _Best([]) for why in get_args(Why)}
    for row in rows:
        right = row["label_index"] is None or row["label_index"] == row["predicted"]
        value = column.get(row["id"]) if column else (row["probability"] if right else None)
        if value is not None:
            kinds["best"].offer(value, row)
            kinds["worst"].offer(-value, row)
        if row["flags"]:
            kinds["flagged"].offer(row["probability"], row)
        match outcome(row):
            case "false positive" | "false negative" as kind:
                kinds[kind].offer(row["probability"], row)
            case "wrong":
                kinds["disagreement"].offer(row["probability"], row)
            case _:
                pass
    chosen: dict[str, tuple[Why, dict[str, Any]]] = {}
    for why in _FIRST:
        for row in kinds[why].cut():
            chosen.setdefault(row["id"], (why, row))
    return sorted(chosen.values(), key=lambda one: (get_args(Why).index(one[0]), one[1]["map_row"]))


def draw_gallery(
    worker: Worker,
    folder: RunFolder,
    chosen: Sequence[tuple[Why, dict[str, Any]]],
    per_input: Mapping[str, Mapping[str, float | None]],
) -> list[str]:
    """Draw the pictures into the run folder; return what could not be drawn, in sentences."""
    drawn = read_again(worker, [row for _, row in chosen])
    why_of: dict[str, Why] = {row["id"]: why for why, row in chosen}
    explainer = Explainer(worker.explainer.model, worker.explainer.layer, worker.plan.maps.method)
    pictures: list[Picture] = []
    for number, (row, original) in enumerate(zip(drawn.rows, drawn.inputs, strict=True)):
        targets: Any = None if row["runner_up"] is None else [[row["predicted"], row["runner_up"]]]
        explanation = explainer([original], targets)
        values = {name: value for name, column in per_input.items() if (value := column.get(row["id"])) is not None}
        pictures.append(_picture(folder, f"{FOLDER}/{number:03d}", explanation, row, why_of[row["id"]], values))
    told = json.dumps([asdict(one) for one in pictures], ensure_ascii=False, indent=1)
    folder.put(INDEX, told.encode())
    return list(drawn.lost)


def _picture(
    folder: RunFolder,
    stem: str,
    explanation: Explanation,
    row: Mapping[str, Any],
    why: Why,
    values: Mapping[str, float],
) -> Picture:
    """Write one picture with its layers; return what the report says of it."""
    base, layers, scale = _layers(explanation)
    file = f"{stem}.jpg" if layers else f"{stem}.png"
    folder.put(file, base)
    names: list[str] = [row["predicted_label"], row["runner_up_label"]]
    maps = {names[place]: f"{stem}-{place}.png" for place in layers}
    for place, data in layers.items():
        folder.put(maps[names[place]], data)
    return Picture(
        id=row["id"],
        why=why,
        label=row["label"],
        predicted=row["predicted_label"],
        probability=row["probability"],
        outcome=outcome(row),
        flags=tuple(row["flags"]),
        base=file,
        maps=maps,
        scale=scale,
        units=explanation.units,
        values=values,
    )


def read_gallery(folder: RunFolder) -> list[Picture]:
    """Return the pictures of a run; none where they were not drawn."""
    try:
        told: list[dict[str, Any]] = json.loads((folder.path / INDEX).read_bytes())
    except (FileNotFoundError, ValueError):
        return []
    found: list[Picture] = []
    for one in told:
        given: dict[str, Any] = {**one, "flags": tuple(one["flags"])}
        found.append(Picture(**given))
    return found


def _columns(per_input: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    return [name for name in _BY if name in per_input] + [n for n in per_input if n.startswith("faithfulness.")]


def _layers(explanation: Explanation) -> tuple[bytes, dict[int, bytes], float]:
    """Return a picture, and over it the evidence for each target in color on transparent ground, on one scale.

    Signals and volumes are drawn whole, with their caption, and have no layers.
    """
    maps = explanation.maps[0].detach().float().cpu()
    top = float(maps.clamp(min=0).max())
    if len(explanation.input_size) != 2:
        return _encoded(overlay(explanation, 0, 0), "PNG"), {}, top
    picture, _ = backdrop(explanation.inputs[0])
    height, width = picture.shape[:2]
    shrink = min(1.0, SIDE / max(height, width))
    size = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    base = _encoded(Image.fromarray(picture).resize(size, Image.Resampling.LANCZOS), "JPEG")
    scale = Scale(top, THRESHOLD) if top > 0 else None
    layers: dict[int, bytes] = {}
    for place in range(len(maps)):
        evidence = restore(maps[place], explanation.geometries[0]).numpy()
        shown = np.zeros((height, width, 4), dtype=np.uint8)
        if scale is not None:
            here = scale.drawn(evidence)
            shown[here, :3] = scale.colors(evidence[here])
            shown[here, 3] = 255
        layers[place] = _encoded(Image.fromarray(shown).resize(size, Image.Resampling.NEAREST), "PNG")
    return base, layers, top


def _encoded(image: Image.Image, form: str) -> bytes:
    buffer = io.BytesIO()
    if form == "JPEG":
        image.convert("RGB").save(buffer, form, quality=85)
    else:
        image.save(buffer, form, optimize=True)
    return buffer.getvalue()
