"""Test whether a model's maps can be trusted: sanity, faithfulness, plausibility, with verdicts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heatproof.checks import checks
from heatproof.cli import GATE_FAILED, _options
from heatproof.cli._annotations import read_annotations, read_clusters
from heatproof.cli._batches import CHUNK, Skipped, find_files, usable
from heatproof.cli._output import print_answers, print_json, steps
from heatproof.errors import UsageError, nearest

if TYPE_CHECKING:
    from heatproof.types import CheckResult

_VERDICTS = ("supports", "undermines", "inconclusive", "not applicable")
_OPTIONS = ("layer", "method", "target", "seed", "alpha", "batch_size", "annotations", "cluster_by")


def command(
    model: _options.ModelSpec,
    data: Annotated[list[str], typer.Argument(metavar="DATA...", help="Files, folders and patterns.")],
    check: Annotated[
        list[str] | None,
        typer.Option(
            help=f"What to ask, several times for several: {', '.join(checks())}; see `heatproof checks`. Default: "
            "sanity and faithfulness, with --annotations plausibility, too."
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option(
            help="What an expert marked: a folder of masks named like the inputs, or boxes and points by file name "
            "(.json, .csv)."
        ),
    ] = None,
    cluster_by: Annotated[
        str | None,
        typer.Option(
            help="Resample together what belongs together: a column of --table such as patient_id, or `parent` for "
            "the inputs' folders."
        ),
    ] = None,
    table: Annotated[Path | None, typer.Option(help="CSV for --cluster-by; its first column is the file name.")] = None,
    target: Annotated[
        str | None, typer.Option(help="Class index or label that is explained. Default: the predicted class.")
    ] = None,
    method: Annotated[str, typer.Option(help="Method that makes the maps, see `heatproof methods`.")] = "gradcam",
    layer: Annotated[
        list[str] | None,
        typer.Option(help="Dotted name of the target layer, see `heatproof inspect`; several are combined."),
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECK.NAME=VALUE",
            help="Setting of a check, see `heatproof checks NAME`; NAME=VALUE for one of the method.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of everything that is drawn.")] = 0,
    alpha: Annotated[float, typer.Option(help="Error rate of the intervals.")] = 0.05,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for a page, a picture per check, and all numbers.")
    ] = None,
    fail_on: Annotated[
        list[str] | None,
        typer.Option(help=f"Exit with 1 if a verdict is this; several times for several: {', '.join(_VERDICTS)}."),
    ] = None,
    batch_size: _options.BatchSize = "auto",
    device: _options.Device = "auto",
    arch: _options.Arch = None,
    labels: _options.Labels = None,
    preprocess: _options.Preprocess = None,
    in_chans: _options.InChans = None,
    as_json: _options.Json = False,
) -> None:
    """Put questions to the maps that MODEL's predictions on DATA get, and answer each with a verdict."""
    import heatproof
    from heatproof.checks import check_named
    from heatproof.report.checks import checks_document, save_checks

    failing = _verdicts(fail_on or [])
    if not 0 < alpha < 1:
        raise UsageError(f"--alpha is {alpha:g}; give a rate between 0 and 1, such as 0.05.")
    if out and out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file, so no results can be written into it; name a folder.")
    if table and not cluster_by:
        raise UsageError(f"--table {table} is for --cluster-by; add --cluster-by COLUMN.")
    chosen = check or ["sanity", "faithfulness", *(["plausibility"] if annotations else [])]
    names = list(dict.fromkeys(check_named(name).name for name in chosen))
    if "plausibility" in names and not annotations:
        raise UsageError("plausibility compares maps with annotations; add --annotations, or leave it out.")
    of_checks, of_method = _settings(setting or [])
    skipped = Skipped()
    files = find_files(data, skipped)
    marks = read_annotations(annotations, files) if annotations and files else None
    clusters = read_clusters(cluster_by, table, files) if cluster_by and files else None
    limit = _options.batch_limit(batch_size)
    loaded = _options.load_model(model, arch, labels, preprocess, in_chans, device)
    given: dict[str, Any] = {"layer": layer or None, "method": method, "batch_size": limit, **of_method}
    wanted = int(target) if target and target.lstrip("-").isdecimal() else target
    places, inputs, at = usable(heatproof.Explainer(loaded, **given), files, wanted, limit or CHUNK, skipped)
    results: list[CheckResult] = []
    if inputs:
        with steps(len(names)) as begin:
            results = heatproof.check(
                loaded,
                inputs,
                names,
                target=wanted,
                annotations=marks and [marks[i] for i in places],
                cluster_by=clusters and [clusters[i] for i in places],
                cluster_name=(cluster_by if table else "folder") or "cluster",
                seed=seed,
                alpha=alpha,
                settings=of_checks,
                progress=begin,
                **given,
            )
    about = {"model": loaded.name, "method": method, "layer": at, "inputs": len(inputs), "skipped": skipped.reasons}
    if results and out:
        save_checks(results, out, **about)
    if as_json:
        print_json(checks_document(results, **about))
    elif results:
        print_answers(results)
        if out:
            typer.echo(f"-> {out}")
    skipped.report()
    failed = [result for result in results if result.verdict in failing]
    for result in failed:
        typer.secho(f"failed: {result.check} is {result.verdict}", fg=typer.colors.RED, err=True)
    raise typer.Exit(GATE_FAILED if failed else skipped.exit_code(len(results)))


def _settings(given: list[str]) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return the settings of the checks, and those of the method.

    Raises:
        UsageError: one has no name or value, names no check, or has an option of its own.
    """
    from heatproof.checks import check_named

    of_checks: dict[str, dict[str, Any]] = {}
    of_method: list[str] = []
    for one in given:
        check, dot, rest = one.partition("=")[0].partition(".")
        if dot:
            value = _options.settings_of([f"{rest}={one.partition('=')[2]}"])
            of_checks.setdefault(check_named(check).name, {}).update(value)
        else:
            of_method.append(one)
    return of_checks, _options.method_settings(of_method, _OPTIONS)


def _verdicts(given: list[str]) -> set[str]:
    found = {one.replace("-", " ").lower() for one in given}
    for one in found - set(_VERDICTS):
        close = nearest(one, _VERDICTS, 1) or f"; choose of {', '.join(_VERDICTS)}."
        raise UsageError(f"--fail-on is {one!r}, which is no verdict{close}")
    return found
