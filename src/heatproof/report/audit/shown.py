"""From what a run knows to what a report may show: absolute paths and URLs go, whatever field they stand in."""

from dataclasses import replace

from heatproof.report.audit.document import Document
from heatproof.report.audit.privacy import redact


def shown(document: Document) -> Document:
    """Return the document as others may see it.

    Of weights and tools the file's own name stays; in what is said about inputs it goes with the rest of the path.
    """

    def named(value: object) -> object:
        return redact(value, keep_names=True)

    def nameless(value: object) -> object:
        return redact(value, keep_names=False)

    changes = {
        **{name: named(getattr(document, name)) for name in ("title", "model", "data", "plan", "provenance")},
        **{name: nameless(list(getattr(document, name))) for name in ("warnings", "deviations")},
        "not_asked": nameless(document.not_asked),
        "flow": replace(document.flow, excluded=nameless(document.flow.excluded)),  # pyright: ignore[reportArgumentType]: a mapping stays one
        "failures": [
            replace(one, id=str(nameless(one.id)), reason=str(nameless(one.reason))) for one in document.failures
        ],
        "gallery": [replace(one, id=str(nameless(one.id))) for one in document.gallery],
    }
    return replace(document, **changes)  # pyright: ignore[reportArgumentType]: each field keeps its type
