"""`python -m bench.sanity`: the cascade of random models beside quantus, on the same pictures, in one process.

    python -m bench.sanity               all comparisons, on the CPU; some minutes
    python -m bench.sanity --rounds 1    a quick look

ResNet-18, random weights, eight pictures, Grad-CAM at layer4, drawn anew from the output on. quantus goes layer by
layer (41 of them) and takes one seed a call; here also stage by stage with three seeds, which is the default. quantus
keeps the statistics of normalization layers; taking them anew is one more forward a step. Seconds are per seed. All
numbers are ratios within a round, then the median over rounds.
"""

import argparse
import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench.contenders import Network, versions
from bench.measure import ratio
from rich.console import Console
from rich.table import Table

PEER = "quantus"
SEEDS = 3
"""Of a cascade by stages, by default."""
LAYERS = "every layer, statistics kept"
PROMISES = {
    LAYERS: 3.0,
    "every layer, statistics anew": None,
    "stages, statistics kept": 15.0,
    "stages, statistics anew": None,
}
"""How many times faster than quantus a cascade of one seed is to be; None for what is only measured."""


def ours(net: torch.nn.Module, x: torch.Tensor, layer: str, target: int) -> dict[str, Callable[[], Any]]:
    """Return our cascades, the explanation of the trained network included, as it is in quantus."""
    from heatproof import Explainer
    from heatproof.checks._run import open_study
    from heatproof.checks.sanity import cascade

    def run(every_layer: bool, recalibrate: bool) -> Callable[[], Any]:
        settings: dict[str, Any] = {"every_layer": every_layer, "recalibrate": recalibrate}
        draws = 1 if every_layer else SEEDS
        return lambda: cascade(open_study(Explainer(net, layer), x, target), draws=draws, **settings)

    wanted = [(True, False), (True, True), (False, False), (False, True)]
    return {name: run(*settings) for name, settings in zip(PROMISES, wanted, strict=True)}


def peer(net: torch.nn.Module, x: torch.Tensor, layer: str, target: int) -> Callable[[], Any]:
    """Return quantus's test with captum's Grad-CAM, at the input's size: quantus refuses maps of another."""
    import quantus
    from captum.attr import LayerGradCam

    def explain(model: torch.nn.Module, inputs: Any, targets: Any, **_: Any) -> Any:
        made = LayerGradCam(model, model.get_submodule(layer))
        maps = made.attribute(torch.as_tensor(inputs), torch.as_tensor(targets), relu_attributions=False)
        shown = torch.nn.functional.interpolate(maps.detach(), inputs.shape[2:], mode="bilinear", align_corners=False)
        return shown.numpy()

    def run() -> Any:
        test = quantus.MPRT(
            similarity_func=quantus.similarity_func.correlation_spearman,
            layer_order="top_down", abs=False, normalise=False, disable_warnings=True,
        )  # fmt: skip
        given = {"x_batch": x.numpy(), "y_batch": np.full(len(x), target), "a_batch": None}
        return test(model=net, **given, device="cpu", explain_func=explain)

    return run


def timed(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Return the seconds per seed of each run in every round, in shuffled order; each is long enough."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    names, shuffle = list(runs), random.Random(0).shuffle
    for _ in range(rounds):
        shuffle(names)
        for name in names:
            begin = time.perf_counter()
            runs[name]()
            times[name].append((time.perf_counter() - begin) / (SEEDS if name.startswith("stages") else 1))
    return times


def main() -> int:
    """Measure, print the table, write the JSON; with --strict, exit 1 where a promise is broken."""
    parser = argparse.ArgumentParser(prog="python -m bench.sanity", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--strict", action="store_true", help="exit 1 where a promise is broken")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "sanity.json")
    args = parser.parse_args()
    network = Network("resnet18", "layer4")
    net, twin = network.build("cpu"), network.build("cpu")
    x = torch.randn(args.batch, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    runs = ours(net, x, network.layer, 1)
    steps = {name: len(run()[0]) for name, run in runs.items()}
    layers = len(peer(twin, x[:1], network.layer, 1)()) - 1  # without the trained network
    times = timed(runs | {PEER: peer(twin, x, network.layer, 1)}, args.rounds)
    found = [
        {"what": name, "steps": steps[name], "steps of quantus": layers, "times faster": ratio(times, PEER, name),
         "promised": limit, "held": limit is None or ratio(times, PEER, name) >= limit}
        for name, limit in PROMISES.items()
    ]  # fmt: skip
    table = Table(*found[0])
    for one in found:
        table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in one.values()))
    console = Console(width=140)
    console.print(table)
    about = {"network": "resnet18", "inputs": args.batch, "threads": torch.get_num_threads(), "versions": versions()}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(about | {"comparisons": found, "seconds": times}, indent=1) + "\n")
    console.print(f"written to {args.output}")
    return int(args.strict and not all(one["held"] for one in found))


if __name__ == "__main__":
    raise SystemExit(main())
