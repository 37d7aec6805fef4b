"""Compare two finished audits: what changed between models, or between scanners."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heatproof.cli import _options
from heatproof.errors import InputError, UsageError

if TYPE_CHECKING:
    from heatproof.audit.compare import Comparison


def command(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="Run folder of the first audit.")],
    run_b: Annotated[Path, typer.Argument(metavar="RUN_B", help="Run folder of the second.")],
    match_by: Annotated[
        str,
        typer.Option(help="What says that two inputs are the same: id, sha256, or a column of the data."),
    ] = "id",
    level: Annotated[float, typer.Option(help="Nominal coverage of the intervals.")] = 0.95,
    seed: Annotated[int, typer.Option(help="Of the resampling.")] = 0,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write everything here as JSON.")] = None,
    as_json: _options.Json = False,
) -> None:
    """Say how RUN_B differs from RUN_A: results, maps, verdicts; paired by input."""
    import json

    from heatproof.audit import compare

    if not 0 < level < 1:
        raise UsageError(f"--level is {level:g}; give a coverage between 0 and 1, such as 0.95.")
    found = compare.compare(run_a, run_b, match_by=match_by, seed=seed, level=level)
    told = compare.document(found, run_a.name, run_b.name)
    text = json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if out is not None:
        try:
            out.write_text(text, encoding="utf-8")
        except OSError as error:
            raise InputError(f"{out} cannot be written ({error.strerror or error}); name another file.") from error
    if as_json:
        typer.echo(text, nl=False)
    else:
        _print(found, run_a.name, run_b.name)


def _print(found: "Comparison", a: str, b: str) -> None:
    from heatproof.cli._output import print_table
    from heatproof.report.check import interval_text

    pairs, many = found.pairs, found.decisions
    typer.echo(f"{len(pairs)} inputs in both ({pairs.only_a} only in {a}, {pairs.only_b} only in {b}); "
               f"{pairs.other_bytes} with other bytes.")  # fmt: skip
    typer.echo(f"Decisions: {many['same']} the same, {many['changed']} changed; of those with a label, "
               f"{many['mended']} are right only in {b}, {many['broken']} only in {a}.")  # fmt: skip
    typer.echo(f"Maps of the same class: mean rank correlation {interval_text(found.mean_drift)}.\n")
    rows = [
        (_named(one.name, one.subgroup), one.statistic, f"{one.a:.3f}", f"{one.b:.3f}", interval_text(one.value),
         f"{one.n}", one.how)
        for one in found.differences
    ]  # fmt: skip
    print_table(("result", "statistic", a, b, "difference", "n", ""), rows)
    changed = [one for one in found.verdicts if one.changed]
    typer.echo("" if changed else f"\nNone of the {len(found.verdicts)} verdicts changed.")
    for one in changed:
        typer.secho(f"{_named(one.name, one.subgroup)}: {one.before} -> {one.after}", fg=typer.colors.YELLOW)


def _named(name: str, subgroup: tuple[str, str] | None) -> str:
    return name if subgroup is None else f"{name}, {subgroup[0]} {subgroup[1]}"
