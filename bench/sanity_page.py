"""`make sanity-page`: rewrite the generated parts of docs/sanity.md, the textbook claim tested on trained networks.

    HEATPROOF_DATA=FOLDER python -m bench.sanity_page                   photographs and cells, the table and the figure
    python -m bench.sanity_page --inputs 12 --draws 4                   a quick look

Every method is put to `hp.check(..., "sanity")` on the same inputs, for the class that the trained network predicts.
"""

import argparse
import csv
import json
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from bench.methods_page import between
from matplotlib.ticker import MaxNLocator
from rich.progress import track

import heatproof as hp
from heatproof.inputs.prepare import Preprocess
from heatproof.types import CheckResult, Interval
from training import pbc_cells

PAGE = Path(__file__).parents[1] / "docs" / "sanity.md"
FIGURE = PAGE.parent / "images" / "sanity_cascades.png"
METHODS = (
    "gradcam",
    "hirescam",
    "eigencam",
    "gradient",
    "input_x_gradient",
    "guided_backprop",
    "guided_gradcam",
    "input_edges",
    "center_prior",
)
"""The family under test, what the textbook compares it with, and what cannot be about the model."""
STYLES = ("-", "--", "-.", ":")


@dataclass(frozen=True)
class Subject:
    """A trained network and real pictures for it."""

    title: str
    model: Callable[[Path], hp.Model]
    pictures: Callable[[Path, int], list[Path]]


def mobilenet(data: Path) -> hp.Model:
    """Return MobileNetV2 with its ImageNet weights and its own preprocessing."""
    labels = json.loads((data / "weights" / "imagenet_labels.json").read_text(encoding="utf-8"))
    return hp.load(
        f"file:{data / 'weights' / 'mobilenet_v2.safetensors'}",
        arch="torchvision:mobilenet_v2",
        labels=labels,
        preprocess=Preprocess(resize=257, crop=(225, 225), mean=(0.5,) * 3, std=(0.5,) * 3),
    )


def photographs(data: Path, count: int) -> list[Path]:
    """Return photographs of as many classes, evenly through the list."""
    with (data / "photos" / "labels.csv").open(encoding="utf-8") as file:
        return evenly([data / "photos" / row["file"] for row in csv.DictReader(file)], count)


def cells(count: int) -> list[Path]:
    """Return held-out cells, evenly through the classes."""
    return evenly([path for path, _ in pbc_cells.files("test")], count)


def evenly(files: list[Path], count: int) -> list[Path]:
    """Return `count` of the files at equal steps."""
    return [files[i * len(files) // count] for i in range(min(count, len(files)))]


SUBJECTS = (
    Subject("MobileNetV2 (ImageNet), photographs", mobilenet, photographs),
    Subject(
        "the bundled cell network, held-out blood cells", lambda _: hp.load("bundled:cells"), lambda _, n: cells(n)
    ),
)


def main() -> None:
    """Run the check on every network and method, and rewrite what lies between the page's markers."""
    args = arguments()
    torch.set_num_threads(args.threads)
    data = Path(os.environ["HEATPROOF_DATA"])
    found = {subject.title: run(subject, data, args) for subject in SUBJECTS}
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(between(page, "table", table(found, args)), encoding="utf-8")
    draw(found)
    print(f"written to {PAGE} and {FIGURE}")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.sanity_page", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--inputs", type=int, default=40)
    parser.add_argument("--draws", type=int, default=20, help="random networks for the verdict")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def run(subject: Subject, data: Path, args: argparse.Namespace) -> dict[str, CheckResult]:
    """Return the check's result for every method."""
    model = subject.model(data)
    x = subject.pictures(data, args.inputs)
    settings = {"draws": args.draws, "cascades": ["top-down"], "cascade_draws": 3}
    return {
        method: hp.check(model, x, "sanity", method=method, settings={"sanity": settings})[0]
        for method in track(METHODS, description=subject.title)
    }


def table(found: dict[str, dict[str, CheckResult]], args: argparse.Namespace) -> str:
    """Return one table per network, with how it was made."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("heatproof", "torch", "torchvision"))
    lines = [
        f"Made by `make sanity-page` on {datetime.now(UTC).date()}: {versions}, Python {platform.python_version()}; "
        f"{args.inputs} pictures, {args.draws} random networks, normalization statistics taken anew."
    ]
    for title, results in found.items():
        lines += [
            "",
            f"**{title}**",
            "",
            "| method | random weights | other pictures | jitter | head alone | verdict | head alone, verdict |",
            "|---|---|---|---|---|---|---|",
            *(row(method, result) for method, result in results.items()),
        ]
    return "\n".join(lines)


def row(method: str, result: CheckResult) -> str:
    """Return one method's line."""
    head: dict[str, Any] = result.details.get("head alone", {})
    values = [result.value, result.null, result.ceiling, head.get("S_rand")]
    cells = [told(value) for value in values]
    return f"| `{method}` | {' | '.join(cells)} | **{result.verdict}** | {head.get('verdict', '')} |"


def told(value: Interval | None) -> str:
    """Return an estimate with its interval."""
    if value is None or value.estimate != value.estimate:
        return "none"
    return f"{value.estimate:.2f} ({value.low:.2f}-{value.high:.2f})"


def draw(found: dict[str, dict[str, CheckResult]]) -> None:
    """Draw |rho| over the stages drawn anew from the output down, a panel per network."""
    figure, panels = plt.subplots(1, len(found), figsize=(6.2 * len(found), 4.4), sharey=True, layout="constrained")
    for panel, (title, results) in zip(panels, found.items(), strict=True):
        for number, (method, result) in enumerate(results.items()):
            if "top-down" not in result.curves:
                continue
            x, y = result.curves["top-down"]
            panel.plot([0, *x], [1.0, *y], STYLES[number // 3 % len(STYLES)], marker=".", label=method)
        panel.set(title=title, xlabel="stages with random weights, from the output", ylim=(0, 1.03))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].set_ylabel("|Spearman rho| with the trained map, mean")
    figure.legend(*panels[-1].get_legend_handles_labels(), fontsize=8, loc="outside right center")
    FIGURE.parent.mkdir(exist_ok=True)
    figure.savefig(FIGURE, dpi=110)


if __name__ == "__main__":
    main()
