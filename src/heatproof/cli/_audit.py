"""What `heatproof audit` shows: the plan, how far it is, the answers."""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from heatproof.cli._output import MOOD, print_table

if TYPE_CHECKING:
    from heatproof.audit.pipeline import Tally
    from heatproof.audit.plan import Plan
    from heatproof.audit.run import AuditRun


def show_plan(plan: "Plan") -> None:
    """Print what was fixed, and what it will cost."""
    data = plan.data
    roles = ", ".join(f"{role} = {name}" for role, name in data.roles.items()) or "none"
    typer.echo(f"{data.name}: {data.entries} inputs ({data.kind}); columns: {roles}")
    typer.echo(f"{plan.maps.method} at {plan.maps.layer}, grid {' x '.join(map(str, plan.maps.grid))}")
    rows = [
        (ask.question, ask.planned, ask.needed, f"{ask.margin:g}", f"{ask.forwards:.0f}", f"{ask.seconds:.0f} s")
        for ask in plan.asks
    ]
    print_table(("question", "inputs", "needed", "margin", "forwards each", "about"), rows)
    for question, why in plan.not_asked.items():
        typer.echo(f"{question} is not asked: {why}.")
    for sentence in (*plan.warnings, *plan.budget.given_up):
        typer.secho(sentence, fg=typer.colors.YELLOW)
    typer.echo(f"about {plan.cost.seconds:.0f} s in all ({plan.cost.forward_ms:.1f} ms a forward)")


def show_run(run: "AuditRun") -> None:
    """Print performance, the verdicts and where the report is."""
    from heatproof.report.check import interval_text

    document = run.document
    if document.performance is not None:
        for name, interval in document.performance.whole.measures.items():
            typer.echo(f"{name} {interval_text(interval)}")
    for answer in document.answers:
        if answer.primary:
            result = answer.result
            word = typer.style(result.verdict, fg=MOOD.get(result.verdict))
            typer.echo(f"{typer.style(result.check, bold=True)}: {word}. {result.why}")
    for one in document.shortcuts or ():
        typer.echo(f"{typer.style('shortcut ' + one.name, bold=True)}: {one.verdict}. {one.result.why}")
    if document.shortcuts is not None and not document.shortcuts:
        typer.echo("shortcuts: no candidate was found, which is no proof that there is none.")
    typer.echo(f"-> {run.report}")


@contextmanager
def progress_of(tally: "Tally") -> Generator[None]:
    """Show a bar with rate and remaining time while shards are explained; nothing where nobody is watching."""
    if not sys.stderr.isatty():
        yield
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("explaining"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
               TimeRemainingColumn(), TextColumn("{task.fields[failed]}"))  # fmt: skip
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    task = bar.add_task("explaining", total=None, rate="", failed="")

    def changed(now: "Tally") -> None:
        if not bar.live.is_started:
            bar.start()
        speed = bar.tasks[0].speed
        failed = f"{now.failed} left out" if now.failed else ""
        bar.update(task, total=now.total, completed=now.done, failed=failed, rate=f"{speed:.1f}/s" if speed else "")
        if now.done >= now.total:
            bar.stop()

    tally.changed = changed
    try:
        yield
    finally:
        bar.stop()
