"""Explain what a model looked at in pictures, signals or volumes."""

from dataclasses import asdict, replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heatproof.cli import _options
from heatproof.cli._batches import CHUNK, Skipped, each_or_alone, find_files, in_batches
from heatproof.cli._output import print_json, progress
from heatproof.cli._scores import top_classes
from heatproof.errors import UsageError

if TYPE_CHECKING:
    from heatproof.types import Explanation, Input

_OPTIONS = ("method", "layer", "combine", "batch_size", "augment", "noise", "samples", "seed")
"""Settings of a method that are options of this command."""


def command(
    model: _options.ModelSpec,
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Files, folders and patterns.")],
    target: Annotated[
        list[str] | None,
        typer.Option(
            help="Class index or label; give it several times for several maps. Default: the predicted class."
        ),
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Explain the K highest-scoring classes instead.", min=1)] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Method, see `heatproof methods`; several share one capture and get a folder each, without quick "
            "checks; `all` for every CAM method that can work here. Default: gradcam."
        ),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Setting of the method, see `heatproof methods NAME`."),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option(help="Dotted name of the target layer, see `heatproof inspect`; several are combined."),
    ] = None,
    combine: Annotated[str, typer.Option(help="How several layers become one map: mean, product, max.")] = "mean",
    augment: Annotated[
        list[str] | None,
        typer.Option(help="Average over this copy of the input, too: flip_x, flip_y, rot90, *0.9, joined by +."),
    ] = None,
    noise: Annotated[float, typer.Option(help="Average over noisy copies: a fraction of each input's range.")] = 0.0,
    samples: Annotated[int, typer.Option(help="How many noisy copies.")] = 16,
    seed: Annotated[int | None, typer.Option(help="Of the noise, and of methods that draw.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the results.")] = Path("heatproof-out"),
    signed: Annotated[
        bool, typer.Option("--signed", help="Also draw evidence for and against in one picture.")
    ] = False,
    no_quick_checks: Annotated[
        bool, typer.Option("--no-quick-checks", help="Leave out the reference values (they cost up to 10 forwards).")
    ] = False,
    batch_size: _options.BatchSize = "auto",
    device: _options.Device = "auto",
    arch: _options.Arch = None,
    labels: _options.Labels = None,
    preprocess: _options.Preprocess = None,
    in_chans: _options.InChans = None,
    as_json: _options.Json = False,
) -> None:
    """Explain what MODEL looked at in every INPUT; each gets a folder with an overlay, the map and a manifest."""
    import heatproof

    if target and top_k:
        raise UsageError("--target and --top-k contradict each other; give one of them.")
    methods, settings = method or ["gradcam"], _options.method_settings(setting or [], _OPTIONS)
    several = len(methods) > 1 or methods == ["all"]
    limit = _options.batch_limit(batch_size)
    skipped = Skipped()
    files = find_files(inputs, skipped)
    explainer = heatproof.Explainer(
        _options.load_model(model, arch, labels, preprocess, in_chans, device),
        layer=layer or None,
        method="gradcam" if several else methods[0],
        batch_size=limit,
        combine=combine,
        augment=augment or (),
        noise=noise,
        samples=samples,
        seed=seed,
        **({} if several else settings),
    )
    wanted = [int(text) if text.lstrip("-").isdecimal() else text for text in target or []]

    def run(batch: list["Input"]) -> "list[Explanation]":
        targets = top_classes(explainer, batch, top_k) if top_k else [wanted] * len(batch) if wanted else None
        if several:
            found = explainer.compare(batch, targets, "all" if methods == ["all"] else methods, **settings)
            left_out.update(found.skipped)
            return list(found.values())
        explanation = explainer(batch, targets)
        return [explanation if no_quick_checks else heatproof.quick_checks(explanation)]

    results: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    taken: set[str] = set()
    with progress(len(files), "explaining") as bar:
        for paths, batch in in_batches(files, limit or CHUNK, skipped):
            for done, explanations in each_or_alone(run, paths, batch, skipped, first=not results):
                for index, path in enumerate(done):
                    folder = out / _folder_name(path, taken)
                    for explanation in explanations:
                        place = folder / explanation.method if several else folder
                        results.append(_save(_only(explanation, index), path, place, signed=signed))
                        if not as_json:
                            _print(results[-1])
            bar.advance(len(batch))
    if as_json:
        told = {"model": explainer.model.name, "results": results, "skipped": skipped.reasons}
        print_json(told | ({"methods_left_out": left_out} if several else {}))
    for name, reason in left_out.items():
        typer.secho(f"left out {name}: {reason}", fg=typer.colors.YELLOW, err=True)
    skipped.report()
    raise typer.Exit(skipped.exit_code(len(results)))


def _folder_name(path: Path, taken: set[str]) -> str:
    """Return the file's name without suffix, numbered where another input has it, in any case."""
    name, number = path.stem, 1
    while name.casefold() in taken:
        number += 1
        name = f"{path.stem}-{number}"
    taken.add(name.casefold())
    return name


def _only(ex: "Explanation", index: int) -> "Explanation":
    """Return the part of an explanation that is about one input."""
    one = slice(index, index + 1)
    return replace(
        ex,
        maps=ex.maps[one],
        scores=ex.scores[one],
        targets=ex.targets[one],
        inputs=ex.inputs[one],
        geometries=ex.geometries[one],
        flags=ex.flags[one],
        quick_checks=ex.quick_checks and ex.quick_checks[one],
        origin=None,
    )


def _save(ex: "Explanation", path: Path, folder: Path, *, signed: bool) -> dict[str, Any]:
    """Write the explanation of one input; return what to say about it."""
    ex.save(folder)
    if signed:
        for number in range(len(ex.targets[0])):
            ex.overlay(0, number, signed=True).save(folder / f"signed_{number}.png")
    # the checks are made for the first target; zip_longest gives the others none
    checks = ex.quick_checks[0] if ex.quick_checks else ()
    return {
        "input": path,
        "folder": folder,
        "method": ex.method,
        "layer": ex.layer,
        "grid": ex.resolution.grid,
        "targets": [
            {
                "name": target.name,
                "index": target.index,
                "score": float(score),
                "flags": flags,
                "quick_checks": check and asdict(check),
            }
            for target, score, flags, check in zip_longest(ex.targets[0], ex.scores[0], ex.flags[0], checks)
        ],
    }


def _print(result: dict[str, Any]) -> None:
    """Say what was explained and where it lies; then what the quick checks found."""
    typer.echo(f"{result['input']} -> {result['folder']}")
    for target in result["targets"]:
        flags = f"  ({', '.join(target['flags'])})" if target["flags"] else ""
        typer.echo(f"  {target['name']}: score {target['score']:.3g}, {result['layer']}{flags}")
        checks = target["quick_checks"]
        if checks:
            typer.echo(
                f"    masking the top {checks['region_share']:.0%} of the map lowers the score by "
                f"{checks['drop_top']:.3g}, elsewhere by {checks['drop_elsewhere']:.3g}"
            )
            similar = f"    similarity to the map with random weights {checks['similarity_random']:.2f}"
            if checks["similarity_runner_up"] is not None:
                similar += f", of {checks['runner_up']} {checks['similarity_runner_up']:.2f}"
            typer.echo(similar)
