"""The page of an audit: one self-contained file that a clinician, an engineer and a regulator can each read."""

from heatproof.report.audit.page import html
from heatproof.report.audit.printed import pdf
from heatproof.report.audit.text import as_json, markdown, model_card

__all__ = ["as_json", "html", "markdown", "model_card", "pdf"]
