"""Measure how often the checks err, on planted problems whose answer is known."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heatproof.cli._output import print_json, print_table, progress
from heatproof.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from heatproof.plugins import Plugin
    from heatproof.synthetic._calibrate import Confusion

_VERDICTS = ("supports", "inconclusive", "undermines", "not applicable")


class Which(StrEnum):
    """Families: those that margins were chosen on, the others, or both."""

    frozen = "frozen"
    held_out = "held-out"
    all = "all"


def command(
    check: Annotated[
        list[str] | None, typer.Option("--check", "-c", help="Only this check; repeat. Default: all with problems.")
    ] = None,
    instances: Annotated[int, typer.Option("--instances", "-n", min=1, help="Planted problems for each check.")] = 300,
    which: Annotated[
        Which, typer.Option("--families", help="held-out: those that no margin was chosen on.")
    ] = Which.held_out,
    seed: Annotated[int, typer.Option("--seed", help="Of the planted problems.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the table into this Markdown file, too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Put the checks to planted problems and print known answer against verdict, with bounds on the false ones.

    The rates hold for problems such as these, which are synthetic.
    """
    from heatproof.checks import check_named
    from heatproof.synthetic import families, held_out
    from heatproof.synthetic._calibrate import calibrate, problems

    chosen = [f for f in families().values() if which is Which.all or held_out(f) is (which is Which.held_out)]
    # some families train networks, so none is asked what it offers without need
    names = [check_named(name).name for name in check or _offered(chosen, seed)]
    if out is not None and not out.parent.is_dir():
        raise UsageError(f"The folder {out.parent} does not exist; make it, or write elsewhere.")
    planted = problems(chosen, names, instances, seed)
    with progress(instances * len(names), "planted problems") as bar:
        found = calibrate(planted, advance=bar.advance)
    rows = [row for name in names for row in _rows(found[name])]
    head = ("check", "known answer", *_VERDICTS, "false", "at most (95 %)", "decided")
    if as_json:
        print_json(
            {
                "families": [f.name for f in chosen],
                "seed": seed,
                "rows": [dict(zip(head, row, strict=True)) for row in rows],
            }
        )
    else:
        print_table(head, rows)
        for name in names:
            for what, count in found[name].mistakes.most_common():
                typer.echo(f"{name} was wrong {count} times on {what}")
        typer.echo("\nThese rates hold for synthetic problems such as these.")
    if out is not None:
        lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, ["---"] * len(head), *rows)]
        out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _offered(families: "Sequence[Plugin]", seed: int) -> list[str]:
    return sorted({one.check for family in families for one in family.function(seed)})


def _rows(confusion: "Confusion") -> list[list[Any]]:
    rows: list[list[Any]] = []
    for answer in ("good", "bad"):
        count, bound = confusion.wrong(answer)
        verdicts = [confusion.counts[answer, verdict] for verdict in _VERDICTS]
        rows.append([confusion.check, answer, *verdicts, count, f"{bound:.1%}", f"{confusion.decided():.0%}"])
    return rows
