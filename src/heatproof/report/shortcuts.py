"""A folder with what was found out about shortcuts: a page, pictures of exemplars and edits, and all numbers."""

import csv
import io
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

import heatproof
from heatproof.errors import InputError
from heatproof.report._files import plain, write_folder
from heatproof.report.check import interval_text
from heatproof.report.mitigation import mitigation_files
from heatproof.report.view import literal
from heatproof.shortcuts import Finding, Survey

DOCUMENT = "shortcuts.json"
_FORMAT = "heatproof shortcuts 1"
_SHOWN = 4
_OUTLINE = (1.0, 0.45, 0.0)
_WORDS = {
    "confirmed": "CONFIRMED: the model leans on it",
    "relies but relevance unclear": "RELIES BUT RELEVANCE UNCLEAR",
    "not reliant": "NOT RELIANT",
    "inconclusive": "INCONCLUSIVE",
}


def shortcuts_document(findings: Sequence[Finding], **about: Any) -> dict[str, Any]:
    """Return everything about the findings as plain values, without masks and pictures."""
    listed = [
        {
            "name": one.candidate.name,
            "kind": one.candidate.kind,
            "origin": one.candidate.origin,
            "class": one.candidate.label,
            "present": int(one.candidate.present.sum()),
            "off_object": one.candidate.off_object,
            "rank": one.candidate.rank,
            "verdict": one.verdict,
            "result": one.result,
            "dose": one.dose,
            "subgroups": one.subgroups,
            "prevalence": one.table,
        }
        for one in findings
    ]
    told: dict[str, Any] = plain({"format": _FORMAT, "heatproof": heatproof.__version__, **about, "findings": listed})
    return told


def save_shortcuts(findings: Sequence[Finding], survey: Survey, folder: str | Path, **about: Any) -> Path:
    """Write `index.html`, its pictures, `per_input.csv` and, last, `shortcuts.json`; return the folder.

    For each confirmed shortcut also the list of affected inputs, counterfactuals and a balanced challenge set.

    Raises:
        InputError: the folder is a file or cannot be written.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file, so no results can be written into it; name a folder.")
    made: dict[str, bytes] = {}
    pages: list[dict[str, Any]] = []
    for number, finding in enumerate(findings, start=1):
        drawn = {kind: data for kind, data in pictures(finding, survey).items() if data}
        names = {kind: f"{number:02d}-{kind}.png" for kind in drawn}
        made |= {names[kind]: data for kind, data in drawn.items()}
        next_steps = mitigation_files(finding, survey) if finding.verdict == "confirmed" else {}
        made |= {f"{number:02d}-{name}": data for name, data in next_steps.items()}
        steps = {name: f"{number:02d}-{name}" for name in next_steps}
        pages.append({"finding": finding, "pictures": names, "word": _WORDS[finding.verdict], "steps": steps})
    made["per_input.csv"] = _table(findings, survey)
    made["index.html"] = _page(pages, about)
    try:
        told = shortcuts_document(findings, **about, files=sorted(made))
        write_folder(folder, made, DOCUMENT, _FORMAT, told)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(f"{folder} cannot be written ({reason}); name a folder that can be.") from error
    return folder


def pictures(finding: Finding, survey: Survey) -> dict[str, bytes]:
    """Return a finding's pictures as PNG by what they show; empty where there is nothing to show."""
    candidate = finding.candidate
    return {
        "effects": _effects(finding),
        "exemplars": _exemplars(finding, survey, candidate.exemplars, outlined=True),
        "without": _exemplars(finding, survey, candidate.counter_exemplars, outlined=False),
        "edits": _edits(finding, survey),
        "dose": _dose(finding),
    }


