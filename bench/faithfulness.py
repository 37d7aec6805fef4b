"""`python -m bench.faithfulness`: removing parts beside quantus, on the same pictures and maps, in one process.

    python -m bench.faithfulness               all comparisons, on the CPU; some minutes
    python -m bench.faithfulness --rounds 1    a quick look

ResNet-18, random weights, eight pictures, maps at the input's size without ties, because quantus ranks samples of the
input and breaks ties by chance. It ranks every channel of a sample by itself, and the size of a step must divide the
samples of one channel: 28 steps are 84 there, of which each third removes the same as one here. 21 steps of all three
channels are what comes nearest to as many forwards as here; they end within samples, so that values differ a little.

Its ROAD addresses samples that a picture of several channels does not have, and stops; here its imputer is handed the
places of the samples, so that it can run. It knows one order, so it runs twice. `imputation` is the filling alone.
Numbers are ratios within a round, then the median over rounds. `at most` is the ratio if all but our forwards took no
time. Values and forwards are compared on two pictures before anything is timed.
"""

import argparse
import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from bench.contenders import FORWARD, OURS, Network, versions
from bench.measure import ratio
from bench.sanity import PEER, timed
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from heatproof.metrics._record import Measurement
from heatproof.metrics.deletion import deletion
from heatproof.metrics.imputers import constant, noisy_linear
from heatproof.metrics.insertion import insertion
from heatproof.metrics.pixel_flipping import pixel_flipping
from heatproof.metrics.road import road

STEPS, ALIKE = 28, 21
SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
PROMISES = {
    "pixel flipping, 28 steps": 2.5,
    "deletion, 28 steps": 2.5,
    "insertion, 28 steps": 2.5,
    "pixel flipping, 21 steps, forwards alike": None,
    "ROAD, 5 shares, both orders": 20.0,
    "ROAD, imputation": 20.0,
}
"""How many times faster than quantus each is to be; None for what is only measured."""


@dataclass(frozen=True)
class Problem:
    """A network that counts its forwards, pictures, the classes it gives them, and maps (n, 1, h, w) without ties."""

    net: nn.Module
    x: Tensor
    classes: Tensor
    maps: Tensor
    forwards: list[int]

    def score(self, changed: Tensor, rows: Tensor) -> Tensor:
        """Return the score (m, 1) of each picture's class."""
        with torch.inference_mode():
            return self.net(changed).gather(1, self.classes[rows, None])

    def kept(self, changed: Tensor, rows: Tensor) -> Tensor:
        """Return (m, 1): 1 where the class is still the one that the network gives, as quantus's ROAD asks."""
        with torch.inference_mode():
            return (self.net(changed).argmax(1) == self.classes[rows]).double().unsqueeze(1)

    def counted(self, run: Callable[[], Any]) -> tuple[Any, float]:
        """Return what a run returns, and its forwards per picture."""
        self.forwards.clear()
        return run(), sum(self.forwards) / len(self.x)


def problem(batch: int) -> Problem:
    """Return pictures that are smooth in part, and smooth maps whose values are all different."""
    generator = torch.Generator().manual_seed(1)
    net, forwards = Network("resnet18", "layer4").build("cpu"), list[int]()
    net.register_forward_hook(lambda _net, _given, out: forwards.append(len(out)))
    coarse, fine = (torch.randn(batch, 3, s, s, generator=generator) for s in (14, 224))
    x = F.interpolate(coarse, fine.shape[2:], mode="bilinear") + 0.2 * fine
    maps = F.interpolate(torch.randn(batch, 1, 7, 7, generator=generator), x.shape[2:], mode="bilinear")
    maps = maps + 1e-3 * torch.rand(maps.shape, generator=generator)
    # Ranks instead of values: no two alike, all exact in float32.
    maps = maps.flatten(2).argsort(-1).argsort(-1).reshape(maps.shape).float()
    with torch.inference_mode():
        classes = net(x).argmax(1)
    return Problem(net, x, classes, maps, forwards)


def ours(given: Problem) -> dict[str, Callable[[], Any]]:
    """Return our runs, each with what quantus puts in place of what is removed: zeros, or noisy linear imputation."""
    about = (given.maps, given.x, given.score)
    zeros = constant(0.0)

    def impute() -> Tensor:
        return torch.cat([noisy_linear(std=0.0)(given.x, mask.to(given.x)) for mask in masks(given)])

    runs: list[Callable[[], Measurement | Tensor]] = [
        lambda: pixel_flipping(*about, imputer=zeros, steps=STEPS),
        lambda: deletion(*about, imputer=zeros, steps=STEPS),
        lambda: insertion(*about, imputer=zeros, steps=STEPS),
        lambda: pixel_flipping(*about, imputer=zeros, steps=ALIKE),
        lambda: road(given.maps, given.x, given.kept, removed=SHARES),
        impute,
    ]
    return dict(zip(PROMISES, runs, strict=True))


