"""What commands print: people read standard output or, with --json, a program does; progress goes to standard error."""

import json
import sys
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

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
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for number, line in enumerate(lines):
        text = "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        typer.secho(text, bold=number == 0)


@contextmanager
def progress(total: int, what: str) -> Generator["Progress", None, None]:
    """Show a bar on standard error once the work has taken two seconds; nothing where nobody is watching."""
    bar = Progress(total, what)
    try:
        yield bar
    finally:
        bar.close()


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
