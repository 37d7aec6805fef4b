"""Documents to draw: a real one of the bundled lesion networks, and a huge one."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import heatproof as hp
from heatproof.demo import lesions
from heatproof.report.audit.document import (
    Answer,
    Document,
    Failure,
    Flow,
    Group,
    Performance,
    Picture,
    Shortcut,
)
from heatproof.report.color import Scale
from heatproof.report.shortcuts import _edits, _exemplars
from heatproof.shortcuts import Finding, Survey, open_survey
from heatproof.shortcuts.find import investigate
from heatproof.synthetic._dermoscopy import LABELS, draw
from heatproof.types import CheckResult, Interval

CHEAP = {
    "sanity": {"draws": 2, "cascades": [], "cascade_draws": 1},
    "faithfulness": {"nulls": (2, 2, 1), "subsets": 4, "steps": 8},
}
"""Settings that make the checks quick."""


def wilson(right: int, n: int) -> Interval:
    """Wilson's interval of a share at 95 %."""
    z, share = 1.959964, right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return Interval(share, float(middle - half), float(middle + half))


def lesion_document(
    name: str, folder: Path, *, survey: int = 120, checked: int = 32, checks: tuple[str, ...] = tuple(CHEAP)
) -> Document:
    """Ask questions of a bundled lesion network, shortcuts always, and write the pictures that the report shows."""
    model = hp.load(f"bundled:{name}")
    seen = draw(survey, 3, lesions.ARTIFACTS["ordinary"], cue=lesions.CUE)
    # the network takes pictures with 0.5 taken off
    with torch.inference_mode():
        chances = model.net(seen.pictures - 0.5).softmax(1)
    results: list[CheckResult] = []
    if checks:
        results = hp.check(
            model,
            list(seen.pictures[:checked]),
            [*checks, "plausibility"],
            annotations=list(seen.lesion[:checked].numpy()),
            settings={check: CHEAP[check] for check in checks},
        )
    opened = open_survey(model, list(seen.pictures), seen.labels.tolist(), annotations=list(seen.lesion.numpy()))
    findings = investigate(opened)
    shortcuts = [shortcut(one, opened, folder, number) for number, one in enumerate(findings)]
    return document(name, folder, seen, chances, results, shortcuts, checks)


def shortcut(finding: Finding, survey: Survey, folder: Path, number: int) -> Shortcut:
    """Return a finding as the report draws it; its pictures are written."""
    drawn = {
        "exemplars": _exemplars(finding, survey, finding.candidate.exemplars, outlined=True),
        "edits": _edits(finding, survey),
    }
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    files = {kind: f"pictures/shortcut-{number}-{kind}.png" for kind, data in drawn.items() if data}
    for kind, file in files.items():
        (folder / file).write_bytes(drawn[kind])
    return Shortcut(
        name=finding.candidate.name,
        label=survey.model.label(finding.candidate.label),
        origin=finding.candidate.origin,
        verdict=finding.verdict,
        result=finding.result,
        effects={name: one.interval for name, one in finding.effects.items()},
        flips={name: one.flips for name, one in finding.effects.items()},
        prevalence=finding.table,
        subgroups=finding.subgroups,
        pictures=files,
    )


def document(
    name: str,
    folder: Path,
    seen: Any,
    chances: torch.Tensor,
    results: list[CheckResult],
    shortcuts: list[Shortcut],
    checks: tuple[str, ...],
) -> Document:
    """Return the document of a lesion network."""
    model = hp.load(f"bundled:{name}")
    labels, predicted = seen.labels, chances.argmax(1)
    gallery = [
        picture(model, seen, chances, row, why, folder) for why, row in shown(labels.tolist(), predicted.tolist())
    ]
    by_site = [("site", site, [i for i in range(len(labels)) if i % 2 == s]) for s, site in enumerate(("A", "B"))]
    by_class = [("class", one, (labels == c).nonzero().flatten().tolist()) for c, one in enumerate(LABELS)]
    return Document(
        title=f"Audit of {name}",
        model=f"bundled:{name}",
        data="lesions, ordinary",
        intended_use="Research: tell malignant from benign drawn lesions.",
        split="test",
        warnings=(),
        performance=Performance(
            classes=LABELS,
            positive="malignant",
            threshold=0.5,
            whole=Group("all", "all", len(labels), measures(labels, predicted, chances)),
            groups=tuple(
                Group(by, value, len(rows), {"accuracy": wilson(int((predicted == labels)[rows].sum()), len(rows))})
                for by, value, rows in by_class + by_site
            ),
            confusion=tuple(tuple(int(((labels == t) & (predicted == p)).sum()) for p in range(2)) for t in range(2)),
            reliability=reliability(labels, predicted, chances),
        ),
        answers=[
            *(Answer(one, primary=True) for one in results),
            *(Answer(one, primary=False, subgroup=("outcome", "correct")) for one in results[-1:]),
        ],
        shortcuts=shortcuts,
        asked=(*(one.check for one in results), "shortcuts"),
        not_asked={} if checks else dict.fromkeys((*CHEAP, "plausibility"), "It takes longer than a test may."),
        flow=Flow(planned=len(labels) + 3, excluded={"cannot be read": 2, "of another size": 1}, analyzed=len(labels)),
        gallery=gallery,
        failures=[Failure("5fa1c2", "read", "The picture ends before its last row."), Failure("77e0aa", "read", "?")],
        plan={"alpha": 0.05, "primary": {"sanity": {"margin": 0.15}}, "method": "gradcam", "layer": "stages.3"},
        deviations=("2 of 123 planned inputs could not be read.",),
        provenance={"heatproof": hp.__version__, "weights sha256": model.weights_sha256(), "device": "cpu", "seed": 0},
        folder=str(folder),
    )


