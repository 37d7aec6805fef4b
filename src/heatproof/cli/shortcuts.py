"""Find what a model leans on and may not: the ruler beside the lesion; confirmed by experiment."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from heatproof.cli import _gates, _options
from heatproof.cli._annotations import read_annotations, read_clusters, read_table
from heatproof.cli._batches import CHUNK, Skipped, find_files, usable
from heatproof.cli._named import Named
from heatproof.cli._output import print_findings, print_json, steps
from heatproof.errors import UsageError, nearest

if TYPE_CHECKING:
    from heatproof.shortcuts import Finding

_LABELS = ("label", "class", "target", "diagnosis", "y")


def command(
    model: _options.ModelSpec,
    data: Annotated[
        list[str], typer.Argument(metavar="DATA...", help="Folders of class folders, or files with --table.")
    ],
    table: Annotated[
        Path | None,
        typer.Option(help="CSV whose first column is the file name: labels, patients, and whatever else is known."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="Column of --table with the true class, or `parent`. Default: `label`, else `parent`."),
    ] = None,
    artifact: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=WHAT]",
            help="What you suspect: a column or cue (has_ruler, color), a value (scanner_b=site=b), masks "
            "(ruler=FOLDER), or a color rule (sticker=hsv:h=0.2-0.7,s=0.25-1). Several times for several.",
        ),
    ] = None,
    discover: Annotated[bool, typer.Option(help="Look for candidates that nobody named.")] = True,
    annotations: Annotated[
        Path | None,
        typer.Option(help="Where the object lies, as for `heatproof check`; without it nothing unnamed is confirmed."),
    ] = None,
    cluster_by: Annotated[
        str | None,
        typer.Option(help="Column of --table such as patient_id, or `parent`; never split."),
    ] = None,
    margin: Annotated[
        float, typer.Option(help="Smallest effect that matters, in standard deviations of the log odds.")
    ] = 0.25,
    clustering: Annotated[
        Literal["hdbscan", "spectral"], typer.Option(help="Of regions; spectral as in SpRAy.")
    ] = "hdbscan",
    most: Annotated[int, typer.Option(help="Candidates found that are put to the test.")] = 5,
    imputer: Annotated[
        list[str] | None, typer.Option(help="donor, harmonic, biharmonic; several times for several.")
    ] = None,
    method: Annotated[str, typer.Option(help="Method that makes the maps; it must be signed.")] = "gradcam",
    layer: _gates.Layer = None,
    seed: _gates.Seed = 0,
    alpha: Annotated[float, typer.Option(help="Error rate that all candidates share.")] = 0.05,
    out: _gates.Out = None,
    fail_on: Annotated[list[str] | None, _gates.fail_on(_gates.SHORTCUTS)] = None,
    batch_size: _options.BatchSize = "auto",
    device: _options.Device = "auto",
    arch: _options.Arch = None,
    labels: _options.Labels = None,
    preprocess: _options.Preprocess = None,
    in_chans: _options.InChans = None,
    as_json: _options.Json = False,
) -> None:
    """Find what MODEL leans on in DATA and may not, and prove it by experiment."""
    import heatproof
    from heatproof.report.shortcuts import save_shortcuts, shortcuts_document
    from heatproof.shortcuts import open_survey
    from heatproof.shortcuts.find import IMPUTERS, investigate

    failing = _gates.failing(fail_on, _gates.SHORTCUTS)
    _gates.refuse(alpha, out)
    skipped = Skipped()
    files = find_files(data, skipped)
    if not files:
        skipped.report()
        raise typer.Exit(skipped.exit_code(0))
    columns = _columns(table, files) if table else {}
    named = _label_column(label, columns)
    truth = _truth(named, columns, files)
    known = {name: values for name, values in columns.items() if name not in (named, cluster_by)}
    marks = read_annotations(annotations, files) if annotations else None
    clusters = read_clusters(cluster_by, table, files) if cluster_by else None
    suspects = {name: _what(name, what, files, columns) for name, what in map(_split, artifact or [])}
    limit = _options.batch_limit(batch_size)
    loaded = _options.load_model(model, arch, labels, preprocess, in_chans, device)
    explainer = heatproof.Explainer(loaded, layer or None, method, batch_size=limit)
    places, inputs, at = usable(explainer, files, None, limit or CHUNK, skipped)

    def kept(values: Sequence[Any]) -> list[Any]:
        return [values[i] for i in places]

    findings: list[Finding] = []
    about: dict[str, Any] = {
        "model": loaded.name, "method": method, "layer": at, "inputs": len(inputs), "margin": margin, "seed": seed,
        "skipped": skipped.reasons,
    }  # fmt: skip
    if inputs:
        survey = open_survey(
            loaded,
            inputs,
            kept([_label(one, loaded.labels) for one in truth]),
            method=method,
            layer=layer or None,
            annotations=marks and kept(marks),
            cluster_by=clusters and kept(clusters),
            cluster_name=(cluster_by if table else "folder") or "cluster",
            columns={name: kept(values) for name, values in known.items()},
            seed=seed,
            alpha=alpha,
            batch_size=limit or 64,
        )
        suspects = {name: what if _whole(what) else kept(what) for name, what in suspects.items()}
        with steps(1 + len(suspects) + (most if discover else 0)) as begin:
            findings = investigate(
                survey,
                artifacts=suspects,
                imputers=tuple(imputer or IMPUTERS),
                margin=margin,
                look=discover,
                clustering=clustering,
                most=most,
                progress=begin,
            )
        if out:
            save_shortcuts(findings, survey, out, **about)
    if as_json:
        print_json(shortcuts_document(findings, **about))
    elif inputs:
        print_findings(findings)
        if out:
            typer.echo(f"-> {out}")
    skipped.report()
    failed = [f"{one.candidate.name} is {one.verdict}" for one in findings if one.verdict in failing]
    raise _gates.leave(failed, skipped.exit_code(len(inputs)))


def _columns(table: Path, files: Sequence[Path]) -> dict[str, list[str]]:
    """Return the table's columns with one value per file; blank where the table does not know the file."""
    names, rows = read_table(table)
    named = Named(files)
    of_file = {named.place(row[names[0]], table): row for row in rows if row[names[0]] in named}
    return {name: [of_file[i][name] if i in of_file else "" for i in range(len(files))] for name in names[1:]}


