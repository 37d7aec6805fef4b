"""Explain a real photomicrograph with the bundled network, and write a page about it."""

from pathlib import Path
from typing import Annotated

import typer

from heatproof.cli._output import print_json, progress


def command(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the page and its pictures.")] = Path("demo-out"),
    offline: Annotated[
        bool, typer.Option("--offline", help="Do not try to download weights for the photographs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Explain held-out tiles and the whole field of a real photomicrograph, and say how much of it hits the stain.

    Needs no network: picture and weights come with the installation. With torchvision and ImageNet weights at hand,
    photographs are explained too.
    """
    from heatproof.demo.run import STEPS, run

    with progress(STEPS, "explaining") as bar:
        demo = run(out, offline=offline, advance=bar.advance)
    if as_json:
        print_json({**demo.numbers, "page": demo.page, "files": list(demo.files)})
        return
    typer.echo(f"Page:     {demo.page}")
    typer.echo(f"Pictures: {len(demo.files) - 1} PNG files in {out}")
    if demo.numbers["no_photographs_because"]:
        typer.echo(f"No photographs were explained: {demo.numbers['no_photographs_because']}")
    typer.echo(f"\n{demo.sentence}")
