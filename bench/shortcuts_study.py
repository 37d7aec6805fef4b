"""`make shortcuts-study`: how often are planted shortcuts found and confirmed, and how often is there a false alarm?

    python -m bench.shortcuts_study                                     80 minutes of CPU time; may be interrupted
    python -m bench.shortcuts_study --look smooth --seeds 1             the look that thresholds were set on, quickly

Networks of three architectures are trained on dermoscopy-like pictures in which an artifact goes with the label 95 to
5 (planted), or lies on half of both (null), or goes with it but was taken out before training (association without
use). Nothing is named: `find_shortcuts` looks for itself, on pictures of a generator that no threshold was set on.

What a network does with an artifact that it had no reason to learn is no matter of how it was trained: a network that
knows no better, or never saw a ruler, may well be moved by one. So it is measured, without any of the code on trial:
each picture is drawn with the artifact and without, and the mean change of the log odds is the truth, in standard
deviations over the pictures that are asked about: the unit in which heatproof tells effects, with the same margin.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from scipy.stats import beta
from torch import nn

from heatproof.inputs.prepare import Preprocess
from heatproof.models import Model
from heatproof.shortcuts import Candidate, Finding, open_survey
from heatproof.shortcuts.find import MARGIN, investigate
from heatproof.synthetic._dermoscopy import LABELS, Lesions, draw
from heatproof.synthetic._fit import ARCHITECTURES, fit

RESULTS = Path(__file__).parent / "results" / "shortcuts_study.json"
KINDS = ("ruler", "sticker", "ink", "tint", "blur")
PLANTED = {"null": ("ruler", "sticker"), "inpainted": ("ruler",), "two": ("sticker", "ink")}
GLOBAL = {"tint": {"color cast", "brightness"}, "blur": {"sharpness", "contrast", "compression"}}
"""Cues that a global artifact changes."""
CUE = {"smooth": 0.35, "grainy": 0.055}
"""Strength of the true cue, weak: a network without a shortcut names seven to eight pictures of ten rightly."""
LEARNED, EPOCHS, SEEN = 400, 6, 200
UNUSED = ("null", "inpainted")
"""Here the true cue is twice as strong and seen twice as often, so that networks learn it and lean on little else."""
RIGHT = 0.7
"""Share of the inputs said to show a candidate in which it must lie on an artifact, to be that artifact."""
NEVER = (0.5, 0.5)
HAIRS = {"hairs": NEVER}
OFTEN = (0.05, 0.95)


def main() -> None:
    """Run every problem, count, and write the counts down."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.shortcuts_study", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--look", choices=["smooth", "grainy"], default="grainy")
    parser.add_argument("--seeds", type=int, default=4, help="for each architecture and artifact")
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    jobs = [
        (kind, architecture, seed, args.look)
        for seed in range(args.seeds)
        for architecture in ARCHITECTURES
        for kind in (*KINDS, "null", "inpainted", "two")
    ]
    rows = kept(args.out)
    done = {(row["kind"], row["architecture"], row["seed"], row["look"]) for row in rows}
    waiting = [job for job in jobs if job not in done]
    command = f"python -m bench.shortcuts_study --look {args.look} --seeds {args.seeds}"
    if waiting:
        with ProcessPoolExecutor(args.workers, get_context("spawn"), torch.set_num_threads, (1,)) as pool:
            found = pool.map(problem, *zip(*waiting, strict=True))
            for row in track(found, total=len(waiting), description="problems"):
                rows.append(row)
                print(json.dumps(row), flush=True)
                write(args.out, rows, command)
    print(json.dumps(summary(rows), indent=1))


def kept(file: Path) -> list[dict[str, Any]]:
    """Return the problems that an interrupted run, by the same versions, has done already."""
    told: Any = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return told["problems"] if told.get("versions") == versions() else []


