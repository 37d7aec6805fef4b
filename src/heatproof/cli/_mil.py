"""The part of `heatproof wsi` that is about tables: multiple-instance models, and scores that others computed."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from heatproof.cli import DONE
from heatproof.cli._output import print_json, progress
from heatproof.errors import InputError, UsageError

if TYPE_CHECKING:
    from heatproof.inputs.features import Features
    from heatproof.inputs.slide import Slide
    from heatproof.models import Model
    from heatproof.plugins import Plugin
    from heatproof.wsi.tissue import Tissue


def run_mil(
    slide: "Slide",
    model: "Model",
    features: "Features",
    target: Any,
    out: Path,
    top: int,
    exports: "list[Plugin]",
    as_json: bool,
) -> int:
    """Ask a multiple-instance model in every way; write one folder for each, and a table of all."""
    from heatproof.wsi.files import write_results
    from heatproof.wsi.mil import explain_bag
    from heatproof.wsi.regions import find_regions
    from heatproof.wsi.table import table_map

    with progress(min(len(features.values), 1000), "patches") as bar:
        bag = explain_bag(model, features, target, bar.advance)
    out.mkdir(parents=True, exist_ok=True)
    for way, values in bag.maps.items():
        about = {
            "model": model.name,
            "method": way,
            "layer": "bag",
            "target": bag.target,
            "source": "features",
            "slide_score_of_bag": bag.score,
            "agreement": bag.agreement,
            "patches_left_out_at_once": bag.group,
        }
        found = table_map(slide, features.corners, features.side, values, out / way, about)
        write_results(found, find_regions(found, top=top), exports)
    _write_table(out / "patches.csv", features, bag.maps)
    told = {
        "model": model.name,
        "target": bag.target,
        "score": bag.score,
        "patches": len(features.values),
        "ways": list(bag.maps),
        "agreement": bag.agreement,
        "patches_left_out_at_once": bag.group,
        "folder": out,
    }
    if as_json:
        print_json(told)
        return DONE
    typer.echo(f"{slide.path} -> {out}\n  {bag.target}: score {bag.score:.3g} from {len(features.values)} patches")
    for pair, agreement in bag.agreement.items():
        typer.echo(f"  {pair}: rank correlation {agreement:.2f}")
    if "attention" in bag.maps:
        typer.echo("  attention says what the model looked at, not what the score depends on; compare perturbation")
    else:
        typer.echo("  the model has no attention over patches")
    return DONE


def _write_table(path: Path, features: "Features", maps: dict[str, Any]) -> None:
    import csv

    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["x", "y", "side", *maps])
        for i, (x, y) in enumerate(features.corners.tolist()):
            table.writerow([x, y, features.side, *(repr(float(values[i])) for values in maps.values())])


def run_scores(
    slide: "Slide", path: Path, out: Path, top: int, exports: "list[Plugin]", vmax: float | None, as_json: bool
) -> int:
    """Draw and export a table of coordinates and scores that was computed elsewhere."""
    import numpy as np

    from heatproof.cli._annotations import read_table
    from heatproof.inputs.features import least_distance
    from heatproof.wsi.files import write_results
    from heatproof.wsi.regions import find_regions
    from heatproof.wsi.table import table_map

    if not path.is_file():
        raise InputError(f"The table {path} does not exist; give a CSV with the columns x, y and score.")
    columns, rows = read_table(path)
    missing = [name for name in ("x", "y", "score") if name not in columns]
    if missing:
        raise UsageError(
            f"{path} has no column {', '.join(missing)} (it has {', '.join(columns)}); give x, y and score."
        )
    try:
        values = np.array([[float(row[name]) for name in ("x", "y", "score")] for row in rows])
        side = float(rows[0]["side"]) if "side" in columns else least_distance(values[:, :2])
    except ValueError as error:
        raise InputError(f"{path} holds what is no number ({error}); mend it.") from error
    about = {"model": "elsewhere", "method": "score", "layer": "none", "target": path.stem, "source": path.name}
    found = table_map(slide, values[:, :2], side, values[:, 2], out, about, vmax=vmax)
    written = write_results(found, find_regions(found, top=top), exports)
    if as_json:
        print_json(written.manifest | {"folder": out})
    else:
        typer.echo(
            f"{path} over {slide.path} -> {out}: {len(rows)} patches, {len(written.manifest['regions'])} regions"
        )
    return DONE


def features_of(
    slide: "Slide",
    stored: Path | None,
    encoder: "Callable[[], Model] | None",
    tissue: "Callable[[], Tissue]",
    mpp: float | None,
    window: int | None,
    batch_size: int | None,
) -> "Features":
    """Return stored features, or those of an encoder over the tissue.

    Raises:
        UsageError: neither is given, or the encoder's microns per pixel are not.
    """
    from heatproof.inputs.features import read_features

    if stored is not None:
        return read_features(stored, slide)
    if encoder is None:
        raise UsageError(
            "--mil needs features: give --encoder SPEC (with --mpp), or stored ones with --features FILE.h5."
        )
    if mpp is None:
        raise UsageError("--mpp is missing: give the microns per pixel that the encoder was trained at.")
    from heatproof.wsi.mil import encode
    from heatproof.wsi.network import Network, Way
    from heatproof.wsi.plan import make_plan
    from heatproof.wsi.run import window_of

    slide.check(mpp)
    network = Network.of(encoder(), None)
    side = window or window_of(network.model)
    way = Way("seamless", "patches side by side", None, float(side), 0, None, None, "features")
    plan = make_plan(slide, tissue(), way, mpp, side, side)
    with progress(len(plan.tiles), "patches") as bar:
        return encode(network, slide, plan, batch_size or 16, bar.advance)
