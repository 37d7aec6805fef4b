"""The command line: one file a command, found by listing this folder and imported only when its command runs.

A command is a file `NAME.py` with a function `command`; the first line of the file's docstring is the line that
`heatproof --help` shows, read without importing the file. Files that begin with an underscore are helpers.

Exit codes: 0 done; 1 a gate failed; 2 wrong usage or unusable input; 3 done, but some inputs were skipped (they are
listed); 70 internal error.
"""

import sys
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

from heatproof import __version__
from heatproof.errors import HeatproofError, HeatproofWarning
from heatproof.plugins import Plugin, discover

DONE, GATE_FAILED, UNUSABLE, SOME_SKIPPED, INTERNAL_ERROR = 0, 1, 2, 3, 70

__all__ = ["DONE", "GATE_FAILED", "INTERNAL_ERROR", "SOME_SKIPPED", "UNUSABLE", "commands", "main"]


@cache
def commands() -> dict[str, Plugin]:
    """Return every command by name, described from its file without importing it."""
    return discover(__name__, "command", "heatproof.cli")


def _load(command: Plugin) -> Any:
    """Import one command's file and make its function a typer command."""
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    single.command(name=command.name)(command.function)
    return get_command(single)


class _LazyCommands(TyperGroup):
    """Lists commands by their files; the real command takes its stand-in's place when it is asked for."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, command in commands().items():
            self.commands[name] = TyperCommand(name=name, help=command.summary)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command as typer does (unknown names get its suggestions), then load it."""
        name, stand_in, rest = super().resolve_command(ctx, args)
        return name, stand_in if name is None else _load(commands()[name]), rest


def _print_version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"heatproof {__version__}")
        raise typer.Exit
    return wanted


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error (anywhere on the line).")
    ] = False,
) -> None:
    """Explain what a vision model looked at, and test whether that explanation can be trusted."""


def _program() -> Any:
    app = typer.Typer(cls=_LazyCommands, no_args_is_help=True, rich_markup_mode=None)
    app.callback()(_root)
    return get_command(app)


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line and exit with one of the codes that this package's docstring lists.

    Args:
        args: what follows the program's name; None takes it from the process.

    Raises:
        SystemExit: always.
    """
    words = list(sys.argv[1:] if args is None else args)
    debug = "--debug" in words
    # --debug belongs to every command, so it is taken off here once instead of being declared in each.
    words = [word for word in words if word != "--debug"]
    try:
        with _notes():
            _program()(words, prog_name="heatproof")
    except HeatproofError as error:
        _fail(error, str(error), UNUSABLE, debug)
    except Exception as error:  # noqa: BLE001  the last door: whatever gets here is a bug, and is reported as one
        said = " ".join(str(error).split()) or "no message"
        _fail(error, f"internal error: {type(error).__name__}: {said} (--debug shows where).", INTERNAL_ERROR, debug)


@contextmanager
def _notes() -> Generator[None, None, None]:
    """Print the package's own warnings as one line each, without the place in the source that a person cannot use."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
            if issubclass(category, HeatproofWarning):
                typer.secho(f"note: {message}", fg=typer.colors.YELLOW, err=True)
            else:
                others(message, category, *place, **more)

        warnings.showwarning = show
        yield


def _fail(error: Exception, sentence: str, code: int, debug: bool) -> None:
    if debug:
        import traceback

        traceback.print_exception(error)
    typer.secho(sentence, fg=typer.colors.RED, err=True)
    raise SystemExit(code) from error
