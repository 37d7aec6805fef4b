"""List the checks that a model's maps can be put to, with their settings and papers."""

from typing import Annotated

import typer

from heatproof.cli._output import print_json, print_table, settings_text


def command(
    names: Annotated[list[str] | None, typer.Argument(help="Only these checks, in any spelling, in full.")] = None,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print the papers' BibTeX entries instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the checks; name some to read what each asks, its source, assumptions and settings."""
    from heatproof.checks import check_named, checks

    chosen = [check_named(name) for name in names] if names else list(checks().values())
    if as_json:
        fields = ("name", "title", "aliases", "tier", "summary", "doc", "bibtex")
        print_json({"checks": [{field: getattr(one, field) for field in fields} for one in chosen]})
    elif bibtex:
        typer.echo("\n\n".join(dict.fromkeys(one.bibtex for one in chosen if one.bibtex)))
    elif names:
        for one in chosen:
            typer.secho(f"{one.title} ({one.name}, {one.tier})", bold=True)
            spellings = ", ".join(one.aliases) or "no other spelling"
            typer.echo(f"{one.doc}\nSettings: {settings_text(one)}\nAlso: {spellings}\n")
    else:
        rows = [(one.name, one.tier, one.summary.removeprefix(f"{one.title}: ")) for one in chosen]
        print_table(("name", "tier", "what it asks"), rows)
