"""`make methods-page`: rewrite the generated parts of docs/methods.md, the table of all methods and the gallery.

    HEATPROOF_DATA=FOLDER python -m bench.methods_page                  both; FOLDER/pbc holds the cells
    python -m bench.methods_page --only table --rounds 3                a quick look at the costs

Cost is counted in forwards: the time of a method, its capture included, over that of a plain forward of the same
network and batch, taken within a round and then the median over rounds.
"""

import argparse
import inspect
import json
import platform
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from bench.contenders import FORWARD, forward
from bench.measure import interleaved, ratio
from rich.progress import track
from torch import Tensor, nn

import heatproof
from heatproof import attribution, cam
from heatproof.plugins import Plugin

PAGE = Path(__file__).parents[1] / "docs" / "methods.md"
COMMAND = "make methods-page"
UNITS = {
    "score": "the score's",
    "score per input": "score per unit of input",
    "activations": "the activations'",
    "none": "none",
}
# Methods of thousands of forwards are timed with fewer repetitions of what their cost is proportional to.
SHORTENED = {"rise": ("masks", 200), "is_cam": ("steps", 1), "ss_cam": ("copies", 4)}
LONG = 100  # forwards; what costs more is timed once, between forwards: the clock's noise is small against it
UNKNOWN = "—"
_RECORDED = Path(__file__).parent / "results" / "methods_verdicts.json"
VERDICTS: Mapping[str, dict[str, Any]] = json.loads(_RECORDED.read_text(encoding="utf-8")) if _RECORDED.exists() else {}

Costs = dict[str, float]


def main() -> None:
    """Measure, draw, and rewrite what lies between the page's markers."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.methods_page", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--only", choices=["table", "gallery", "verdicts"], help="leave all else as it is")
    parser.add_argument("--rounds", type=int, default=7, help="at least 7 for numbers to report")
    args = parser.parse_args()
    page = PAGE.read_text(encoding="utf-8")
    if args.only == "verdicts":
        page = with_verdicts(page)
    if args.only in (None, "table"):
        page = between(page, "table", table(args.rounds))
    if args.only in (None, "gallery"):
        from bench.methods_gallery import gallery

        page = between(page, "gallery", gallery(PAGE.parent / "images", list(plugins(needs=None).values())))
    PAGE.write_text(page, encoding="utf-8")
    print(f"written to {PAGE}")


def between(page: str, name: str, text: str) -> str:
    """Return the page with `text` between the markers of this name."""
    begin, end = (f"<!-- {name}: {what} -->" for what in ("begin", "end"))
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if len(pattern.findall(page)) != 1:
        raise SystemExit(f"{PAGE} must hold {begin} and {end} once.")
    return pattern.sub(lambda _: f"{begin}\n{text.strip()}\n{end}", page)


def plugins(needs: str | None) -> dict[str, Plugin]:
    """Return the methods that need this of a network ("attention", or None: nothing), the stable ones first."""
    known = {**cam.methods(), **attribution.methods()}
    chosen = {name: plugin for name, plugin in known.items() if constant(plugin, "NEEDS", None) == needs}
    return dict(sorted(chosen.items(), key=lambda item: (item[1].attribute != "cam", item[1].tier != "core")))


def constant(plugin: Plugin, name: str, otherwise: str | None) -> str | None:
    """Return what a plug-in's file states under this name."""
    return getattr(import_module(plugin.module), name, otherwise)


def table(rounds: int) -> str:
    """Return the table of all methods, with how it was made."""
    torch.set_num_threads(1)
    rows = []
    small = heatproof.load("bundled:cells").net  # two classes of a trained network, where there is one
    for needs, network in ((None, "resnet18"), ("attention", "vit_b_16")):
        chosen, net = plugins(needs), random_net(network)
        costs = measured(net, chosen, rounds)
        matters = target_matters(net, chosen, 224) if needs else target_matters(small, chosen, 96)
        rows += [row(plugin, needs, matters[name], costs[name]) for name, plugin in chosen.items()]
    head = (
        "| method | name to pass | kind | tier | units | target matters | cost in forwards | sanity | faithfulness |",
        "|---|---|---|---|---|---|--:|---|---|",
    )
    return "\n".join([stated(rounds), "", *head, *rows, "", note()])