def peers(given: Problem) -> dict[str, Callable[[], Any]]:
    """Return the same of quantus; insertion is removal in the opposite order."""
    quantus: Any = import_module("quantus")  # its annotations are narrower than what it takes
    noisy_linear_imputation = import_module("quantus.functions.perturb_func").noisy_linear_imputation
    data: dict[str, Any] = {"x_batch": given.x.numpy(), "y_batch": given.classes.numpy(), "softmax": False}
    quiet: dict[str, Any] = {"abs": False, "normalise": False, "disable_warnings": True}
    samples = given.x[0, 0].numel()

    def flip(steps: int, sign: int = 1) -> Callable[[], Any]:
        size = samples * (3 if steps == ALIKE else 1) // steps
        test = quantus.PixelFlipping(features_in_step=size, perturb_baseline=0.0, **quiet)
        return lambda: np.array(test(given.net, **data, a_batch=sign * given.maps.numpy(), device="cpu"))

    def placed(arr: Any, indices: Any, noise: float = 0.01, **_: Any) -> Any:
        return noisy_linear_imputation(arr, np.unique(indices % samples), noise=noise)

    def remove() -> Any:
        percentages = [round(100 * share) for share in SHARES]
        test = quantus.ROAD(percentages=percentages, perturb_func=placed, **quiet)
        both = [sign * np.broadcast_to(given.maps.numpy(), given.x.shape) for sign in (1, -1)]
        return np.array([list(test(given.net, **data, a_batch=a, device="cpu").values()) for a in both])

    def impute() -> Any:
        gone = [(x, m[0]) for mask in masks(given) for x, m in zip(given.x.numpy(), mask.numpy(), strict=True)]
        return np.stack([noisy_linear_imputation(x, np.flatnonzero(m), noise=0.0) for x, m in gone])

    runs = [flip(STEPS), flip(STEPS), flip(STEPS, -1), flip(ALIKE), remove, impute]
    return dict(zip(PROMISES, runs, strict=True))


def masks(given: Problem) -> list[Tensor]:
    """Return, per share and most influential first, which samples (n, 1, h, w) are gone."""
    total = given.maps[0].numel()
    return [given.maps >= total - round(share * total) for share in SHARES]


def difference(what: str, mine: Any, peer: Any) -> float:
    """Return the largest difference between the curves (ROAD: the shares of classes kept; the imputed pictures)."""
    if isinstance(mine, Tensor):
        return float(np.abs(mine.numpy() - peer).max())
    if what.startswith("ROAD"):
        mine = torch.stack([mine.most_first, mine.least_first])[:, :, 0].mean(1)
        return float(np.abs(mine.numpy() - peer).max())
    curve = (mine.least_first if mine.most_first is None else mine.most_first)[:, 0, 1:].numpy()
    each = peer.shape[1] // curve.shape[1]
    return float(np.abs(curve - peer[:, each - 1 :: each]).max())


def counts() -> list[dict[str, Any]]:
    """Return, per comparison, both sides' forwards per picture and how far their values lie apart."""
    given = problem(2)
    mine, theirs = ours(given), peers(given)
    lines: list[dict[str, Any]] = []
    for name in PROMISES:
        found, forwards = given.counted(mine[name])
        wanted, of_peer = given.counted(theirs[name])
        line = {"what": name, "forwards": forwards, f"forwards of {PEER}": of_peer}
        lines.append(line | {"largest difference": difference(name, found, wanted)})
    return lines


def compared(given: Problem, rounds: int) -> tuple[list[dict[str, Any]], dict[str, list[float]]]:
    """Return one line per comparison, and the seconds of every run in every round."""
    lines = counts()
    mine, theirs = ours(given), peers(given)
    both = {f"{name}, {OURS}": run for name, run in mine.items()} | {f"{name}, {PEER}": theirs[name] for name in mine}
    rows = torch.arange(len(given.x))
    times = timed(both | {FORWARD: lambda: given.score(given.x, rows)}, rounds)
    for line, limit in zip(lines, PROMISES.values(), strict=True):
        peer = f"{line['what']}, {PEER}"
        faster, forwards = ratio(times, peer, f"{line['what']}, {OURS}"), line["forwards"]
        line["times faster"] = faster
        line["at most"] = ratio(times, peer, FORWARD) / forwards if forwards else None
        line |= {"promised": limit, "held": limit is None or faster >= limit}
    return lines, times


def main() -> int:
    """Measure, print the table, write the JSON; with --strict, exit 1 where a promise is broken."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.faithfulness", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--strict", action="store_true", help="exit 1 where a promise is broken")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "faithfulness.json")
    args = parser.parse_args()
    warnings.filterwarnings("ignore", module="quantus")
    given = problem(args.batch)
    found, times = compared(given, args.rounds)
    table = Table(*found[0])
    for one in found:
        table.add_row(*(f"{v:.3g}" if isinstance(v, float) else str(v) for v in one.values()))
    console = Console(width=140)
    console.print(table)
    about = {"network": "resnet18", "inputs": args.batch, "threads": torch.get_num_threads()}
    used = versions() | {PEER: version(PEER)}
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(
        json.dumps(about | {"versions": used, "comparisons": found, "seconds": times}, indent=1) + "\n"
    )
    console.print(f"written to {args.output}")
    return int(args.strict and not all(one["held"] for one in found))


if __name__ == "__main__":
    raise SystemExit(main())