def shown(labels: list[int], predicted: list[int]) -> list[tuple[Any, int]]:
    """Return why and which inputs the gallery shows."""
    right = [i for i, (a, b) in enumerate(zip(labels, predicted, strict=True)) if a == b and a == 1]
    wrong = [i for i, (a, b) in enumerate(zip(labels, predicted, strict=True)) if a != b]
    return [
        *(("best", i) for i in right[:3]),
        *(("worst", i) for i in right[3:5]),
        *(("flagged", i) for i in right[5:6]),
        *(("false positive" if labels[i] == 0 else "false negative", i) for i in wrong[:3]),
    ]


def measures(labels: torch.Tensor, predicted: torch.Tensor, chances: torch.Tensor) -> dict[str, Interval]:
    """Return the measures of performance with intervals by hand."""
    right, malignant = predicted == labels, labels == 1
    area = float((chances[malignant, 1][:, None] > chances[~malignant, 1][None]).double().mean())
    error = float((chances.max(1).values - right.float()).mean().abs())
    return {
        "accuracy": wilson(int(right.sum()), len(labels)),
        "AUROC": Interval(area, area - 0.02, min(1.0, area + 0.012)),
        "sensitivity": wilson(int(right[malignant].sum()), int(malignant.sum())),
        "specificity": wilson(int(right[~malignant].sum()), int((~malignant).sum())),
        "calibration error": Interval(error, error * 0.5, error + 0.03),
    }


def reliability(
    labels: torch.Tensor, predicted: torch.Tensor, chances: torch.Tensor
) -> tuple[tuple[float, float, int], ...]:
    """Return mean confidence, share right and count of ten bins."""
    top, right = chances.max(1).values, (predicted == labels).float()
    rows = [(top >= low / 10) & (top < low / 10 + 0.1 + (low == 9)) for low in range(10)]
    return tuple((float(top[r].mean()), float(right[r].mean()), int(r.sum())) for r in rows if r.any())


def picture(model: Any, seen: Any, chances: torch.Tensor, row: int, why: Any, folder: Path) -> Picture:
    """Write one picture and its maps for both classes, enlarged three times."""
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    ex = hp.explain(model, [seen.pictures[row]], target=[[0, 1]])
    heat = ex.heatmaps()[0].numpy()
    top = max(float(heat.max()), 1e-9)
    base = f"pictures/{row}.png"
    Image.fromarray(_bytes(seen.pictures[row].permute(1, 2, 0).numpy())).resize((192, 192)).save(folder / base)
    maps: dict[str, str] = {}
    for label, values in zip(LABELS, heat, strict=True):
        maps[label] = f"pictures/{row}-{label}.png"
        (folder / maps[label]).write_bytes(evidence(values, top))
    label, predicted = int(seen.labels[row]), int(chances[row].argmax())
    outcome = "correct" if label == predicted else ("false positive" if label == 0 else "false negative")
    return Picture(
        id=f"{row:06x}", why=why, label=LABELS[label], predicted=LABELS[predicted],
        probability=float(chances[row].max()), outcome=outcome, flags=("all-negative",) if why == "flagged" else (),
        base=base, maps=maps, scale=top, units="logit evidence", values={"superiority": 0.8},
    )  # fmt: skip


def evidence(values: np.ndarray, top: float) -> bytes:
    """Return positive evidence in color on transparent ground."""
    scale = Scale(top, 0.15)
    alpha = scale.drawn(values)[..., None] * np.uint8(255)
    image = Image.fromarray(np.concatenate([scale.colors(values), alpha.astype(np.uint8)], axis=-1))
    buffer = io.BytesIO()
    image.resize((192, 192), Image.Resampling.BILINEAR).save(buffer, "PNG")
    return buffer.getvalue()


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
