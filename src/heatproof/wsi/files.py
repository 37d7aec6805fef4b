"""What a run leaves in its folder: pictures, tables, exports; the manifest last, which says that all is there."""

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from heatproof.plugins import Plugin
from heatproof.report._files import plain
from heatproof.wsi.pictures import loupe, overview
from heatproof.wsi.regions import Region
from heatproof.wsi.result import SlideMap

FORMAT = "heatproof slide 1"


@dataclass(frozen=True)
class Written:
    """What was written.

    Attributes:
        manifest: contents of `slide.json`.
        files: every file, relative to the folder.
    """

    manifest: dict[str, Any]
    files: tuple[str, ...]


def write_results(
    found: SlideMap, regions: Sequence[Region], exports: Sequence[Plugin], extra: dict[str, Any] | None = None
) -> Written:
    """Write everything about a slide's map into its folder.

    Args:
        found: the map.
        regions: the ranked regions to list and to show.
        exports: formats to write.
        extra: further entries of the manifest, such as the answers of checks.
    """
    folder = found.folder
    manifest = folder / "slide.json"
    manifest.unlink(missing_ok=True)  # from here on the folder is unfinished
    paths = [folder / "overview.png", folder / "regions.csv", folder / "regions.json", folder / "tiles.csv"]
    overview(found, list(regions)).save(paths[0])
    _tables(found, regions, folder)
    paths += _loupes(found, regions, folder)
    for plugin in exports:
        paths += plugin.function(found, list(regions), folder)
    told = plain(_manifest(found, regions) | (extra or {}))
    files = tuple(path.relative_to(folder).as_posix() for path in [*paths, found.canvas.path])
    aside = folder / ".slide.json.part"
    aside.write_text(json.dumps(told | {"files": files}, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    aside.replace(manifest)
    return Written(told, files)


def _manifest(found: SlideMap, regions: Sequence[Region]) -> dict[str, Any]:
    scores = np.array([t.score for t in found.tiles if t.score is not None and t.positions])
    weights = np.array([t.positions for t in found.tiles if t.score is not None and t.positions])
    mean = found.mean()
    bias = found.about.get("bias")
    return {
        "format": FORMAT,
        **found.about,
        "tissue_mm2": found.tissue.area,
        "mean_evidence": mean,
        "slide_score": mean + bias if bias is not None else float(np.average(scores, weights=weights)),
        "highest_tile_score": float(scores.max()) if scores.size else None,
        "level": found.level,
        "vmax": found.vmax,
        "tiles_done": len(found.tiles) - len(found.unreadable),
        "unreadable": [{"box": t.box, "problem": t.problem} for t in found.unreadable],
        "regions": [_row(region) for region in regions],
    }


def _row(region: Region) -> dict[str, Any]:
    left, top, right, bottom = region.box
    return {
        "rank": region.rank,
        "area_mm2": region.area,
        "evidence_mass": region.mass,
        "evidence_share": region.share,
        "peak": region.peak,
        "peak_x": region.at[0],
        "peak_y": region.at[1],
        "x_min": left,
        "y_min": top,
        "x_max": right,
        "y_max": bottom,
        "level": region.level,
    }


def _tables(found: SlideMap, regions: Sequence[Region], folder: Path) -> None:
    rows = [_row(region) for region in regions]
    (folder / "regions.json").write_text(json.dumps(plain(rows), indent=2) + "\n", encoding="utf-8")
    columns = list(rows[0]) if rows else ["rank", "area_mm2", "evidence_mass", "evidence_share", "peak"]
    with (folder / "regions.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    with (folder / "tiles.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["x", "y", "width", "height", "score", "positions", "problem"])
        for tile in found.tiles:
            score = "" if tile.score is None else repr(tile.score)
            table.writerow([*map(repr, map(float, tile.box)), score, tile.positions, tile.problem or ""])


def _loupes(found: SlideMap, regions: Sequence[Region], folder: Path) -> list[Path]:
    made: list[Path] = []
    place = folder / "regions"
    place.mkdir(exist_ok=True)
    for old in place.glob("*.png"):
        old.unlink()
    for region in regions:
        pair = loupe(found, region)
        if pair is None:
            continue
        for picture, name in zip(pair, (f"{region.rank:02d}.png", f"{region.rank:02d}_map.png"), strict=True):
            picture.save(place / name)
            made.append(place / name)
    return made
