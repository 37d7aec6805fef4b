"""A folder with the answers of the checks: everything as JSON, a row per input, a picture each and a page."""

import csv
import io
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import heatproof
from heatproof.errors import InputError
from heatproof.report._files import plain, write_folder
from heatproof.report.check import interval_text
from heatproof.types import CheckResult

DOCUMENT = "checks.json"
_FORMAT = "heatproof checks 1"


def checks_document(results: Sequence[CheckResult], **about: Any) -> dict[str, Any]:
    """Return everything about the answers as plain values; what is not finite is None.

    Args:
        results: the answers.
        **about: the model, method, layer and whatever else there is to say.
    """
    told = {"format": _FORMAT, "heatproof": heatproof.__version__, **about, "results": list(results)}
    return plain(told)


def save_checks(results: Sequence[CheckResult], folder: str | Path, **about: Any) -> Path:
    """Write `per_input.csv`, a picture for each answer, `index.html` and, last, `checks.json`; return the folder.

    Files of an earlier run in the folder are replaced, and those that this run does not make are removed.

    Raises:
        InputError: the folder is a file or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, so no results can be written into it; name a folder.")
    try:
        return _save(results, folder, about)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{folder} cannot be written ({reason}); name a folder that can be.") from error


def _save(results: Sequence[CheckResult], folder: Path, about: dict[str, Any]) -> Path:
    names = _names(results)
    made = {f"{name}.png": _png(result) for name, result in zip(names, results, strict=True)}
    table = _table(names, results)
    if table:
        made["per_input.csv"] = table
    made["index.html"] = _page(names, results, about)
    told = checks_document(results, **about, files=sorted(made))
    write_folder(folder, made, DOCUMENT, _FORMAT, told)
    return folder


def _names(results: Sequence[CheckResult]) -> list[str]:
    """Return a name for each answer; the second of one check has a number."""
    names: list[str] = []
    for result in results:
        earlier = sum(one.check == result.check for one in results[: len(names)])
        names.append(f"{result.check}-{earlier + 1}" if earlier else result.check)
    return names


def _png(result: CheckResult) -> bytes:
    buffer = io.BytesIO()
    # without the version of matplotlib, so that the same answer gives the same bytes
    result.plot().savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()


def _table(names: Sequence[str], results: Sequence[CheckResult]) -> bytes:
    """Return one row per input; the columns of each check begin with its name. Missing values are blank."""
    columns: dict[str, Sequence[Any]] = {}
    for name, result in zip(names, results, strict=True):
        for column, values in result.per_input.items():
            columns[column if column in ("input", "target") else f"{name}: {column}"] = values
    rows = max((len(values) for values in columns.values()), default=0)
    columns = {name: values for name, values in columns.items() if len(values) == rows}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(
        [["" if one is None else one for one in plain(row)] for row in zip(*columns.values(), strict=True)]
    )
    return text.getvalue().encode() if columns else b""


def _page(names: Sequence[str], results: Sequence[CheckResult], about: dict[str, Any]) -> bytes:
    """Return the page; every value is escaped, and a missing one is an error."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["interval"] = interval_text
    template = (files("heatproof.report") / "checks.html.jinja").read_text(encoding="utf-8")
    answers = list(zip(names, results, strict=True))
    return environment.from_string(template).render(answers=answers, about=plain(about)).encode()
