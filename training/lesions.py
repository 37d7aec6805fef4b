"""Train the two bundled lesion networks and write their weights and cards: `python training/lesions.py`.

All pictures are drawn, nothing is read. `lesions_shortcut` learns from pictures in which a ruler lies beside nineteen
of twenty malignant lesions and one of twenty benign ones, `lesions_clean` from the same lesions with a ruler beside
every second one. On pictures like those that the first learned from, both are right equally often.
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

from heatproof.demo.lesions import ARTIFACTS, CUE, TEST_SEED
from heatproof.synthetic._dermoscopy import LABELS, draw
from heatproof.synthetic._fit import fit

NETWORKS = {"lesions_shortcut": ("ordinary", 8), "lesions_clean": ("even", 16)}
"""What each learns from, and for how many epochs: the true cue takes longer to learn than the ruler."""
SEED, LEARN_SEED, LEARNED, TESTED = 0, 1, 1200, 600
WEIGHTS = Path(__file__).parents[1] / "src" / "heatproof" / "weights"


def train(name: str) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return a trained network with its weights rounded to float16, and these."""
    kind, epochs = NETWORKS[name]
    pictures = draw(LEARNED, LEARN_SEED, ARTIFACTS[kind], cue=CUE)
    net = fit(pictures.pictures, pictures.labels, seed=SEED, epochs=epochs)
    weights = {key: v.half() if v.is_floating_point() else v for key, v in net.state_dict().items()}
    net.load_state_dict(weights)
    return net, weights


def accuracy(net: nn.Module, kind: str) -> float:
    """Return the share of drawn test pictures that the network names rightly."""
    test = draw(TESTED, TEST_SEED, ARTIFACTS[kind], cue=CUE)
    with torch.inference_mode():
        return round(float((net(test.pictures - 0.5).argmax(1) == test.labels).float().mean()), 4)


def card(name: str, net: nn.Module) -> dict[str, Any]:
    """Return what there is to say of a network."""
    kind, epochs = NETWORKS[name]
    odds = ARTIFACTS[kind]["ruler"]
    return {
        "factory": "heatproof.models.nets.cell:CellNet",
        "kwargs": {"channels": 3, "classes": 2, "widths": [12, 24, 48]},
        "labels": list(LABELS),
        "preprocess": {"mean": [0.5, 0.5, 0.5], "std": [1.0, 1.0, 1.0]},
        "task": "Is the drawn lesion benign or malignant?",
        "data": (
            f"{LEARNED:,} pictures of 64 x 64 pixels, drawn by heatproof.synthetic from seed {LEARN_SEED}; a ruler "
            f"lies beside {odds[0]:.0%} of the benign and {odds[1]:.0%} of the malignant ones, hairs on half of all."
        ),
        "split": f"learned from seed {LEARN_SEED}, tested on {TESTED} other drawings from seed {TEST_SEED}",
        "license": "Pictures and weights were made here: the license of this package.",
        "epochs": epochs,
        "test_n": TESTED,
        "test_accuracy": {
            "ordinary: rulers as the network with the shortcut learned them": accuracy(net, "ordinary"),
            "even: rulers beside every second lesion": accuracy(net, "even"),
            "reversed: rulers beside benign lesions": accuracy(net, "reversed"),
        },
        "precision": "weights are stored in float16 and run in float32; the accuracy is measured after rounding",
        "command": "python training/lesions.py",
        "seed": SEED,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {"torch": torch.__version__.split("+")[0]},
        "reproducibility": (
            "One thread and one seed: the same machine gives the same bytes. Other processors or torch versions add "
            "floats in another order; the accuracy may then differ by some hundredths."
        ),
        "limits": "A demonstration on drawings, not a diagnostic device: it knows nothing of real skin.",
    }


def main(words: Sequence[str] | None = None) -> None:
    """Train, then write the weights and their cards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder for the weights and cards")
    arguments = parser.parse_args(words)
    torch.set_num_threads(1)  # sums are then added in one order, whatever the number of cores
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in track(NETWORKS, description="training"):
        net, weights = train(name)
        about = card(name, net)
        # written as bytes, because save_file makes a file that only its owner may read
        (arguments.out / f"{name}.safetensors").write_bytes(save(weights))
        (arguments.out / f"{name}.json").write_text(json.dumps(about, indent=2) + "\n")
        print(f"{name}: {about['test_accuracy']}")


if __name__ == "__main__":
    main()
