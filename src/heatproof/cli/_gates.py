"""What commands that end in verdicts share: options, what they refuse, and the exit code that a verdict asks for."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from heatproof.cli import GATE_FAILED
from heatproof.errors import UsageError, nearest

CHECKS = ("supports", "undermines", "inconclusive", "not applicable")
SHORTCUTS = ("confirmed", "relies but relevance unclear", "not reliant", "inconclusive")

Layer = Annotated[list[str] | None, typer.Option(help="Dotted name of the target layer; several are combined.")]
Seed = Annotated[int, typer.Option(help="Of everything that is drawn.")]
Target = Annotated[
    str | None, typer.Option(help="Class index or label that is explained. Default: the predicted class.")
]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", help="Folder for a page, a picture per answer, and all numbers.")
]


def fail_on(known: Sequence[str]) -> typer.models.OptionInfo:
    """Return the option that names the verdicts at which a command fails."""
    return typer.Option(help=f"Exit with 1 if a verdict is this; several times for several: {', '.join(known)}.")


def failing(given: Sequence[str] | None, known: Sequence[str]) -> set[str]:
    """Return the verdicts that --fail-on names.

    Raises:
        UsageError: one is no verdict.
    """
    found = {one.replace("-", " ").lower() for one in given or ()}
    for one in sorted(found - set(known)):
        close = nearest(one, known, 1) or f"; choose of {', '.join(known)}."
        raise UsageError(f"--fail-on is {one!r}, which is no verdict{close}")
    return found


def refuse(alpha: float, out: Path | None) -> None:
    """Refuse an error rate that is none, and a folder that is a file, before anything is computed.

    Raises:
        UsageError: it is one of these.
    """
    if not 0 < alpha < 1:
        raise UsageError(f"--alpha is {alpha:g}; give a rate between 0 and 1, such as 0.05.")
    if out and out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file, so no results can be written into it; name a folder.")


def leave(failed: Iterable[str], otherwise: int) -> typer.Exit:
    """Say what failed, and return the exit: `GATE_FAILED` if anything did."""
    code = otherwise
    for sentence in failed:
        typer.secho(f"failed: {sentence}", fg=typer.colors.RED, err=True)
        code = GATE_FAILED
    return typer.Exit(code)
