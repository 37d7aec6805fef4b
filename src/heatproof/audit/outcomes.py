"""What a decision was."""

from collections.abc import Mapping
from typing import Any

from heatproof.report.audit.document import Outcome


def outcome(row: Mapping[str, Any]) -> Outcome | None:
    """Return what the decision of a row of inputs.parquet was; None without a label."""
    if row["label_index"] is None:
        return None
    if row["label_index"] == row["predicted"]:
        return "correct"
    if row["scores"] is None or len(row["scores"]) > 2:
        return "wrong"
    return "false positive" if row["predicted"] == 1 else "false negative"
