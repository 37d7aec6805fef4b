"""What commands print: people read standard output or, with --json, a program does; progress goes to standard error."""

import inspect
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from heatproof.plugins import Plugin
    from heatproof.shortcuts import Finding
    from heatproof.types import CheckResult

_PATIENCE = 2.0  # seconds of silence before a progress bar is worth its room


def print_json(document: dict[str, Any]) -> None:
    """Print one JSON document; numbers that JSON cannot hold (NaN, infinity) become null."""
    typer.echo(json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False))


def _plain(value: Any) -> Any:
    match value:
        case float():
            return value if value - value == 0 else None
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_plain(item) for item in value]
        case Path():
            return str(value)
        case None | bool() | int() | str():
            return value
        case _:
            return str(value)


def print_table(headings: Iterable[str], rows: Iterable[Iterable[object]]) -> None:
    """Print columns, each as wide as it needs; longer than the terminal stays on its line, so that grep finds it."""
    lines = [[str(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for number, line in enumerate(lines):
        typer.secho(_line(line, widths), bold=number == 0)


MOOD = {"supports": typer.colors.GREEN, "undermines": typer.colors.RED, "inconclusive": typer.colors.YELLOW}


def print_answers(results: Sequence["CheckResult"]) -> None:
    """Print a table of checks, and under each why its verdict is what it is."""
    from heatproof.report.check import interval_text

    head = ("check", "statistic", "", "null", "verdict", "n", "forwards")
    rows = [
        (r.check, r.statistic, interval_text(r.value), interval_text(r.null), r.verdict, f"{r.n}", f"{r.forwards:.0f}")
        for r in results
    ]
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    typer.secho(_line(head, widths), bold=True)
    for result, row in zip(results, rows, strict=True):
        before, verdict, after = _line(row[:4], widths[:4], strip=False), row[4], _line(row[4:], widths[4:])
        typer.echo(f"{before}  {typer.style(verdict, fg=MOOD.get(verdict))}{after.removeprefix(verdict)}")
        typer.echo(_wrapped(result.why))


_ALARM = {"confirmed": typer.colors.RED, "not reliant": typer.colors.GREEN}


def print_findings(findings: Sequence["Finding"]) -> None:
    """Print each candidate's verdict, and under it why."""
    if not findings:
        typer.echo("No candidate was found, which is no proof that there is none.")
    for one in findings:
        word = typer.style(one.verdict, fg=_ALARM.get(one.verdict, typer.colors.YELLOW))
        typer.echo(f"{typer.style(one.candidate.name, bold=True)} ({one.candidate.origin}): {word}")
        typer.echo(_wrapped(one.result.why))


def _line(cells: Iterable[str], widths: Iterable[int], *, strip: bool = True) -> str:
    line = "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
    return line.rstrip() if strip else line


def _wrapped(text: str) -> str:
    """Return the text indented; wrapped for people, and on one line for a file, so that grep finds it."""
    indent = " " * 4
    if not sys.stdout.isatty():
        return indent + text
    return fill(text, min(shutil.get_terminal_size().columns, 100), initial_indent=indent, subsequent_indent=indent)


def settings_text(plugin: "Plugin") -> str:
    """Return a plug-in's settings with their defaults."""
    taken = list(inspect.signature(plugin.function).parameters.values())[1:]
    return ", ".join(f"{one.name}={one.default!r}" for one in taken) or "none"


@contextmanager
def progress(total: int, what: str) -> Generator["Progress", None, None]:
    """Show a bar on standard error once the work has taken two seconds; nothing where nobody is watching."""
    bar = Progress(total, what)
    try:
        yield bar
    finally:
        bar.close()


@contextmanager
def steps(total: int) -> Generator[Callable[[str], None], None, None]:
    """Show a bar on standard error while few, long steps take more than two seconds; call with the name of each.

    It is drawn from a thread of its own: a step says nothing until it is over.
    """
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed} of {task.total}"))
    bar = RichProgress(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
    task = bar.add_task("reading", total=total)
    begun = 0

    def begin(name: str) -> None:
        nonlocal begun
        bar.update(task, description=name, completed=begun)
        begun += 1

    late = threading.Timer(_PATIENCE, bar.start)
    late.daemon = True
    late.start()
    try:
        yield begin
    finally:
        late.cancel()
        late.join()  # a bar that is just starting has started before it is stopped
        bar.stop()


class Progress:
    """A progress bar that appears late.

    Attributes:
        done: how many are finished.
    """

    def __init__(self, total: int, what: str) -> None:
        self.done = 0
        self._total, self._what = total, what
        self._began = time.monotonic()
        self._bar: Any = None
        self._task: Any = None

    def advance(self, count: int = 1) -> None:
        """Count further ones as finished."""
        self.done += count
        if self._bar is None and sys.stderr.isatty() and time.monotonic() - self._began > _PATIENCE:
            from rich.console import Console
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self._what, total=self._total)
            self._bar.start()
        if self._bar is not None:
            self._bar.update(self._task, completed=self.done)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
