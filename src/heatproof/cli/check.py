"""Test whether a model's maps can be trusted: sanity, faithfulness, plausibility, with verdicts."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heatproof.checks import checks
from heatproof.cli import _gates, _options
from heatproof.cli._annotations import read_annotations, read_clusters
from heatproof.cli._batches import CHUNK, Skipped, find_files, usable
from heatproof.cli._output import print_answers, print_json, steps
from heatproof.errors import UsageError

if TYPE_CHECKING:
    from heatproof.types import CheckResult

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
    target: _gates.Target = None,
    method: Annotated[str, typer.Option(help="Method that makes the maps, see `heatproof methods`.")] = "gradcam",
    layer: _gates.Layer = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CHECK.NAME=VALUE",
            help="Setting of a check, see `heatproof checks NAME`; NAME=VALUE for one of the method.",
        ),
    ] = None,
    seed: _gates.Seed = 0,
    alpha: Annotated[float, typer.Option(help="Error rate of all verdicts together.")] = 0.05,
    out: _gates.Out = None,
    fail_on: Annotated[list[str] | None, _gates.fail_on(_gates.CHECKS)] = None,
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

    failing = _gates.failing(fail_on, _gates.CHECKS)
    _gates.refuse(alpha, out)
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
    failed = [f"{one.check} is {one.verdict}" for one in results if one.verdict in failing]
    raise _gates.leave(failed, skipped.exit_code(len(results)))


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
