"""List the CAM methods, with their other spellings and papers."""

from typing import Annotated

import typer

from heatproof.cli._output import print_json, print_table


def command(
    names: Annotated[list[str] | None, typer.Argument(help="Only these methods, in any spelling, in full.")] = None,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print the papers' BibTeX entries instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the CAM methods; name some to read their formula, source and assumptions."""
    from heatproof.cam import method, methods

    chosen = [method(name) for name in names] if names else list(methods().values())
    if as_json:
        fields = ("name", "title", "aliases", "tier", "summary", "doc", "bibtex")
        print_json({"methods": [{field: getattr(one, field) for field in fields} for one in chosen]})
    elif bibtex:
        typer.echo("\n\n".join(one.bibtex for one in chosen if one.bibtex))
    elif names:
        for one in chosen:
            typer.secho(f"{one.title} ({one.name}, {one.tier})", bold=True)
            typer.echo(f"{one.doc}\nAlso: {', '.join(one.aliases) or 'no other spelling'}\n")
    else:
        print_table(
            ("name", "title", "tier", "what it is"),
            [(one.name, one.title, one.tier, one.summary.removeprefix(f"{one.title}: ")) for one in chosen],
        )
