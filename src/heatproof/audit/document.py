"""What the report of a finished run says, gathered from its folder."""

from collections import Counter
from dataclasses import replace

from heatproof.audit import tables
from heatproof.audit.gallery import read_gallery
from heatproof.audit.plan import QUESTIONS, as_dict
from heatproof.audit.results import answer_of, performance_of, shortcuts_of
from heatproof.audit.store import FAILURES, INPUTS, RESULTS, RunFolder
from heatproof.report.audit.document import Document, Failure, Flow
from heatproof.report.audit.privacy import hashed

_LISTED = 1000


def document_of(folder: RunFolder, *, identifiers: bool = False, title: str | None = None) -> Document:
    """Return everything that the report says.

    Args:
        folder: of a finished run.
        identifiers: show inputs by their own names instead of by a hash.
        title: of the page.

    Raises:
        InputError: the run is not finished.
    """
    plan, manifest, salt = folder.plan, folder.manifest(), folder.salt

    def _id(name: str) -> str:
        return name if identifiers else hashed(name, salt)

    rows = list(tables.rows_of(folder.path / RESULTS))
    asked = [ask.question for ask in plan.asks]
    shortcuts = [row for row in rows if row["question"] == "shortcuts" and "shortcut_verdict" in row["details"]]
    answers = [row for row in rows if row["question"] not in ("performance", "shortcuts")]
    failed = [row for row in rows if row["question"] == "shortcuts" and "shortcut_verdict" not in row["details"]]
    answers.sort(key=lambda row: (_order(row["question"]), not row["primary"], row["subgroup_column"] or ""))
    excluded: Counter[str] = Counter()
    failures: list[Failure] = []
    for row in tables.rows_of(folder.path / FAILURES):
        excluded[row["stage"]] += 1
        if len(failures) < _LISTED:
            failures.append(Failure(_id(row["id"]), row["stage"], _reason(row, identifiers)))
    analyzed = sum(1 for _ in tables.rows_of(folder.path / INPUTS, ["map_row"]))
    return Document(
        title=title or f"Audit of {plan.model.name} on {plan.data.name}",
        model=plan.model.name,
        data=plan.data.name,
        intended_use=plan.intended_use,
        split=plan.data.split,
        warnings=plan.warnings,
        performance=performance_of(row for row in rows if row["question"] == "performance"),
        answers=[answer_of(row) for row in answers + failed],
        shortcuts=shortcuts_of(shortcuts) if "shortcuts" in asked and not failed else None,
        asked=asked,
        not_asked=plan.not_asked,
        flow=Flow(plan.data.entries, dict(excluded), analyzed),
        gallery=[replace(one, id=_id(one.id)) for one in read_gallery(folder)],
        failures=failures,
        plan=as_dict(plan),
        deviations=[*plan.budget.given_up, *manifest["deviations"]],
        provenance={name: value for name, value in manifest.items() if name not in ("deviations", "sha256")},
        folder=str(folder.path),
    )


def _order(question: str) -> int:
    return QUESTIONS.index(question) if question in QUESTIONS else len(QUESTIONS)


def _reason(row: dict[str, str], identifiers: bool) -> str:
    """Return why an input was left out, without the names of files unless these may be shown."""
    if identifiers:
        return row["reason"]
    name = row["location"].replace("\\", "/").rpartition("/")[2]
    hidden = row["reason"].replace(row["location"], "the file")
    for known in (row["id"], name):
        hidden = hidden.replace(known, "the file") if known else hidden
    return hidden
