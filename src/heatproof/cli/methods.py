"""List the CAM methods and attributions, with their other spellings, settings and papers."""

from typing import TYPE_CHECKING, Annotated

import typer

from heatproof.cli._output import print_json, print_table, settings_text

if TYPE_CHECKING:
    from heatproof.plugins import Plugin


def command(
    names: Annotated[list[str] | None, typer.Argument(help="Only these methods, in any spelling, in full.")] = None,
    bibtex: Annotated[bool, typer.Option("--bibtex", help="Print the papers' BibTeX entries instead.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """List the methods; name some to read their formula, source, assumptions and settings."""
    from heatproof import attribution, cam
    from heatproof.errors import MethodError
    from heatproof.plugins import resolve

    known = {**cam.methods(), **attribution.methods()}
    chosen = [resolve(name, known, "method", MethodError) for name in names] if names else list(known.values())
    if as_json:
        fields = ("name", "title", "aliases", "tier", "summary", "doc", "bibtex")
        print_json({"methods": [{f: getattr(one, f) for f in fields} | {"kind": _kind(one)} for one in chosen]})
    elif bibtex:
        typer.echo("\n\n".join(dict.fromkeys(one.bibtex for one in chosen if one.bibtex)))
    elif names:
        for one in chosen:
            typer.secho(f"{one.title} ({one.name}, {_kind(one)}, {one.tier})", bold=True)
            spellings = ", ".join(one.aliases) or "no other spelling"
            typer.echo(f"{one.doc}\nSettings: {settings_text(one)}\nAlso: {spellings}\n")
    else:
        print_table(
            ("name", "title", "kind", "tier", "what it is"),
            [(one.name, one.title, _kind(one), one.tier, one.summary.removeprefix(f"{one.title}: ")) for one in chosen],
        )


def _kind(plugin: "Plugin") -> str:
    return "CAM" if plugin.attribute == "cam" else "attribution"