def write(file: Path, rows: list[dict[str, Any]], command: str) -> None:
    """Write down all that was found so far."""
    told = {
        "date": datetime.now(UTC).date().isoformat(),
        "command": command,
        "versions": versions(),
        "settings": {"learned": LEARNED, "epochs": EPOCHS, "asked": SEEN, "cue": CUE, "more where unused": 2},
        "summary": summary(rows),
        "problems": rows,
    }
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def versions() -> dict[str, str]:
    """Return what results may depend on."""
    return {name: version(name) for name in ("heatproof", "torch")}


def problem(kind: str, architecture: str, seed: int, look: Any) -> dict[str, Any]:
    """Return what becomes of one problem.

    Hairs lie on half of all pictures, so that thin dark lines as such need mean nothing to any network. Whether they do
    all the same is measured as for the others: a network that reads ink may well take hairs for some.
    """
    planted = PLANTED.get(kind, (kind,))
    odds = NEVER if kind == "null" else (0.2, 0.8) if kind == "two" else OFTEN
    more = 2 if kind in UNUSED else 1
    cue = more * CUE[look]
    seen = draw(SEEN, 20_000 + seed, dict.fromkeys(planted, odds) | HAIRS, cue=cue, look=look)
    there = HAIRS if kind == "inpainted" else dict.fromkeys(planted, odds) | HAIRS
    learned = draw(more * LEARNED, 10_000 + seed, there, cue=cue, look=look)
    net = fit(learned.pictures, learned.labels, seed=seed, epochs=more * EPOCHS, architecture=architecture)
    model = Model(net, preprocess=Preprocess(mean=(0.5,) * 3, std=(1.0,) * 3), labels=LABELS)
    survey = open_survey(
        model, list(seen.pictures), seen.labels.tolist(), annotations=list(seen.lesion.numpy()), seed=seed
    )
    # what is not used is named as well: the verdict should be "not reliant"
    masks = {name: list(seen.masks[name].numpy()) for name in planted} if kind in UNUSED else {}
    findings = investigate(survey, artifacts=masks)
    used = [] if kind in UNUSED else list(planted)
    truth = {
        name: moved(net, name, draw(SEEN, 30_000 + seed, {name: NEVER}, cue=cue, look=look)) / survey.spread(1)
        for name in (*planted, *HAIRS)
    }
    real = [name for name in truth if name in used or abs(truth[name]) > MARGIN]
    matched = {name: [one for one in findings if matches(one.candidate, name, seen)] for name in used}
    confirmed = [one for one in findings if one.verdict == "confirmed"]
    return {
        "kind": kind,
        "architecture": architecture,
        "seed": seed,
        "look": look,
        "accuracy": round(float((survey.decided == survey.labels).float().mean()), 3),
        "planted": len(used),
        "found": sum(bool(one) for one in matched.values()),
        "confirmed": sum(any(f.verdict == "confirmed" for f in one) for one in matched.values()),
        "moved by": {name: round(shift, 3) for name, shift in truth.items()},
        "false alarms": [f.candidate.name for f in confirmed if not is_any(f.candidate, real, seen)],
        "named": {one.candidate.name: one.verdict for one in findings if one.candidate.origin == "given"},
        "candidates": [told(one) for one in findings],
        "forwards per input": round(sum(one.result.forwards for one in findings), 1),
    }


def moved(net: nn.Module, name: str, drawn: Lesions) -> float:
    """Return by how much the artifact itself moves the log odds, where it was drawn."""
    with torch.inference_mode():
        with_it, without = (net(x - 0.5).diff(dim=1)[:, 0] for x in (drawn.pictures, drawn.plain))
    return float((with_it - without)[drawn.has[name]].mean())


def matches(candidate: Candidate, name: str, seen: Lesions) -> bool:
    """Say whether a candidate is this artifact: the cue that it changes, or regions that lie on it where it is."""
    if candidate.kind == "global":
        return candidate.name in GLOBAL.get(name, set())
    if candidate.masks is None or name in GLOBAL:
        return False
    truth, has = seen.masks[name], seen.has[name]
    touched = (candidate.masks & truth).flatten(1).any(1) & has
    hit = float(touched.sum()) / max(1, int(has.sum()))
    right = float(touched.sum()) / max(1, int(candidate.present.sum()))
    return hit >= 0.2 and right >= RIGHT  # the two colors of stickers may be two candidates


