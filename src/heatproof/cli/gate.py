"""Let a finished audit through, or stop it, by a policy."""

from pathlib import Path
from typing import Annotated

import typer

from heatproof.cli import DONE, GATE_FAILED, _options
from heatproof.errors import InputError


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of a finished audit.")],
    policy: Annotated[Path, typer.Option(help="TOML file that says what a run must reach; see docs/gate.md.")],
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML here, for CI.")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the rulings here as JSON.")] = None,
    as_json: _options.Json = False,
) -> None:
    """Hold the audit in RUN against a policy; exit with 1 and the reasons where it does not reach it."""
    from heatproof.audit import gate
    from heatproof.audit.policy import read_policy

    rulings = gate.gate(run, read_policy(policy))
    document = gate.as_json(rulings, run.name, policy.name)
    for path, text in ((junit, gate.as_junit(rulings)), (out, document)):
        if path is not None:
            _write(path, text)
    if as_json:
        typer.echo(document, nl=False)
    else:
        for one in rulings:
            typer.secho("passed  " if one.passed else "failed  ", fg="green" if one.passed else "red", nl=False)
            typer.echo(" ".join(one.reason.split()))
    failed = sum(not one.passed for one in rulings)
    if failed:
        typer.secho(f"{failed} of {len(rulings)} demands of {policy.name} are not met.", fg="red", err=True)
    raise typer.Exit(GATE_FAILED if failed else DONE)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be written ({error.strerror or error}); name another file.") from error
