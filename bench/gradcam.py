"""`make bench`: what Grad-CAM costs beside the plain forward, here and with the peers, in one process.

    python -m bench.gradcam                           the five networks, on the CPU
    DEVICE=cuda python -m bench.gradcam               the same on a GPU
    python -m bench.gradcam --networks resnet18 --rounds 3 --batch 2      a quick look

All numbers are ratios to a forward of the same network and batch under `inference_mode`, taken within a round and then
the median over rounds.
"""

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any

import torch
from bench.contenders import (
    FORWARD,
    GRAD_CAM,
    NETWORKS,
    OURS,
    OURS_MANY,
    PEERS,
    SMALL,
    Network,
    contenders,
    forward,
    heatproof,
    versions,
)
from bench.measure import interleaved, peak_memory, ratio, startup
from rich.console import Console
from rich.table import Table

# what the project promises: the largest ratio to the plain forward, by network where it differs
ONE_TARGET, ONE_TARGET_OF = 1.05, {"vgg16": 1.10}
TEN_TARGETS, TEN_TARGETS_OF = 1.1, {"vgg16": 1.3}
FASTEST_PEER = 1.03
GRAD_CAM_FACTOR = 2.8
MEMORY = 1.15
HELP_SECONDS, IMPORT_SECONDS = 0.3, 0.1


def main() -> int:
    """Measure, print the tables, write the JSON; with --strict, exit 1 where a promise is broken."""
    args = arguments()
    console = Console(width=140)  # a table that is cut to a pipe's 80 columns names no peer
    measured = [measure(network, args) for network in args.networks]
    starts = startup(args.rounds)
    console.print(speed_table(measured, args))
    console.print(memory_table(measured, args))
    console.print(", ".join(f"{what}: {seconds:.3f} s" for what, seconds in starts.items()))
    broken = [promise for promise in promises(measured, starts) if not promise["held"]]
    for promise in broken:
        console.print(f"[red]not held[/]: {promise['what']} is {promise['value']:.3f}, promised {promise['limit']}")
    result = {"setting": setting(args), "networks": measured, "startup_seconds": starts, "broken": broken}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    console.print(f"written to {args.output}")
    return int(args.strict and bool(broken))


def measure(network: Network, args: argparse.Namespace) -> dict[str, Any]:
    """Return times, ratios and peaks of memory for one network."""
    net = network.build(args.device)
    draws = torch.Generator().manual_seed(1)
    x = torch.randn(args.batch, 3, args.size, args.size, generator=draws).to(args.device)
    times = interleaved(contenders(network, net, x), args.rounds, args.device)
    ratios = {name: ratio(times, name, FORWARD) for name in times}
    fastest = min(PEERS, key=ratios.__getitem__)
    return {
        "name": network.name,
        "layer": network.layer,
        "seconds": times,
        "ratio_to_forward": ratios,
        "fastest_peer": fastest,
        "ratio_to_fastest_peer": ratio(times, OURS, fastest),
        "times_faster_than_grad_cam": ratio(times, GRAD_CAM, OURS),
        "memory": memory(network, net, x, args.device),
    }


def memory(network: Network, net: torch.nn.Module, x: torch.Tensor, device: str) -> dict[str, float]:
    """Return peaks of tensor memory in bytes, beyond weights and input, and ratios without and with these."""
    weights = sum(weight.nbytes for weight in [*net.parameters(), *net.buffers()]) + x.nbytes
    plain, explain = forward(net, x), heatproof(network, net, x)
    first = peak_memory(explain, device)
    plain()
    at_forward, at_explain = peak_memory(plain, device), peak_memory(explain, device)
    return {
        "weights_and_input": weights,
        "forward": at_forward,
        "explain_first": first,
        "explain": at_explain,
        "ratio_working": at_explain / at_forward,
        "ratio": (weights + at_explain) / (weights + at_forward),
        "ratio_first": (weights + first) / (weights + at_forward),
    }


