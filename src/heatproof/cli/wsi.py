"""Explain a whole slide: a seamless map in absolute units, regions, and files that pathology software opens."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heatproof.cli import DONE, SOME_SKIPPED, _options
from heatproof.cli._output import print_json, progress
from heatproof.errors import UsageError

if TYPE_CHECKING:
    from heatproof.wsi import Prepared, SlideMap

_OPTIONS = ("method", "layer", "batch_size", "seed")
"""Settings of a method that are options of this command."""


def command(
    model: _options.ModelSpec,
    slide: Annotated[Path, typer.Argument(help="A whole slide, in any format of OpenSlide, or OME-TIFF.")],
    mpp: Annotated[float | None, typer.Option(help="Microns per pixel that the model was trained at.")] = None,
    target: Annotated[str | None, typer.Option(help="Class index or label to explain over the whole slide.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("heatproof-slide"),
    slide_mpp: Annotated[
        str | None,
        typer.Option(help="Microns per pixel of the slide's finest level (X, or X,Y), where it is not said."),
    ] = None,
    tissue: Annotated[
        str, typer.Option(help="Where to look: auto, all, or a mask over the whole slide (a picture, above 0).")
    ] = "auto",
    method: Annotated[str, typer.Option(help="Method, see `heatproof methods`.")] = "gradcam",
    setting: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Setting of the method, see `heatproof methods NAME`."),
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Dotted name of the target layer, see `heatproof inspect`.")] = None,
    window: Annotated[int | None, typer.Option(help="Pixels per side of a window, for blended maps.", min=8)] = None,
    tile: Annotated[int | None, typer.Option(help="Pixels per side of a tile, for seamless maps.", min=8)] = None,
    level: Annotated[float | None, typer.Option(help="Evidence above which a place counts as a region.")] = None,
    vmax: Annotated[
        float | None, typer.Option(help="End of the color scale in units of the score, to compare slides.")
    ] = None,
    top: Annotated[int, typer.Option(help="How many regions to list and to show.", min=0)] = 10,
    export: Annotated[
        list[str] | None,
        typer.Option(help="ometiff, geojson, deepzoom, dicom_pm, dicom_seg, all, none. Default: ometiff and geojson."),
    ] = None,
    estimate: Annotated[bool, typer.Option("--estimate", help="Say what it will take, and stop.")] = False,
    batch_size: _options.BatchSize = "auto",
    device: _options.Device = "auto",
    arch: _options.Arch = None,
    labels: _options.Labels = None,
    preprocess: _options.Preprocess = None,
    in_chans: _options.InChans = None,
    as_json: _options.Json = False,
) -> None:
    """Explain what MODEL looks at on SLIDE; a run that was stopped goes on where it was when started again."""
    from heatproof.inputs.slide import open_slide
    from heatproof.wsi import explain_slide, prepare
    from heatproof.wsi.exports import chosen
    from heatproof.wsi.files import write_results
    from heatproof.wsi.regions import find_regions

    if mpp is None:
        raise UsageError(
            "--mpp is missing: give the microns per pixel that the model was trained at (0.5 is 20x, 0.25 is 40x)."
        )
    exports = chosen(export or [])
    with open_slide(slide, _pair(slide_mpp)) as opened:
        loaded = _options.load_model(model, arch, labels, preprocess, in_chans, device)
        ready = prepare(
            loaded,
            opened,
            int(target) if target is not None and target.lstrip("-").isdecimal() else target,
            mpp=mpp,
            method=method,
            layer=layer,
            tissue=_tissue(tissue, opened),
            window=window,
            side=tile,
            batch_size=_options.batch_limit(batch_size),
            **_options.method_settings(setting or [], _OPTIONS),
        )
        told = _estimate(ready)
        if not as_json:
            _print_estimate(ready, told)
        if estimate:
            if as_json:
                print_json(told)
            raise typer.Exit(DONE)
        with progress(len(ready.plan.tiles), "tiles") as bar:
            found = explain_slide(ready, out, level=level, vmax=vmax, advance=bar.advance)
        regions = find_regions(found, top=top)
        written = write_results(found, regions, exports)
    if as_json:
        print_json(written.manifest | {"folder": out, "files": list(written.files)})
    else:
        _print(found, written.manifest, out)
    raise typer.Exit(SOME_SKIPPED if found.unreadable else DONE)


def _pair(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        parts = [float(part) for part in text.split(",")]
    except ValueError:
        parts = []
    if len(parts) not in (1, 2):
        raise UsageError(f"--slide-mpp is {text!r}; give microns per pixel: 0.25, or 0.25,0.26 (across, down).")
    return parts[0], parts[-1]


def _tissue(text: str, slide: Any) -> Any:
    from heatproof.inputs import read
    from heatproof.wsi import tissue

    if text == "auto":
        return None
    if text == "all":
        return tissue.everything(slide)
    mask = read(Path(text)).data
    return tissue.given(slide, (mask.amax(0) > 0).numpy(), text)


def _estimate(ready: "Prepared") -> dict[str, Any]:
    """Return what the run will take, from reading and explaining one batch."""
    from heatproof.wsi.tiles import read_tile

    began = time.perf_counter()
    tile = read_tile(ready.slide, ready.plan, len(ready.plan.tiles) // 2)
    read = time.perf_counter()
    if not isinstance(tile, Exception):
        batch = ready.network.batch([tile])
        if ready.way.mode == "seamless" and ready.way.layer is not None:
            ready.network.activations(ready.way.layer, batch)
        else:
            ready.explainer(batch.args[0], None if ready.network.target is None else [ready.network.target])
    ran = time.perf_counter()
    count = len(ready.plan.tiles)
    return {
        "mode": ready.way.mode,
        "why": ready.way.why,
        "tiles": count,
        "tissue_mm2": ready.tissue.area,
        "seconds": count * max(ran - read, (read - began) / 2),
        "megabytes": ready.megabytes(),
    }


def _print_estimate(ready: "Prepared", told: dict[str, Any]) -> None:
    seconds = told["seconds"]
    took = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    typer.echo(
        f"{told['tiles']} tiles over {told['tissue_mm2']:.2f} mm² of tissue ({ready.tissue.origin}), {told['mode']}: "
        f"about {took} and {told['megabytes']:.0f} MB beside the model"
    )
    typer.echo(f"  {told['why']}")


def _print(found: "SlideMap", manifest: dict[str, Any], out: Path) -> None:
    typer.echo(
        f"{found.slide.path} -> {out}\n  {found.target}: score {manifest['slide_score']:.3g} over the tissue, "
        f"highest tile {manifest['highest_tile_score']:.3g}"
    )
    for region in manifest["regions"]:
        typer.echo(
            f"  region {region['rank']}: {region['area_mm2']:.4g} mm², {region['evidence_share']:.1%} of the evidence, "
            f"peak {region['peak']:.3g} at ({region['peak_x']:.0f}, {region['peak_y']:.0f})"
        )
    if not manifest["regions"]:
        typer.echo(f"  no place has evidence above {found.level:.3g}")
    if found.unreadable:
        typer.secho(
            f"{len(found.unreadable)} of {len(found.tiles)} tiles could not be read; they are blank on the map and "
            "listed in slide.json",
            fg=typer.colors.YELLOW,
            err=True,
        )
