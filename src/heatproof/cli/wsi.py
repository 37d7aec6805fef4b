"""Explain a whole slide: a seamless map in absolute units, regions, and files that pathology software opens."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heatproof.cli import DONE, SOME_SKIPPED, _mil, _options
from heatproof.cli._output import print_json, progress
from heatproof.errors import UsageError

if TYPE_CHECKING:
    from heatproof.wsi import Prepared, SlideMap
    from heatproof.wsi.tissue import Tissue

_OPTIONS = ("method", "layer", "batch_size", "seed")
"""Settings of a method that are options of this command."""


def command(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL SLIDE",
            help="What to explain (see `heatproof explain`), and a slide in any format of OpenSlide, or OME-TIFF. With "
            "--mil or --scores, the slide alone.",
        ),
    ],
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
    annotations: Annotated[
        Path | None, typer.Option(help="An expert's outlines: QuPath GeoJSON, ASAP XML, ImageScope XML.")
    ] = None,
    outlined: Annotated[
        list[str] | None,
        typer.Option("--class", help="Class of outlines that the evidence should lie in; all if none."),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Class of outlines that is not looked at, such as folds or pen.")
    ] = None,
    mil: Annotated[
        str | None, typer.Option(help="A multiple-instance model (a SPEC like MODEL), on features of patches.")
    ] = None,
    encoder: Annotated[str | None, typer.Option(help="With --mil: the network that makes the features.")] = None,
    features: Annotated[
        Path | None, typer.Option(help="With --mil: stored features (HDF5 of CLAM or TRIDENT).")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(help="Draw and export a CSV with x, y and score of patches; no model is run.")
    ] = None,
    checks: Annotated[
        bool, typer.Option("--checks", help="Also paint over the first region, and its shape elsewhere.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the places elsewhere.")] = 0,
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
    from heatproof.wsi.annotations import mask_of, read_outlines
    from heatproof.wsi.exports import chosen
    from heatproof.wsi.files import write_results
    from heatproof.wsi.masking import mask_region
    from heatproof.wsi.plausibility import plausibility
    from heatproof.wsi.regions import find_regions
    from heatproof.wsi.tissue import mask_mpp, without

    model, slide = _model_and_slide(words, alone=mil is not None or scores is not None)
    if mpp is None and mil is None and scores is None:
        raise UsageError(
            "--mpp is missing: give the microns per pixel that the model was trained at (0.5 is 20x, 0.25 is 40x)."
        )
    if exclude and annotations is None:
        raise UsageError("--exclude names a class of outlines, but there are none; add --annotations FILE.")
    exports = chosen(export or [])
    outlines = read_outlines(annotations) if annotations is not None else []
    with open_slide(slide, _pair(slide_mpp)) as opened:

        def look() -> "Tissue":
            seen = _tissue(tissue, opened)
            return without(seen, mask_of(outlines, opened, seen.mpp, exclude), exclude) if exclude else seen

        goal = int(target) if target is not None and target.lstrip("-").isdecimal() else target
        if scores is not None:
            raise typer.Exit(_mil.run_scores(opened, scores, out, top, exports, vmax, as_json))
        if mil is not None:
            spec = encoder or model
            made = _mil.features_of(
                opened,
                features,
                None if spec is None else lambda: _options.load_model(spec, arch, None, preprocess, in_chans, device),
                look,
                mpp,
                window,
                _options.batch_limit(batch_size),
            )
            bagged = _options.load_model(mil, None, labels, None, None, device)
            raise typer.Exit(_mil.run_mil(opened, bagged, made, goal, out, top, exports, as_json))
        assert mpp is not None
        assert model is not None
        loaded = _options.load_model(model, arch, labels, preprocess, in_chans, device)
        ready = prepare(
            loaded,
            opened,
            goal,
            mpp=mpp,
            method=method,
            layer=layer,
            tissue=look(),
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
        extra: dict[str, Any] = {}
        kinds = outlined or sorted({one.label for one in outlines} - {*(exclude or [])})
        if outlines and kinds:
            fine = mask_mpp(opened)
            extra["plausibility"] = plausibility(found, mask_of(outlines, opened, fine, kinds), fine, ", ".join(kinds))
        if checks and regions:
            extra["masking"] = mask_region(ready, found, regions[0], seed=seed).told()
        written = write_results(found, regions, exports, extra)
    if as_json:
        print_json(written.manifest | {"folder": out, "files": list(written.files)})
    else:
        _print(found, written.manifest, out)
    raise typer.Exit(SOME_SKIPPED if found.unreadable else DONE)


def _model_and_slide(words: list[str], *, alone: bool) -> tuple[str | None, Path]:
    if len(words) == 2:
        return words[0], Path(words[1])
    if len(words) == 1 and alone:
        return None, Path(words[0])
    raise UsageError(f"{len(words)} words were given where MODEL and SLIDE are expected: {' '.join(words)}.")


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


def _tissue(text: str, slide: Any) -> "Tissue":
    from heatproof.inputs import read
    from heatproof.wsi import tissue

    if text == "auto":
        return tissue.find_tissue(slide)
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
    if masked := manifest.get("masking"):
        typer.echo(
            f"  painting over region 1 lowers the slide's score by {masked['drop']:.3g}; its shape at "
            f"{len(masked['drops_elsewhere'])} other places by {masked['mean_drop_elsewhere'] or 0:.3g} on average "
            f"({masked['as_large']} as much)"
        )
    if plausible := manifest.get("plausibility"):
        typer.echo(
            f"  {plausible['share_of_evidence']:.1%} of the evidence lies in {plausible['outlined']}, which is "
            f"{plausible['share_of_tissue']:.1%} of the tissue"
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