def promises(measured: list[dict[str, Any]], starts: dict[str, float]) -> list[dict[str, Any]]:
    """Return every promise with its measured value and whether it was held."""

    def at_most(what: str, value: float, limit: float) -> dict[str, Any]:
        return {"what": what, "value": value, "limit": f"<= {limit}", "held": value <= limit}

    found = [
        at_most("import heatproof (s)", starts["import heatproof"], IMPORT_SECONDS),
        at_most("heatproof --help (s)", starts["heatproof --help"], HELP_SECONDS),
    ]
    for one in measured:
        name, ratios = one["name"], one["ratio_to_forward"]
        factor = one["times_faster_than_grad_cam"]
        found += [
            at_most(f"{name}: one target / forward", ratios[OURS], ONE_TARGET_OF.get(name, ONE_TARGET)),
            at_most(f"{name}: ten targets / forward", ratios[OURS_MANY], TEN_TARGETS_OF.get(name, TEN_TARGETS)),
            at_most(f"{name}: one target / {one['fastest_peer']}", one["ratio_to_fastest_peer"], FASTEST_PEER),
            at_most(f"{name}: peak memory / forward", one["memory"]["ratio"], MEMORY),
            {
                "what": f"{name}: grad-cam / one target",
                "value": factor,
                "limit": f">= {GRAD_CAM_FACTOR}",
                "held": factor >= GRAD_CAM_FACTOR,
            },
        ]
    return found


def speed_table(measured: list[dict[str, Any]], args: argparse.Namespace) -> Table:
    """Lay out the ratios to the plain forward, one network a row."""
    title = (
        f"Grad-CAM / plain forward: batch {args.batch}, {args.size} px, {args.device}, median of {args.rounds} rounds"
    )
    table = Table(title=title)
    table.add_column("network")
    for name in (FORWARD, OURS, OURS_MANY, *PEERS):
        table.add_column(name, justify="right")
    table.add_column("to fastest peer", justify="right")
    for one in measured:
        cells = [f"{sorted(one['seconds'][FORWARD])[args.rounds // 2] * 1e3:.1f} ms"]
        cells += [f"{one['ratio_to_forward'][name]:.3f}" for name in (OURS, OURS_MANY, *PEERS)]
        table.add_row(one["name"], *cells, f"{one['ratio_to_fastest_peer']:.3f}")
    return table


def memory_table(measured: list[dict[str, Any]], args: argparse.Namespace) -> Table:
    """Lay out the peaks of tensor memory, one network a row."""
    table = Table(title=f"Peak tensor memory in MB, {args.device}: weights and input apart, then ratios with them")
    for name in ("network", "weights + input", FORWARD, OURS, "first call", "ratio", "ratio, first call"):
        table.add_column(name, justify="left" if name == "network" else "right")
    for one in measured:
        found = one["memory"]
        sizes = [f"{found[key] / 1e6:.1f}" for key in ("weights_and_input", "forward", "explain", "explain_first")]
        table.add_row(one["name"], *sizes, f"{found['ratio']:.3f}", f"{found['ratio_first']:.3f}")
    return table


def setting(args: argparse.Namespace) -> dict[str, Any]:
    """Return what the numbers depend on."""
    cuda = args.device.startswith("cuda")
    return {
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "batch": args.batch,
        "size": args.size,
        "rounds": args.rounds,
        "python": platform.python_version(),
        "versions": versions(),
    }


def arguments() -> argparse.Namespace:
    """Read the command line; the device may also come from the environment variable DEVICE."""
    known = {network.name: network for network in (*NETWORKS, *SMALL)}
    parser = argparse.ArgumentParser(prog="python -m bench.gradcam", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--networks", nargs="+", choices=known, default=[network.name for network in NETWORKS])
    parser.add_argument("--device", default=os.environ.get("DEVICE") or "cpu")
    parser.add_argument("--rounds", type=int, default=7, help="at least 7 for numbers to report")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--strict", action="store_true", help="exit 1 where a promise is broken")
    parser.add_argument("--output", type=Path, help="where the JSON goes; default bench/results/local-DEVICE.json")
    args = parser.parse_args()
    args.networks = [known[name] for name in args.networks]
    args.output = args.output or Path(__file__).parent / "results" / f"local-{args.device.replace(':', '')}.json"
    return args


if __name__ == "__main__":
    raise SystemExit(main())