def is_any(candidate: Candidate, names: list[str], seen: Lesions) -> bool:
    """Say whether a candidate is one of these artifacts, or regions that lie on some of them and on little else."""
    if any(matches(candidate, name, seen) for name in names):
        return True
    places = [name for name in names if name not in GLOBAL]
    if candidate.kind == "global" or candidate.masks is None or not places:
        return False
    on = [(candidate.masks & seen.masks[name]).flatten(1).any(1) & seen.has[name] for name in places]
    return float(torch.stack(on).any(0).sum()) >= RIGHT * int(candidate.present.sum())


def told(finding: Finding) -> dict[str, Any]:
    """Return a finding in short."""
    value = finding.result.value
    return {
        "name": finding.candidate.name,
        "verdict": finding.verdict,
        "effect": None if value is None else [round(value.estimate, 2), round(value.low, 2), round(value.high, 2)],
        "why": finding.result.why,
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the counts, with one-sided 95 % bounds (Clopper and Pearson 1934)."""
    planted = sum(row["planted"] for row in rows)
    found, confirmed = (sum(row[name] for row in rows) for name in ("found", "confirmed"))
    alarms = sum(bool(row["false alarms"]) for row in rows)
    return {
        "by kind": {
            kind: {
                name: sum(
                    len(row[name]) if isinstance(row[name], list) else row[name] for row in rows if row["kind"] == kind
                )
                for name in ("planted", "found", "confirmed", "false alarms")
            }
            for kind in dict.fromkeys(row["kind"] for row in rows)
        },
        "unused artifacts": {
            told: {
                "named": len(verdicts),
                **{verdict: verdicts.count(verdict) for verdict in sorted(set(verdicts))},
            }
            for told, verdicts in (
                ("that move the network by less than the margin", unused(rows, moving=False)),
                ("that move it by more", unused(rows, moving=True)),
            )
        },
        "two at once": both(rows),
        "problems": len(rows),
        "planted": planted,
        "found": found,
        "found, at least": round(lower(found, planted), 3),
        "confirmed": confirmed,
        "confirmed, at least": round(lower(confirmed, planted), 3),
        "problems with a false alarm": alarms,
        "false alarms, at most": round(upper(alarms, len(rows)), 3),
        "problems with a planted one confirmed that moves the network by less than the margin": (idle := idlers(rows)),
        "both, at most": round(upper(alarms + idle, len(rows)), 3),
        "most forwards per input": max(row["forwards per input"] for row in rows),
    }


def both(rows: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    """Return in how many networks that two artifacts were planted for both were found, and confirmed."""
    pairs = [row for row in rows if row["planted"] == 2]
    used = [row for row in pairs if all(row["moved by"][name] > MARGIN for name in PLANTED["two"])]
    return {
        told: {
            "networks": len(some),
            **{f"both {what}": sum(row[what] == 2 for row in some) for what in ("found", "confirmed")},
        }
        for told, some in (("all", pairs), ("that both move by more than the margin", used))
    }


def idlers(rows: list[dict[str, Any]]) -> int:
    """Return how many networks a confirmed artifact was planted for that the generator's own pictures clear."""
    single = [row for row in rows if row["planted"] == 1 and row["confirmed"] == 1]
    return sum(abs(row["moved by"][row["kind"]]) <= MARGIN for row in single)


def unused(rows: list[dict[str, Any]], *, moving: bool) -> list[str]:
    """Return the verdicts on named artifacts that no network was taught, and that move it, or do not."""
    return [
        verdict
        for row in rows
        for name, verdict in row["named"].items()
        if (abs(row["moved by"][name]) > MARGIN) is moving
    ]


def upper(count: int, n: int) -> float:
    """Return the one-sided upper 95 % bound of a rate."""
    return 1.0 if count == n else float(beta.ppf(0.95, count + 1, n - count))


def lower(count: int, n: int) -> float:
    """Return the one-sided lower 95 % bound of a rate."""
    return 0.0 if count == 0 else float(beta.ppf(0.05, count, n - count + 1))


if __name__ == "__main__":
    main()
