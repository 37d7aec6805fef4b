"""`make methods-verdicts`: put every method to the checks on real cells, for two columns of docs/methods.md.

    HEATPROOF_DATA=FOLDER python -m bench.methods_verdicts              FOLDER/pbc holds the cells; an hour on one core
    python -m bench.methods_verdicts --inputs 12 --draws 4 --only gradcam eigencam

Sanity and faithfulness of every method on the same held-out cells, for the class that the bundled network predicts.
Methods that need attention are left out: no trained network with attention comes with the package. What is found is
merged into bench/results/methods_verdicts.json after every method, so that a run that is cut short loses nothing.
"""

import argparse
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from bench.methods_page import plugins
from bench.sanity_page import cells
from rich.progress import track

import heatproof as hp
from heatproof.plugins import Plugin
from heatproof.types import CheckResult

RESULTS = Path(__file__).parent / "results" / "methods_verdicts.json"
COSTLY: Mapping[str, Mapping[str, int]] = {
    "rise": {"masks": 200},
    "is_cam": {"steps": 2},
    "ss_cam": {"copies": 2},
    "integrated_gradients": {},
    "scorecam": {},
    "smoothgrad": {},
    "smoothgradcam_plusplus": {},
    "occlusion": {},
}
"""Methods of many forwards are put to the checks with fewer inputs and random networks, some with fewer repetitions."""
FEW = (12, 5)


def main() -> None:
    """Check every method and record the verdicts."""
    args = arguments()
    torch.set_num_threads(1)
    model = hp.load("bundled:cells")
    found: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    chosen = {name: plugin for name, plugin in plugins(needs=None).items() if not args.only or name in args.only}
    for plugin in track(sorted(chosen.values(), key=lambda one: one.name in COSTLY), description="methods"):
        found[plugin.name] = verdicts(model, plugin, *(FEW if plugin.name in COSTLY else (args.inputs, args.draws)))
        RESULTS.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(plugin.name, {k: found[plugin.name][k]["verdict"] for k in ("sanity", "faithfulness")}, flush=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.methods_verdicts", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--inputs", type=int, default=24)
    parser.add_argument("--draws", type=int, default=20, help="random networks for sanity")
    parser.add_argument("--only", nargs="+", metavar="METHOD", help="leave the others as they are")
    return parser.parse_args()


def verdicts(model: hp.Model, plugin: Plugin, inputs: int, draws: int) -> dict[str, Any]:
    """Return what both checks find of one method."""
    settings = COSTLY.get(plugin.name, {})
    results = hp.check(
        model,
        cells(inputs),
        ["sanity", "faithfulness"],
        method=plugin.name,
        settings={"sanity": {"draws": draws, "cascades": [], "cascade_draws": 1}},
        **settings,
    )
    return {
        **{result.check: told(result) for result in results},
        "inputs": inputs,
        "draws": draws,
        "settings": dict(settings),
        "date": str(datetime.now(UTC).date()),
        "versions": {name: version(name) for name in ("heatproof", "torch")},
    }


def told(result: CheckResult) -> dict[str, Any]:
    """Return a verdict with its estimates."""
    head: Mapping[str, Any] = result.details.get("head alone", {})
    value, null = result.value, result.null
    return {
        "verdict": result.verdict,
        "head alone": head.get("verdict"),
        "value": value and [round(value.estimate, 3), round(value.low, 3), round(value.high, 3)],
        "null": null and round(null.estimate, 3),
        "why": result.why,
    }


if __name__ == "__main__":
    main()