def _label_column(wanted: str | None, columns: dict[str, list[str]]) -> str:
    """Return the column with the true class, or `parent`."""
    by_name = {name.casefold(): name for name in columns}
    return wanted or next((by_name[name] for name in _LABELS if name in by_name), "parent")


def _truth(found: str, columns: dict[str, list[str]], files: Sequence[Path]) -> list[str]:
    """Return every file's true class, by name or index."""
    if found == "parent":
        return [file.absolute().parent.name for file in files]
    if found not in columns:
        close = nearest(found, columns, 1) or "; name one of them, or `parent`."
        raise UsageError(f"--label {found}: the table has the columns {', '.join(columns) or 'none'}{close}")
    blank = [file.name for file, value in zip(files, columns[found], strict=True) if not value]
    if blank:
        raise UsageError(
            f"{len(blank)} of {len(files)} inputs have no {found} ({', '.join(blank[:3])}); add their rows."
        )
    return columns[found]


def _label(value: str, known: Sequence[str] | None) -> int | str:
    """Return a class as the survey takes it: a name that the model has, or an index."""
    if known is not None and value in known:
        return value
    if value.removesuffix(".0").lstrip("-").isdecimal():
        return int(value.removesuffix(".0"))
    if known is None:
        raise UsageError(f"The label {value!r} is no class index, and the model has no labels; pass --labels.")
    return value


def _split(given: str) -> tuple[str, str]:
    name, sign, what = given.partition("=")
    return name, what if sign else name


def _what(name: str, what: str, files: Sequence[Path], columns: Collection[str]) -> Any:
    """Return what an --artifact says: a color rule, masks, or the name of a column or cue."""
    from heatproof.shortcuts.given import RULE, color_rule

    if what.startswith(RULE):
        return color_rule(name, what)
    if what in columns or what.partition("=")[0] in columns:  # "field=1.5T" is no file
        return what
    source = Path(what)
    return read_annotations(source, files) if what != name and (source.suffix or source.is_dir()) else what


def _whole(what: Any) -> bool:
    return isinstance(what, str | dict)
