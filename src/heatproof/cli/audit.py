"""Audit a model over a data set: a plan, maps of all inputs, the four questions, a report; goes on where it stopped."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heatproof.cli import DONE, GATE_FAILED, SOME_SKIPPED, UNUSABLE, _gates, _options
from heatproof.cli._output import print_json, steps
from heatproof.errors import UsageError

if TYPE_CHECKING:
    from heatproof.audit.plan import Plan
    from heatproof.audit.run import AuditRun

STOPPED = 130
"""Exit code after Ctrl-C, as shells have it."""
_VERDICTS = tuple(dict.fromkeys((*_gates.CHECKS, *_gates.SHORTCUTS)))
_UNITS = {"s": 1, "m": 60, "h": 3600}


def command(
    model: _options.ModelSpec,
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="A folder of class folders, a CSV, Parquet or JSONL manifest, ...")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder; an unfinished run in it is gone on with.")],
    checks: Annotated[
        list[str] | None,
        typer.Option("--check", help="sanity, faithfulness, plausibility, shortcuts; others stay exploratory."),
    ] = None,
    label: Annotated[str | None, typer.Option(help="Column with the true class.")] = None,
    label_map: Annotated[
        list[str] | None, typer.Option(metavar="DATA=MODEL", help="A label of the data is this class of the model.")
    ] = None,
    annotations: Annotated[
        str | None, typer.Option(help="Column with masks or boxes, or a file or folder of them.")
    ] = None,
    cluster_by: Annotated[str | None, typer.Option(help="Column such as patient_id; never split.")] = None,
    subgroup: Annotated[list[str] | None, typer.Option(help="Column that results are split by.")] = None,
    artifact: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=WHAT]",
            help="What you suspect: a column or cue (has_ruler, color), a value (scanner_b=site=b), or a color rule "
            "(sticker=hsv:h=0.2-0.7,s=0.25-1).",
        ),
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Kind of data set, where it is not found by itself.")] = None,
    path: Annotated[str | None, typer.Option(help="Column with the path or URL of each input.")] = None,
    split_column: Annotated[str | None, typer.Option(help="Column that says which split a row belongs to.")] = None,
    split: Annotated[str, typer.Option(help="Which split this is: test, validation, train.")] = "",
    intended_use: Annotated[str, typer.Option(help="What the model is meant for, in your words.")] = "",
    annotations_from: Annotated[str, typer.Option(help="Who made the annotations, and how.")] = "",
    method: Annotated[str, typer.Option(help="Method that makes the maps.")] = "gradcam",
    layer: _gates.Layer = None,
    alpha: Annotated[float, typer.Option(help="Error rate that all primary verdicts share.")] = 0.05,
    seed: _gates.Seed = 0,
    sample: Annotated[int | None, typer.Option(help="Inputs per question; default: what the power needs.")] = None,
    budget: Annotated[str | None, typer.Option(help="Time that it may take, such as 10m; trims the samples.")] = None,
    setting: Annotated[
        list[str] | None, typer.Option(metavar="CHECK.NAME=VALUE", help="A setting of one check.")
    ] = None,
    engine: Annotated[str, typer.Option(help="Where the work runs: local or ray.")] = "local",
    address: Annotated[
        str | None, typer.Option(help="Address of the cluster, for --engine ray; auto finds it.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Threads that decode, or actors of --engine ray.")] = 2,
    shard_size: Annotated[int, typer.Option(help="Inputs that are written at once.")] = 256,
    dtype: Annotated[str, typer.Option(help="Type of the maps on disk: float32 or float16.")] = "float32",
    plan_only: Annotated[bool, typer.Option("--plan", help="Print the plan, then stop.")] = False,
    fail_on: Annotated[list[str] | None, _gates.fail_on(_VERDICTS)] = None,
    batch_size: _options.BatchSize = "auto",
    device: _options.Device = "auto",
    arch: _options.Arch = None,
    labels: _options.Labels = None,
    preprocess: _options.Preprocess = None,
    in_chans: _options.InChans = None,
    as_json: _options.Json = False,
) -> None:
    """Answer the four questions for MODEL over DATA; survives anything, and ends in a report."""
    from heatproof.audit.entry import Roles
    from heatproof.audit.pipeline import Tally
    from heatproof.audit.run import Watch, audit
    from heatproof.cli._audit import progress_of, show_plan, show_run

    failing = _gates.failing(fail_on, _VERDICTS)
    loaded = _options.load_model(model, arch, labels, preprocess, in_chans, device)
    settings: dict[str, dict[str, Any]] = {}
    for name, value in _options.settings_of([one.replace(".", "__", 1) for one in setting or []]).items():
        check, _, inner = name.partition("__")
        settings.setdefault(check, {})[inner] = value
    tally = Tally()

    def planned(plan: "Plan") -> None:
        if not as_json:
            show_plan(plan)
        if plan_only:
            raise typer.Exit(DONE)

    with progress_of(tally), steps(12) as begin:
        run = audit(
            loaded,
            data,
            out,
            checks,
            roles=Roles(path, label, annotations, cluster_by, split_column, split if split_column else None),
            subgroups=tuple(subgroup or ()),
            artifacts=dict(_pair(one) for one in artifact or []),
            label_map={a: b for a, _, b in (one.partition("=") for one in label_map or [])},
            method=method,
            layer=layer or None,
            kind=kind,
            engine=engine,
            engine_options={"address": address} if address else None,
            watch=Watch(planned, tally, begin),
            alpha=alpha,
            seed=seed,
            sample=sample,
            budget=_seconds(budget),
            settings=settings,
            workers=workers,
            shard_size=shard_size,
            dtype=dtype,
            batch_size=_options.batch_limit(batch_size) or 32,
            intended_use=intended_use,
            split=split,
            annotations_from=annotations_from,
        )
    if not run.finished:
        typer.secho(f"stopped after {tally.done} of {tally.total}; the same command goes on from there.", err=True)
        raise typer.Exit(STOPPED)
    if as_json:
        from heatproof.report._files import plain

        print_json(plain(run.document))
    else:
        show_run(run)
    raise typer.Exit(_exit_code(run, failing))


def _exit_code(run: "AuditRun", failing: set[str]) -> int:
    verdicts = {row["verdict"] for row in run.results if row["primary"]}
    verdicts |= {one.verdict for one in run.shortcuts}
    if verdicts & failing:
        typer.secho(f"failed: a verdict is {' or '.join(sorted(verdicts & failing))}", fg=typer.colors.RED, err=True)
        return GATE_FAILED
    flow = run.document.flow
    if flow.excluded:
        typer.secho(
            f"{sum(flow.excluded.values())} inputs were left out; see failures.parquet and the report.", err=True
        )
        return SOME_SKIPPED if flow.analyzed else UNUSABLE
    return DONE


def _pair(given: str) -> tuple[str, str]:
    name, sign, what = given.partition("=")
    return name, what if sign else name


def _seconds(text: str | None) -> float:
    """Return the seconds that a text such as 90s, 10m or 2h names."""
    if text is None:
        return 0.0
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    try:
        found = float(number) * _UNITS[unit]
    except ValueError:
        found = 0.0
    if not found > 0:
        raise UsageError(f"--budget is {text!r}; write a time above 0, such as 90s, 10m or 2h.")
    return found
