"""Documents made by hand: every field filled, verdicts as a test wants them."""

from dataclasses import replace
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from heatproof.report.audit.document import Answer, Document, Failure, Flow, Group, Performance, Picture, Shortcut
from heatproof.types import CheckResult, Interval

HOSTILE = """<script>document.title='taken'</script><img src=x onerror="document.title='taken'">"'&|`"""
SAYS = {"confirmed": "undermines", "not reliant": "supports"}


def result(check: str, verdict: str, **changes: Any) -> CheckResult:
    given: dict[str, Any] = {
        "check": check, "claim": f"The claim of {check}.", "about": "map", "statistic": f"statistic of {check}",
        "value": Interval(0.8, 0.7, 0.9), "null": Interval(0.5, 0.5, 0.5), "null_name": "chance", "ceiling": None,
        "margin": 0.1, "alpha": 0.05, "n": 40, "unit": "input", "verdict": verdict, "why": f"Why of {check}.",
        "n_needed": 70 if verdict == "inconclusive" else None,
    }  # fmt: skip
    return CheckResult(**{**given, **changes})


def shortcut(verdict: str, name: str = "ruler", **changes: Any) -> Shortcut:
    given: dict[str, Any] = {
        "name": name, "label": "malignant", "origin": "found", "verdict": verdict,
        "result": result("shortcuts", {"confirmed": "undermines"}.get(verdict, "inconclusive"), why=f"Why of {name}."),
        "effects": {"remove (donor)": Interval(1.3, 1.1, 1.5), "paste (against neutral)": Interval(0.8, nan, nan)},
        "flips": {"remove (donor)": (0.82, 0.0), "paste (against neutral)": (0.9, 0.23), "alone": (nan, nan)},
        "prevalence": {"with": {"benign": 1, "malignant": 17}, "odds ratio": Interval(79.0, 4.4, 1413.0)},
        "subgroups": {"accuracy with": 0.99, "accuracy without": 0.61, "accuracy of benign with": nan},
        "pictures": {},
    }  # fmt: skip
    return Shortcut(**{**given, **changes})


def document(
    folder: Path | str = ".",
    sanity: str | None = "supports",
    faithfulness: str | None = "supports",
    plausibility: str | None = "supports",
    shortcuts: str | None = "not reliant",
    **changes: Any,
) -> Document:
    """Return a document with these verdicts; None: not asked."""
    asked = {"sanity": sanity, "faithfulness": faithfulness, "plausibility": plausibility}
    answers = [Answer(result(name, verdict), primary=True) for name, verdict in asked.items() if verdict]
    made = Document(
        title="Audit of a model", model="bundled:dab", data="tiles", intended_use="Research.", split="test",
        warnings=[], performance=performance(), answers=answers,
        shortcuts=None if shortcuts is None else [shortcut(shortcuts)] if shortcuts else [],
        asked=[name for name, verdict in asked.items() if verdict], not_asked={"plausibility": "no annotations"},
        flow=Flow(103, {"cannot be read": 3}, 100), gallery=[], failures=[Failure("a1", "read", "It is cut short.")],
        plan={"alpha": 0.05, "primary": {"sanity": {"margin": 0.15}}}, deviations=[],
        provenance={"heatproof": "0", "seed": 0, "nothing": None}, folder=str(folder),
    )  # fmt: skip
    return replace(made, **changes)


def performance(**changes: Any) -> Performance:
    whole = {
        "accuracy": Interval(0.97, 0.92, 0.99), "AUROC": Interval(0.99, 0.98, 1.0),
        "sensitivity": Interval(0.98, 0.91, 1.0), "specificity": Interval(0.95, 0.86, 0.98),
        "calibration error": Interval(0.02, 0.01, 0.04),
    }  # fmt: skip
    groups = tuple(
        Group("site", site, 50, {"accuracy": Interval(share, share - 0.05, share + 0.02)})
        for site, share in (("A", 0.96), ("B", 0.95))
    )
    made = Performance(
        ("benign", "malignant"), "malignant", 0.5, Group("all", "all", 100, whole), groups, ((48, 2), (1, 49)),
        ((0.6, 0.5, 10), (0.95, 0.99, 90)),
    )  # fmt: skip
    return replace(made, **changes)


def picture(number: int, folder: Path, side: int = 96, **changes: Any) -> Picture:
    """Write a picture and two maps, hard to compress, and return how the gallery has them."""
    generator = np.random.default_rng(number)
    small = generator.integers(0, 256, (side // 4, side // 4, 3), dtype=np.uint8)
    base = Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)
    names = {"base": f"{number}.jpg", "benign": f"{number}-0.png", "malignant": f"{number}-1.png"}
    base.save(folder / names["base"], quality=92)
    for name in ("benign", "malignant"):
        heat = generator.integers(0, 256, (7, 7, 4), dtype=np.uint8)
        Image.fromarray(heat).resize((side, side), Image.Resampling.BILINEAR).save(
            folder / names[name], compress_level=1
        )
    given: dict[str, Any] = {
        "id": f"{number:010x}", "why": ("best", "worst", "flagged", "disagreement")[number % 4], "label": "benign",
        "predicted": "malignant", "probability": 0.75, "outcome": "false positive", "flags": ("constant",),
        "base": names["base"], "maps": {name: names[name] for name in ("benign", "malignant")}, "scale": 2.5,
        "units": "logit evidence", "values": {"superiority": 0.8},
    }  # fmt: skip
    return Picture(**{**given, **changes})


def huge(folder: Path) -> Document:
    """Return the document of 1,000 inputs with as many left out, and a gallery of 60 large pictures."""
    gallery = [picture(i, folder, side=320) for i in range(60)]
    failures = [Failure(f"{i:010x}", "read", "The picture ends before its last row. " * 3) for i in range(1000)]
    return document(folder, gallery=gallery, failures=failures, flow=Flow(2000, {"cannot be read": 1000}, 1000))


def hostile(folder: Path) -> Document:
    """Return a document in which every text of the data is an attack."""
    bad = HOSTILE
    one = result(bad, "supports", claim=bad, statistic=bad, null_name=bad, why=bad, unit=bad)
    lean = shortcut(
        "confirmed", bad, label=bad, origin=bad, result=one, effects={bad: Interval(1.0, 0.5, 2.0)},
        flips={bad: (0.5, 0.1)}, prevalence={bad: {bad: bad}}, subgroups={bad: 0.5},
    )  # fmt: skip
    shown = picture(
        1, folder, id=bad, label=bad, predicted=bad, flags=(bad,), units=bad, values={bad: 1.0},
        attributes={"Modality": bad}, maps={bad: "1-0.png"},
    )  # fmt: skip
    group = Group(bad, bad, 5, {"accuracy": Interval(0.5, 0.4, 0.6)})
    return replace(
        document(folder), title=bad, model=bad, data=bad, intended_use=bad, split=bad, warnings=[bad],
        performance=performance(classes=(bad, bad), positive=bad, groups=(group,)),
        answers=[
            Answer(replace(one, check="sanity"), primary=True),
            Answer(one, primary=False),
            Answer(one, primary=False, subgroup=(bad, bad)),
        ],
        shortcuts=[lean], not_asked={"faithfulness": bad}, flow=Flow(1, {bad: 1}, 0), gallery=[shown],
        failures=[Failure(bad, bad, bad)], plan={bad: {bad: [bad, {bad: bad}]}}, deviations=[bad],
        provenance={bad: bad},
    )  # fmt: skip