def shown(x: Float[Tensor, "c *spatial"], survey: Survey) -> Float[np.ndarray, "h w 3"]:
    """Return an input of the network as a picture in 0..1, in its own colors; of a volume, the middle slice."""
    low, high = survey.limits
    scaled = ((x - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    if scaled.ndim == 4:
        scaled = scaled[:, scaled.shape[1] // 2]
    picture = scaled if len(scaled) == 3 else scaled.mean(0, keepdim=True).expand(3, *scaled.shape[1:])
    return picture.permute(1, 2, 0).numpy()


def _exemplars(finding: Finding, survey: Survey, rows: Sequence[int], *, outlined: bool) -> bytes:
    rows = list(rows)[:_SHOWN]
    if not rows:
        return b""
    masks = finding.candidate.masks if outlined else None
    panels = [(survey.pixels[r], None if masks is None else masks[r], _title(survey, r)) for r in rows]
    return _strip([panels], survey, [""])


def _edits(finding: Finding, survey: Survey) -> bytes:
    """Return inputs and their edits: a row for every edit, the untouched inputs above each."""
    lines: list[list[tuple[Tensor, Tensor | None, str]]] = []
    names: list[str] = []
    latest: tuple[int, ...] = ()
    for name, (rows, edited) in finding.edits.items():
        if rows != latest and name != "alone":
            lines.append([(survey.pixels[r], None, _title(survey, r)) for r in rows])
            names.append("untouched")
            latest = rows
        lines.append([(x, None, "") for x in edited])
        names.append(name)
    return _strip(lines, survey, names) if lines else b""


def _strip(lines: Sequence[Sequence[tuple[Tensor, Tensor | None, str]]], survey: Survey, names: Sequence[str]) -> bytes:
    """Return pictures in rows, each with its title, those of masks outlined; signals as lines."""
    from matplotlib.figure import Figure

    across = max(len(line) for line in lines)
    figure = Figure(figsize=(1.7 * across + 1.1, 1.75 * len(lines)), layout="constrained", facecolor="white")
    axes = np.asarray(figure.subplots(len(lines), across, squeeze=False))
    for row, (line, name) in enumerate(zip(lines, names, strict=True)):
        for column in range(across):
            panel = axes[row, column]
            panel.set_xticks([])
            panel.set_yticks([])
            if column >= len(line):
                panel.axis("off")
                continue
            x, mask, title = line[column]
            _draw(panel, x, mask, survey)
            panel.set_title(literal(title), fontsize=7)
        axes[row, 0].set_ylabel(literal(name), fontsize=7)
    return _png(figure)


def _draw(panel: Any, x: Tensor, mask: Bool[Tensor, "*spatial"] | None, survey: Survey) -> None:
    if x.ndim == 2:
        panel.plot(x.T.numpy(), linewidth=0.7)
        if mask is not None:
            panel.fill_between(range(x.shape[1]), 0, 1, where=mask.numpy(), color=_OUTLINE, alpha=0.3,
                               transform=panel.get_xaxis_transform())  # fmt: skip
        return
    panel.imshow(shown(x, survey), interpolation="nearest")
    if mask is not None and bool(mask.any()) and not bool(mask.all()):
        flat = mask if mask.ndim == 2 else mask[mask.shape[0] // 2]
        if bool(flat.any()) and not bool(flat.all()):
            panel.contour(flat.float().numpy(), levels=[0.5], colors=[_OUTLINE], linewidths=1.2)


def _effects(finding: Finding) -> bytes:
    """Return every experiment's effect with its interval, the margin shaded."""
    if not finding.effects:
        return b""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 0.42 * len(finding.effects) + 1.0), layout="constrained", facecolor="white")
    panel = figure.subplots()
    margin = finding.result.margin
    panel.axvspan(-margin, margin, color="0.9", label="too small to matter")
    panel.axvline(0, color="0.5", linewidth=0.8)
    for place, one in enumerate(finding.effects.values()):
        low, high = (
            value if np.isfinite(value) else one.interval.estimate for value in (one.interval.low, one.interval.high)
        )
        panel.plot([low, high], [place, place], color="#08519c", linewidth=2)
        panel.plot([one.interval.estimate], [place], "o", color="#08519c")
    named = [literal(f"{name}, n = {one.n}") for name, one in finding.effects.items()]
    panel.set_yticks(range(len(named)), named)
    panel.invert_yaxis()
    panel.set_xlabel("change of the log odds against the control, standard deviations", fontsize=8)
    panel.tick_params(labelsize=8)
    panel.legend(fontsize=7, loc="best", frameon=False)
    return _png(figure)


def _dose(finding: Finding) -> bytes:
    if not finding.dose:
        return b""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.2, 2.6), layout="constrained", facecolor="white")
    panel = figure.subplots()
    for marker, (name, (doses, effects)) in zip("os^vD", finding.dose.items(), strict=False):
        panel.plot(doses, effects, marker=marker, markersize=4, label=literal(name))
    panel.set_xlabel("dose (1: all of it)", fontsize=8)
    panel.set_ylabel("change of the log odds, sd", fontsize=8)
    panel.tick_params(labelsize=8)
    panel.legend(fontsize=7, frameon=False)
    return _png(figure)


def _png(figure: Any) -> bytes:
    buffer = io.BytesIO()
    with mpl.rc_context():
        figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None})
    return buffer.getvalue()


def _title(survey: Survey, row: int) -> str:
    label, decided = (survey.model.label(int(one[row])) for one in (survey.labels, survey.decided))
    return f"{label}, named {decided}" if label != decided else label


def _table(findings: Sequence[Finding], survey: Survey) -> bytes:
    """Return one row per input: what it is, and for each candidate whether it has it and what the experiments did."""
    columns: dict[str, Sequence[Any]] = {
        "input": [one.name for one in survey.explanation.inputs],
        survey.cluster_name if survey.cluster_name != "input" else "cluster": list(survey.clusters),
        "label": [survey.model.label(int(one)) for one in survey.labels],
        "decision": [survey.model.label(int(one)) for one in survey.decided],
    }
    for finding in findings:
        name = finding.candidate.name
        columns[f"{name}: present"] = finding.candidate.present.int().tolist()
        columns |= {f"{name}: {kind}": one.values.tolist() for kind, one in finding.effects.items()}
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    rows = zip(*(plain(list(values)) for values in columns.values()), strict=True)
    writer.writerows([["" if one is None else one for one in row] for row in rows])
    return text.getvalue().encode()


def _page(pages: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> bytes:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["interval"] = interval_text
    environment.filters["number"] = lambda value: "none" if value != value else f"{value:.3g}"
    template = (files("heatproof.report") / "shortcuts.html.jinja").read_text(encoding="utf-8")
    return environment.from_string(template).render(pages=pages, about=plain(dict(about))).encode()