def random_net(name: str) -> nn.Module:
    """Return a torchvision network with seeded random weights, no layer of which is silent."""
    import torchvision

    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = torchvision.models.get_model(name, weights=None).eval()
        for weight in net.parameters():
            if weight.ndim == 2 and not weight.any():
                nn.init.trunc_normal_(weight, std=0.02)  # torchvision's ViT begins with a head of zeros
    return net


def measured(net: nn.Module, chosen: Mapping[str, Plugin], rounds: int) -> Costs:
    """Return the cost of each method in forwards, for one picture of 224 pixels."""
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    plain = forward(net, x)
    short, once = {}, {}
    for plugin in track(list(chosen.values()), description="one by one"):
        settings, factor = shortened(plugin)
        explain = method(net, x, plugin.name, settings)
        cost = factor * beside(plain, explain)
        if cost > LONG:
            once[plugin.name] = cost
        else:
            short[plugin.name] = explain
    times = interleaved({FORWARD: plain, **short}, rounds, "cpu")
    return once | {name: ratio(times, name, FORWARD) for name in short}


def method(net: nn.Module, x: Tensor, name: str, settings: Mapping[str, int]) -> Callable[[], object]:
    """Return a call of one method for a given class, with its explainer built once."""
    explainer = heatproof.Explainer(net, method=name, **settings)
    return lambda: explainer(x, 0)


def shortened(plugin: Plugin) -> tuple[dict[str, int], float]:
    """Return settings with fewer repetitions, and how many times as many the method makes by default."""
    if plugin.name not in SHORTENED:
        return {}, 1.0
    setting, few = SHORTENED[plugin.name]
    return {setting: few}, inspect.signature(plugin.function).parameters[setting].default / few


