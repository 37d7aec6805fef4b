"""What a team needs after a shortcut is confirmed, as files: affected inputs, counterfactuals, a challenge set."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from heatproof.report._files import plain
from heatproof.shortcuts import Finding, Survey
from heatproof.shortcuts.mitigate import Counterfactuals, affected, challenge_set, counterfactuals

MOST = 256
"""Inputs whose counterfactuals are written, the most affected first; `shortcuts.mitigate` makes those of all."""


def mitigation_files(finding: Finding, survey: Survey) -> dict[str, bytes]:
    """Return the contents of `affected.csv`, `counterfactuals.npz` and `challenge.npz`; none where nothing was edited.

    The archives hold `inputs` (m, c, *spatial) as the network takes them, in float16, `labels` (class indices), `has`
    (whether the input shows the feature now) and `names` (of the inputs that they come from).
    """
    candidate = finding.candidate
    if candidate.masks is None and candidate.change is None:
        return {}
    listed = affected(finding, survey)
    has = candidate.present.nonzero().flatten().tolist()
    lacks = (~candidate.present).nonzero().flatten().tolist()
    rows = sorted([*has[: MOST // 2], *lacks[: MOST // 2]])
    return {
        "affected.csv": _table(listed),
        "counterfactuals.npz": _archive(counterfactuals(finding, survey, rows, seed=survey.seed), survey),
        "challenge.npz": _archive(challenge_set(finding, survey, seed=survey.seed, most=MOST), survey),
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["input", "cluster", "label", "decision", "effect"])
    writer.writerows([["" if one is None else one for one in plain(list(row.values()))] for row in rows])
    return text.getvalue().encode()


def _archive(made: Counterfactuals, survey: Survey) -> bytes:
    names = [survey.explanation.inputs[row].name for row in made.rows]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        inputs=made.inputs.numpy().astype(np.float16),
        labels=np.array(made.labels),
        has=np.array(made.has),
        names=np.array(names),
    )
    return buffer.getvalue()
