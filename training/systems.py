"""Train the networks of the simulated systems and write their weights and cards: `python training/systems.py`.

All inputs are simulated, nothing is read. Each system has a right network and a wrong twin, which learned a shortcut or
breaks a law (`heatproof.synthetic.systems`).
"""

import argparse
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from safetensors.torch import save
from torch import Tensor, nn

from heatproof.synthetic.systems import SYSTEMS, system
from heatproof.synthetic.systems._drawn import Recipe, fit, score

SEED, LEARN_SEED, TEST_SEED, TESTED = 0, 1, 1001, 400
WEIGHTS = Path(__file__).parents[1] / "src" / "heatproof" / "weights"


def train(recipe: Recipe) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return a trained network with its weights rounded to float16, and these."""
    net = fit(recipe, seed=SEED, learn_seed=LEARN_SEED)
    weights = {key: v.half() if v.is_floating_point() else v for key, v in net.state_dict().items()}
    net.load_state_dict(weights)
    return net, weights


def card(name: str, kind: str, recipe: Recipe, net: nn.Module) -> dict[str, Any]:
    """Return what there is to say of a network."""
    module = system(name)
    learned = recipe.learn(LEARN_SEED)
    measure = "share of variance explained" if learned.answers.is_floating_point() else "accuracy"
    return {
        **recipe.card,
        "labels": list(module.LABELS),
        "task": (module.__doc__ or "").splitlines()[0],
        "data": f"{len(learned.data)} inputs of heatproof.synthetic.systems.{name}; the network {recipe.what}.",
        "license": "Inputs and weights were made here: the license of this package.",
        "split": {
            "learn_seed": LEARN_SEED,
            "test_seed": TEST_SEED,
            "note": "learned and tested inputs have other seeds",
        },
        "kind": kind,
        "epochs": recipe.epochs,
        "test_n": TESTED,
        "test_measure": measure,
        "test_accuracy": {
            "inputs as nature makes them": round(score(net, module.draw(TESTED, TEST_SEED)), 4),
            "inputs as this network learned them": round(score(net, recipe.learn(TEST_SEED)), 4),
        },
        "precision": "weights are stored in float16 and run in float32; the numbers are measured after rounding",
        "command": "python training/systems.py",
        "seed": SEED,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {"torch": torch.__version__.split("+")[0]},
        "reproducibility": (
            "One thread and one seed: the same machine gives the same bytes. Other processors or torch versions add "
            "floats in another order; the numbers may then differ by some hundredths."
        ),
        "limits": "A demonstration on simulations: it knows nothing of measured data.",
    }


def main(words: Sequence[str] | None = None) -> None:
    """Train, then write the weights and their cards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder for the weights and cards")
    parser.add_argument("--only", nargs="*", default=SYSTEMS, choices=SYSTEMS, help="systems")
    parser.add_argument("--kinds", nargs="*", default=("right", "wrong"), choices=("right", "wrong"), help="networks")
    arguments = parser.parse_args(words)
    torch.set_num_threads(1)  # sums are then added in one order, whatever the number of cores
    arguments.out.mkdir(parents=True, exist_ok=True)
    jobs = [(name, kind) for name in arguments.only for kind in arguments.kinds]
    for name, kind in track(jobs, description="training"):
        recipe: Recipe = getattr(system(name), kind.upper())
        net, weights = train(recipe)
        about = card(name, kind, recipe, net)
        stem = f"{name}_{kind}"
        # written as bytes, because save_file makes a file that only its owner may read
        (arguments.out / f"{stem}.safetensors").write_bytes(save(weights))
        (arguments.out / f"{stem}.json").write_text(json.dumps(about, indent=2) + "\n")
        print(f"{stem}: {about['test_accuracy']}")


if __name__ == "__main__":
    main()
