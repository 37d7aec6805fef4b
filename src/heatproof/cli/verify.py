"""Check a run folder: its bytes by their hashes, and a sample of its maps and results made anew."""

from pathlib import Path
from typing import Annotated, Any

import typer

from heatproof.cli import DONE, GATE_FAILED, _options
from heatproof.cli._output import print_json


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished audit.")],
    data: Annotated[
        str | None, typer.Option(help="The data, to make a sample of the maps anew; the model is that of the plan.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Spec of the model, where it lies elsewhere now.")] = None,
    sample: Annotated[int, typer.Option(help="Maps that are made anew.")] = 16,
    seed: Annotated[int, typer.Option(help="Of the sample.")] = 0,
    device: _options.Device = "auto",
    arch: _options.Arch = None,
    labels: _options.Labels = None,
    preprocess: _options.Preprocess = None,
    in_chans: _options.InChans = None,
    as_json: _options.Json = False,
) -> None:
    """Check RUN: hashes, performance computed anew and, with --data, a sample of its maps made anew."""
    from dataclasses import asdict

    from heatproof.audit.entry import Roles
    from heatproof.audit.sources import open_source
    from heatproof.audit.store import RunFolder
    from heatproof.audit.verify import verify

    loaded = source = None
    if data is not None:
        plan = RunFolder.open(run).plan
        roles: dict[str, Any] = dict(plan.data.roles)
        source = open_source(data, Roles(**roles), plan.data.kind)
        loaded = _options.load_model(model or plan.model.source, arch, labels, preprocess, in_chans, device)
    found = verify(run, loaded, source, sample=sample, seed=seed)
    if as_json:
        print_json(asdict(found) | {"good": found.good})
    else:
        typer.echo(f"{found.files} files have the bytes that the manifest names")
        typer.echo(f"{found.measures} measures of performance were computed anew and agree")
        if data is not None:
            typer.echo(f"{found.maps} maps were made anew and agree")
        else:
            typer.echo("no map was made anew: pass --data")
        for sentence in found.wrong:
            typer.secho(sentence, fg=typer.colors.RED, err=True)
    raise typer.Exit(DONE if found.good else GATE_FAILED)
