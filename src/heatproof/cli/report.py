"""Write the report of a finished audit anew: a page, Markdown, JSON, PDF, or a section of a model card."""

from pathlib import Path
from typing import Annotated

import typer

from heatproof.cli import _options
from heatproof.errors import UsageError

_FORMATS = {
    "html": "report.html",
    "md": "report.md",
    "json": "report.json",
    "pdf": "report.pdf",
    "card": "model-card.md",
}


def command(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a finished audit.")],
    form: Annotated[str, typer.Option("--format", help="html, md, json, pdf, or card (for a model card).")] = "html",
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File; default: report.* in RUN, - prints.")] = None,
    images: Annotated[str, typer.Option(help="full, thumbnail or none.")] = "full",
    identifiers: Annotated[bool, typer.Option(help="Show inputs by their own names instead of by a hash.")] = False,
    title: Annotated[str | None, typer.Option(help="Of the page.")] = None,
    printed: _options.Json = False,
) -> None:
    """Write the report of RUN anew."""
    from heatproof.audit.document import document_of
    from heatproof.audit.files import write_file
    from heatproof.audit.store import RunFolder
    from heatproof.report.audit import as_json, html, markdown, model_card, pdf

    if printed:
        form, out = "json", Path("-")
    if form not in _FORMATS:
        raise UsageError(f"--format is {form!r}; choose of {', '.join(_FORMATS)}.")
    document = document_of(RunFolder.open(run), identifiers=identifiers, title=title)
    if form == "pdf":
        data = pdf(html(document, images))
    else:
        text = {"md": markdown, "json": as_json, "card": model_card}.get(form)
        data = (text(document) if text else html(document, images)).encode()
    if out == Path("-"):
        typer.echo(data.decode() if form != "pdf" else data, nl=False)
        return
    path = out or run / _FORMATS[form]
    try:
        write_file(path, data)
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error.strerror or error}); name another file with -o.") from error
    typer.echo(f"-> {path}")
