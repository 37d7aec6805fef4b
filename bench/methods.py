"""`python -m bench.methods`: the methods beyond Grad-CAM, beside the plain forward and beside grad-cam, in one process.

    python -m bench.methods                    all comparisons, on the CPU
    python -m bench.methods --rounds 1         a quick look

All numbers are ratios within a round, then the median over rounds. grad-cam's Ablation-CAM and Score-CAM take many
seconds a picture, so those rounds are few.
"""

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from bench.contenders import FORWARD, MANY, Network, forward, versions
from bench.measure import interleaved, ratio
from rich.console import Console
from rich.table import Table

OURS, PEER = "heatproof", "grad-cam"
GRADIENT_CAMS = ("gradcam", "hirescam", "layercam", "gradcam_plusplus")  # of the core tier
Runs = dict[str, Callable[[], Any]]


@dataclass(frozen=True)
class Promise:
    """The time of `over` divided by that of `under` is at most, or else at least, `limit`."""

    what: str
    over: str
    under: str
    limit: float
    at_most: bool

    def measured(self, times: dict[str, list[float]]) -> dict[str, Any]:
        """Return the ratio and whether the promise was held."""
        value = ratio(times, self.over, self.under)
        held = value <= self.limit if self.at_most else value >= self.limit
        return {
            "what": self.what,
            "value": value,
            "limit": f"{'<=' if self.at_most else '>='} {self.limit}",
            "held": held,
        }


@dataclass(frozen=True)
class Comparison:
    """What is timed together, in how many rounds, and what is promised of it."""

    runs: Callable[[str], Runs]
    rounds: int
    promises: tuple[Promise, ...]


def one_capture(device: str) -> Runs:
    """All gradient CAMs of the core tier together, beside one forward."""
    import heatproof as hp

    network, x = Network("resnet50", "layer4"), _pictures(8, device)
    net = network.build(device)
    explainer = hp.Explainer(net, layer=network.layer)
    return {FORWARD: forward(net, x), OURS: lambda: explainer.compare(x, methods=list(GRADIENT_CAMS))}


def vision_transformer(device: str) -> Runs:
    """Grad-CAM of a ViT-B/16, layer chosen by itself, beside one forward."""
    import heatproof as hp

    net, x = Network("vit_b_16", "").build(device), _pictures(4, device)
    with torch.no_grad():  # torchvision starts the head at zero: no gradient would flow
        net.get_parameter("heads.head.weight").normal_(std=0.02, generator=torch.Generator(device).manual_seed(2))
    explainer = hp.Explainer(net)
    return {FORWARD: forward(net, x), OURS: lambda: explainer(x)}


def ten_classes(device: str) -> Runs:
    """Ten classes of every picture: one forward here, ten calls of grad-cam."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    import heatproof as hp

    network, x = Network("resnet50", "layer4"), _pictures(4, device)
    net, twin = network.build(device), network.build(device)
    explainer, peer = hp.Explainer(net, layer=network.layer), GradCAM(twin, [twin.get_submodule(network.layer)])
    return {
        OURS: lambda: explainer(x, target=[list(range(MANY))] * len(x)),
        PEER: lambda: [peer(x, targets=_each(ClassifierOutputTarget(c), x)) for c in range(MANY)],
    }


def masked(name: str, peer_name: str) -> Callable[[str], Runs]:
    """Return the runs of a method that tries every channel of ResNet-18's last stage, on one picture."""

    def runs(device: str) -> Runs:
        import pytorch_grad_cam
        from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

        import heatproof as hp

        network, x = Network("resnet18", "layer4"), _pictures(1, device)
        net, twin = network.build(device), network.build(device)
        explainer = hp.Explainer(net, layer=network.layer, method=name)
        peer = getattr(pytorch_grad_cam, peer_name)(twin, [twin.get_submodule(network.layer)])
        return {
            FORWARD: forward(net, x),
            OURS: lambda: explainer(x, target=1),
            PEER: lambda: peer(x, targets=_each(ClassifierOutputTarget(1), x)),
        }

    return runs


COMPARISONS = (
    Comparison(
        one_capture, 9, (Promise("core gradient CAMs together / forward (resnet50)", OURS, FORWARD, 1.15, True),)
    ),
    Comparison(vision_transformer, 7, (Promise("Grad-CAM / forward (ViT-B/16)", OURS, FORWARD, 1.2, True),)),
    Comparison(ten_classes, 3, (Promise("grad-cam looped / ten classes (resnet50)", PEER, OURS, 25, False),)),
    Comparison(
        masked("ablationcam", "AblationCAM"),
        3,
        (
            Promise("grad-cam / Ablation-CAM (resnet18)", PEER, OURS, 100, False),
            Promise("Ablation-CAM / forward (resnet18)", OURS, FORWARD, 5, True),
        ),
    ),
    Comparison(
        masked("scorecam", "ScoreCAM"), 3, (Promise("grad-cam / Score-CAM (resnet18)", PEER, OURS, 1.5, False),)
    ),
)


def main() -> int:
    """Measure, print the table, write the JSON; with --strict, exit 1 where a promise is broken."""
    args = arguments()
    console = Console(width=140)
    table = Table("what", "measured", "promised", "held")
    measured: list[dict[str, Any]] = []
    for comparison in COMPARISONS:
        times = interleaved(comparison.runs(args.device), min(args.rounds or 99, comparison.rounds), args.device)
        for promise in comparison.promises:
            one = promise.measured(times)
            table.add_row(one["what"], f"{one['value']:.3g}", one["limit"], "yes" if one["held"] else "no")
            measured.append(one | {"seconds": times})
    console.print(table)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps({"versions": versions(), "comparisons": measured}, indent=1) + "\n")
    console.print(f"written to {args.output}")
    return int(args.strict and not all(one["held"] for one in measured))


def arguments() -> argparse.Namespace:
    """Read the command line; the device may also come from the environment variable DEVICE."""
    parser = argparse.ArgumentParser(prog="python -m bench.methods", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default=os.environ.get("DEVICE") or "cpu")
    parser.add_argument("--rounds", type=int, default=None, help="at most; by default what each comparison needs")
    parser.add_argument("--strict", action="store_true", help="exit 1 where a promise is broken")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results" / "methods.json")
    return parser.parse_args()


def _each(target: Any, x: torch.Tensor) -> Any:
    return [target] * len(x)  # grad-cam declares modules, and takes any callable


def _pictures(n: int, device: str) -> torch.Tensor:
    return torch.randn(n, 3, 224, 224, generator=torch.Generator().manual_seed(1)).to(device)


if __name__ == "__main__":
    raise SystemExit(main())