def beside(plain: Callable[[], object], explain: Callable[[], object]) -> float:
    """Return the cost in forwards of a single call that is not the first, timed between forwards."""
    if (first := seconds(explain)) < 2:
        first = seconds(explain)  # the first call also looks for the layer, which matters where it is short
    forwards = sorted(seconds(plain) for _ in range(9))
    return first / forwards[len(forwards) // 2]


def seconds(call: Callable[[], object]) -> float:
    """Return the wall-clock time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def target_matters(net: nn.Module, chosen: Mapping[str, Plugin], side: int) -> dict[str, bool]:
    """Return, per method, whether its maps of two classes differ by more than rounding."""
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(2))
    found = {}
    for plugin in track(list(chosen.values()), description="two classes"):
        maps = heatproof.Explainer(net, method=plugin.name, **shortened(plugin)[0])(x, [[0, 1]]).maps
        found[plugin.name] = not torch.allclose(maps[0, 0], maps[0, 1], atol=1e-4 * float(maps.abs().max()))
    return found


def row(plugin: Plugin, needs: str | None, matters: bool, cost: float) -> str:
    """Return one method's line of the table."""
    cells = (
        plugin.title,
        f"`{plugin.name}`",
        ("CAM" if plugin.attribute == "cam" else "attribution") + (f", needs {needs}" if needs else ""),
        plugin.tier,
        UNITS[constant(plugin, "UNITS", "score") or "none"],
        "yes" if matters else "**no**",
        f"{cost:.0f}" if cost >= LONG else f"{cost:.1f}" if cost >= 10 else f"{cost:.2f}",
        *(verdict(plugin.name, check) for check in ("sanity", "faithfulness")),
    )
    return f"| {' | '.join(cells)} |"


def with_verdicts(page: str) -> str:
    """Return the page with the last two columns of its table, and the note, written anew; costs stay."""
    lines = page.splitlines()
    for i, line in enumerate(lines):
        cells = line.strip("| ").split(" | ")
        if len(cells) == 9 and cells[1].startswith("`"):
            name = cells[1].strip("`")
            lines[i] = f"| {' | '.join([*cells[:7], *(verdict(name, each) for each in ('sanity', 'faithfulness'))])} |"
    page = "\n".join(lines) + "\n"
    begin = page.index("**Cost in forwards**")
    return page[:begin] + note() + "\n" + page[page.index("<!-- table: end -->") :]


def verdict(name: str, check: str) -> str:
    """Return what `make methods-verdicts` found of one method; a verdict from fewer inputs is marked."""
    found = VERDICTS.get(name)
    if found is None:
        return UNKNOWN
    estimate, head = found[check]["value"], found[check]["head alone"]
    cell = found[check]["verdict"] + (f" ({estimate[0]:.2f})" if estimate else "")
    cell += f"; head alone {head}" if head and head != found[check]["verdict"] else ""
    return cell + (" \\*" if found["inputs"] < most_inputs() else "")


def most_inputs() -> int:
    """Return how many inputs the methods were checked on that were not cut short."""
    return max((found["inputs"] for found in VERDICTS.values()), default=0)


def stated(rounds: int) -> str:
    """Return how the table was made."""
    names = ("torch", "torchvision")
    versions = ", ".join([f"heatproof {heatproof.__version__}", *(f"{name} {version(name)}" for name in names)])
    return (
        f"Made by `{COMMAND}` on {datetime.now(UTC).date()}: {versions}, Python {platform.python_version()}, "
        f"{platform.machine()}, one thread; one picture of 224 px, random weights; resnet18, and vit_b_16 where "
        f"attention is needed. Median of {rounds} interleaved rounds. Other jobs ran on the machine: the last digit is "
        "noise."
    )


def note() -> str:
    """Return what must be known to read the table."""
    fewer = " and ".join(f"`{name}` with {setting}={few}" for name, (setting, few) in SHORTENED.items())
    return (
        "**Cost in forwards** is the time of the method at its default settings, capture included, over that of a "
        "plain forward. It depends on the network: methods that run once per channel cost by the target layer's "
        "channels (512 in resnet18), less than one forward each, since they run in batches. "
        f"Costs above {LONG} were timed once, {fewer}, and scaled up. [Bench](bench.md) has the core methods on a "
        "quiet machine, where they cost a little less. **Target matters** was measured: whether the "
        "maps of two classes differ.\n\n"
        "**Sanity** (does the map depend on what the network learned? |rho| with random weights; a low number alone "
        "is no pass, see [checks](checks.md)) and **faithfulness** (does the network depend on what the map shows? "
        "share of maps as smooth that it beats; 0.50 is chance) are verdicts of `make methods-verdicts`, "
        f"{checked()}. They hold for this network and these pictures: another network may turn them around, so run "
        f"`heatproof check` on yours. {UNKNOWN}: not measured, since no trained network with attention comes with "
        "the package."
    )


def checked() -> str:
    """Return on what the verdicts rest."""
    if not VERDICTS:
        return "not yet made"
    full = [found for found in VERDICTS.values() if found["inputs"] == most_inputs()]
    cut = [found for found in VERDICTS.values() if found["inputs"] < most_inputs()]
    text = (
        f"{max(found['date'] for found in VERDICTS.values())}: `bundled:cells`, {most_inputs()} held-out blood cells, "
    )
    text += f"{full[0]['draws']} random networks"
    if cut:
        text += f"; \\* {cut[0]['inputs']} cells and {cut[0]['draws']} random networks, since these methods cost much"
    fewer = [f"`{name}` with {k}={v}" for name, found in VERDICTS.items() for k, v in found["settings"].items()]
    return text + (f" ({', '.join(fewer)})" if fewer else "")


if __name__ == "__main__":
    main()
