"""The way of a slide, one line a stage: tissue, network, plan, tiles, pyramid, scale."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import heatproof
from heatproof.capture.engine import LayerSpec
from heatproof.errors import ExplainError
from heatproof.explain import Explainer
from heatproof.inputs import Preprocess
from heatproof.inputs.slide import Slide
from heatproof.models import Model, as_model
from heatproof.wsi import blended, seamless
from heatproof.wsi.canvas import Canvas
from heatproof.wsi.journal import Journal
from heatproof.wsi.network import Network, Way, study
from heatproof.wsi.plan import Plan, make_plan
from heatproof.wsi.result import SlideMap, Tile
from heatproof.wsi.tissue import Tissue, find_tissue

WINDOW = 224
"""Pixels per side of a blended window, where the model's preprocessing says nothing."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """A run that is ready to start.

    Attributes:
        network: what is run.
        explainer: of windows, when blended.
        slide: where.
        tissue: what is looked at on it.
        way: how.
        plan: the tiles.
        batch_size: tiles in one forward.
    """

    network: Network
    explainer: Explainer
    slide: Slide
    tissue: Tissue
    way: Way
    plan: Plan
    batch_size: int

    def megabytes(self) -> float:
        """Return a rough upper bound of the memory beside the model: tiles waiting, and one batch's largest layers."""
        pixels = self.plan.side**2 * self.batch_size
        channels = max(
            (m.out_channels for m in self.network.model.net.modules() if isinstance(m, nn.Conv2d)), default=64
        )
        return (pixels * (5 * 3 + 2 * 4 * min(channels, 64)) + self.tissue.mask.size * 8) / 1e6


def prepare(
    model: Model | nn.Module,
    slide: Slide,
    target: Any = None,
    *,
    mpp: float | int,
    method: str = "gradcam",
    layer: LayerSpec = None,
    tissue: Tissue | None = None,
    window: int | None = None,
    side: int | None = None,
    batch_size: int | None = None,
    **settings: Any,
) -> Prepared:
    """Look at the slide and try the network on it.

    Args:
        model: what is to be explained.
        slide: an open slide.
        target: a class index or label, or a callable; None only for a network with one output.
        mpp: microns per pixel that the model was trained at.
        method: name of the CAM method.
        layer: target layer; None chooses.
        tissue: where to look; None finds it.
        window: pixels per side of a window when blended; None takes the model's crop, else 224.
        side: pixels per side of a seamless tile; None takes 1,024 or more.
        batch_size: tiles in one forward; None takes 1 seamless tile, or 16 windows.
        **settings: of the method.

    Raises:
        InputError: the slide has no tissue, or is coarser than `mpp`.
        TargetError, LayerError, MethodError, ModelError: as their names say.
    """
    mpp = float(mpp)
    slide.check(mpp)
    model = as_model(model)
    window = window or window_of(model)
    tissue = tissue or find_tissue(slide)
    network = Network.of(model, target, layer)
    explainer = Explainer(network.model, layer, method, batch_size=batch_size, **settings)
    way = study(network, lambda x, y, w, h: slide.read(x, y, w, h, mpp), _middle(tissue, mpp), explainer.method, window)
    plan = make_plan(slide, tissue, way, mpp, window, side)
    return Prepared(network, explainer, slide, tissue, way, plan, batch_size or (1 if way.mode == "seamless" else 16))


