"""Do right networks of the simulated systems point where physics says, over training seeds? `python -m bench.physics`.

Each seed trains a right network anew on other inputs than it is tested on. Prints a row per system and quantity with
the mean over seeds and its 95 % t interval, and writes every number into a JSON file.
"""

import argparse
import json
import time
from pathlib import Path

import torch
from scipy.stats import t as student

import heatproof as hp
from heatproof.checks._agreement import enrichment
from heatproof.checks._run import open_study
from heatproof.checks._twins import maps_for, twin_of
from heatproof.metrics.localization import to_grid
from heatproof.synthetic.systems import SYSTEMS, system
from heatproof.synthetic.systems._drawn import fit, score
from heatproof.synthetic.systems._story import auc, localization, targets_of

N, TEST_SEED = 60, 5000


def measured(name: str, seed: int) -> dict[str, float]:
    """Return the numbers of one training seed."""
    module = system(name)
    net = fit(module.RIGHT, seed=seed, learn_seed=100 + seed)
    test = module.draw(N, TEST_SEED + seed)
    inputs, target = test.inputs(), targets_of(module, test)
    ex = hp.explain(net, inputs, target)
    found = {"score": score(net, test), **localization(ex, test)}
    study = open_study(hp.Explainer(net), inputs, target)
    random = maps_for(study, study.explainer.with_model(twin_of(study, seed, recalibrate=True), ex.layer))[:, 0]
    masks = to_grid(test.where.unsqueeze(1), ex.maps.shape[2:])[:, 0]
    found["auc, random weights"] = float(auc(random, masks).nanmean())
    inside = masks.double()
    found["enrichment"] = float(enrichment(ex.maps[:, 0], inside).nanmean())
    found["enrichment, random weights"] = float(enrichment(random, inside).nanmean())
    chance = found["enrichment, random weights"]  # 0 where every map of the random network is blank
    found["enrichment over random weights"] = found["enrichment"] / chance if chance else float("nan")
    given = {"symmetry": {"laws": module.laws()}}
    for one in hp.check(net, inputs, "symmetry", target=target, settings=given):
        found[f"outputs, {one.details['law']}"] = one.details["outputs"].estimate
        found[f"maps, {one.details['law']}"] = one.details["maps"].estimate
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", nargs="*", default=SYSTEMS, choices=SYSTEMS)
    parser.add_argument("--out", type=Path, default=Path("physics.json"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table: dict[str, list[dict[str, float]]] = {name: [] for name in arguments.only}
    for seed in range(arguments.seeds):
        for name in arguments.only:
            begun = time.process_time()
            table[name].append(measured(name, seed))
            print(f"{name}, seed {seed}: {time.process_time() - begun:.0f} s of one core", flush=True)
            arguments.out.write_text(json.dumps(table, indent=1))
    show(table)


def show(table: dict[str, list[dict[str, float]]]) -> None:
    """Print the means over seeds with their intervals."""
    print("| system | quantity | mean over seeds | 95 % interval | lowest | seeds |\n|---|---|--:|---|--:|--:|")
    for name, rows in table.items():
        for quantity in rows[0]:
            values = torch.tensor([row[quantity] for row in rows], dtype=torch.double)
            values = values[values.isfinite()]
            n = len(values)
            if not n:
                print(f"| {name} | {quantity} | undefined | | | 0 |")
                continue
            half = float(values.std()) / n**0.5 * float(student.ppf(0.975, n - 1)) if n > 1 else float("nan")
            mean = float(values.mean())
            told = f"{mean:.3f} | {mean - half:.3f} to {mean + half:.3f} | {float(values.min()):.3f} | {n}"
            print(f"| {name} | {quantity} | {told} |")


if __name__ == "__main__":
    main()