def explain_slide(
    ready: Prepared,
    out: str | Path,
    *,
    level: float | int | None = None,
    vmax: float | int | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> SlideMap:
    """Run the network over the tissue; a folder with an unfinished run of the same plan is finished.

    Args:
        ready: what `prepare` returned.
        out: the folder of the run.
        level: evidence above which a place counts as a region, in the units of the score; None takes what lifts a place
            above a score of 0 by itself, see `docs/slides.md`.
        vmax: end of the color scale; None takes the strongest thousandth, but no less than twice `level` or 1.
        advance: called with the number of tiles just finished.

    Raises:
        UsageError: the folder holds another run.
        ExplainError: no tile could be read.
    """
    folder = Path(out)
    plan, way = ready.plan, ready.way
    about = _about(ready)
    journal = Journal(folder / "run", about)
    canvas = Canvas.create(
        folder / "map.ome.zarr", plan.shape, plan.microns, plan.core if way.mode == "seamless" else 256
    )
    if way.mode == "seamless":
        seamless.run(ready.network, ready.slide, ready.tissue, plan, way, canvas, journal, ready.batch_size, advance)
    else:
        blended.run(
            ready.network,
            ready.slide,
            ready.tissue,
            plan,
            ready.explainer,
            canvas,
            journal,
            ready.batch_size,
            advance,
            folder / "run",
        )
    tiles = _tiles(ready, journal)
    if all(tile.problem is not None for tile in tiles):
        raise ExplainError(
            f"None of the {len(tiles)} tiles of {ready.slide.path.name} can be read ({tiles[0].problem})."
        )
    canvas.build_pyramid()
    return _scaled(SlideMap(folder, ready.slide, ready.tissue, canvas, tiles, 0.0, 1.0, about), way, level, vmax)


def _scaled(found: SlideMap, way: Way, level: float | int | None, vmax: float | int | None) -> SlideMap:
    """Return the map with its absolute levels."""
    _, values = found.working()
    positive = values[np.isfinite(values) & (values > 0)]
    top = float(np.quantile(positive, 0.999)) if positive.size else 0.0
    own = max(0.0, -way.bias) if way.bias is not None else None
    chosen = level if level is not None else own
    limit = vmax if vmax is not None else max(top, 2 * (chosen or 0.0), 1.0)
    if chosen is None:
        chosen = limit / 2
    return SlideMap(found.folder, found.slide, found.tissue, found.canvas, found.tiles, chosen, limit, found.about)


def _tiles(ready: Prepared, journal: Journal) -> tuple[Tile, ...]:
    plan, scale = ready.plan, ready.slide.scale(ready.plan.mpp)
    noted = [one for number in sorted(journal.done) for one in journal.done[number]]
    found: list[Tile] = []
    for (row, column), one in zip(plan.tiles, noted, strict=True):
        x, y, side = column * plan.spacing, row * plan.spacing, plan.core * plan.spacing
        box = (x * scale.x, y * scale.y, side * scale.x, side * scale.y)
        if "unreadable" in one:
            found.append(Tile(box, None, 0, one["unreadable"]))
        else:
            found.append(Tile(box, one["score"], one["positions"]))
    return tuple(found)


def _about(ready: Prepared) -> dict[str, Any]:
    """Return what identifies a run: with all of it the same, an interrupted one may be continued."""
    model, slide, way, plan = ready.network.model, ready.slide, ready.way, ready.plan
    mask = np.packbits(ready.tissue.mask)
    return {
        "heatproof": heatproof.__version__,
        "torch": torch.__version__,
        "model": model.name,
        "source": model.source,
        "weights": model.weights_sha256(),
        "preprocess": repr(model.preprocess),
        "slide": slide.path.name,
        "slide_bytes": _identity(slide.path),
        "slide_mpp": list(slide.mpp),
        "slide_size": list(slide.size),
        "mpp": plan.mpp,
        "method": ready.explainer.method,
        "settings": {name: repr(value) for name, value in ready.explainer.plan.settings.items()},
        "layer": way.layer.title if way.layer else "input",
        "target": way.target,
        "mode": way.mode,
        "why": way.why,
        "bias": way.bias,
        "grid_spacing_pixels": plan.spacing,
        "grid_spacing_microns": plan.microns,
        "halo_pixels": plan.halo,
        "tile_pixels": plan.side,
        "tiles": len(plan.tiles),
        "batch_size": ready.batch_size,
        "tissue": ready.tissue.origin,
        "tissue_sha256": hashlib.sha256(mask.tobytes()).hexdigest(),
    }


def _identity(path: Path) -> str:
    """Return a hash of the file's size and both ends: whole slides are too large to read twice."""
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(p for p in path.iterdir() if p.is_file()):
        size = file.stat().st_size
        digest.update(str(size).encode())
        with file.open("rb") as stream:
            digest.update(stream.read(1 << 20))
            stream.seek(max(0, size - (1 << 20)))
            digest.update(stream.read(1 << 20))
    return digest.hexdigest()


def window_of(model: Model) -> int:
    """Return the side of what a model was trained on, in pixels, as far as its preprocessing says."""
    prepare = model.preprocess
    if isinstance(prepare, Preprocess):
        if prepare.crop is not None:
            return max(prepare.crop)
        if isinstance(prepare.resize, tuple):
            return max(prepare.resize)
    return WINDOW


def _middle(tissue: Tissue, mpp: float) -> tuple[int, int]:
    """Return x and y, in pixels at `mpp`, of a place in the midst of tissue."""
    from scipy.ndimage import uniform_filter

    side = max(3, round(512 * mpp / tissue.mpp))
    row, column = np.unravel_index(
        int(np.argmax(uniform_filter(tissue.mask.astype(np.float32), side))), tissue.mask.shape
    )
    return round((column + 0.5) * tissue.mpp / mpp), round((row + 0.5) * tissue.mpp / mpp)
