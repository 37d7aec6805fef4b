"""Train the bundled "DAB-positive tile?" network and write its weights and card: `python training/dab_tiles.py`."""

import argparse
import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import skimage
import torch
import torch.nn.functional as F
from rich.progress import track
from safetensors.torch import save
from torch import Generator, Tensor

from heatproof.demo import dab
from heatproof.models.nets.tile import TileNet

LABELS = ["DAB-negative", "DAB-positive"]
NETWORK = {"channels": 3, "classes": 2, "widths": [16, 32, 32], "strides": [1, 2, 2]}
SEED, EPOCHS, BATCH = 0, 15, 64
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 3.0  # strong, because the classes separate well: without it the logits grow to several tens
WEIGHTS = Path(__file__).parents[1] / "src" / "heatproof" / "weights"


def load(part: dab.Part) -> tuple[Tensor, Tensor]:
    """Return one part's tiles as (n, 3, h, w) in 0..1, and their labels (n,)."""
    tiles = dab.tiles(part)
    return torch.from_numpy(tiles.images).permute(0, 3, 1, 2).float() / 255, torch.from_numpy(tiles.labels)


def preprocess() -> dict[str, list[float] | None]:
    """Return the normalization: mean and standard deviation of the training half's pixels, per channel."""
    first, last = dab.SPLIT["train"]
    pixels = dab.field()[:, first:last].reshape(-1, 3) / 255
    return {
        "mean": [round(float(value), 3) for value in pixels.mean(axis=0)],
        "std": [round(float(value), 3) for value in pixels.std(axis=0)],
        "resize": None,
        "crop": None,
    }


def normalize(images: Tensor) -> Tensor:
    """Apply the preprocessing that the card states."""
    settings = preprocess()
    mean, std = (torch.tensor(settings[name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    return (images - mean) / std


def augment(images: Tensor, generator: Generator) -> Tensor:
    """Flip and turn the batch, and change each tile's brightness, contrast and color balance a little."""
    flip, turn = torch.randint(2, (1,), generator=generator), torch.randint(4, (1,), generator=generator)
    if flip:
        images = images.flip(-1)
    images = torch.rot90(images, int(turn), dims=(-2, -1))
    n = len(images)

    def uniform(channels: int, spread: float) -> Tensor:
        return 1 + spread * (2 * torch.rand((n, channels, 1, 1), generator=generator) - 1)

    # scales the light that is missing: jitter then looks like a thicker section or more stain, and glass stays glass
    absorbed = (1 - images) * uniform(1, 0.25) * uniform(3, 0.08)
    return (1 - absorbed + uniform(1, 0.05) - 1).clamp(0, 1)


def balanced(labels: Tensor, generator: Generator) -> Tensor:
    """Return one epoch's batches (batches, BATCH) of indices in which both classes are equally likely."""
    weights = (1.0 / labels.bincount().float())[labels]
    count = len(labels) // BATCH * BATCH
    return torch.multinomial(weights, count, replacement=True, generator=generator).view(-1, BATCH)


def train(seed: int = SEED, epochs: int = EPOCHS) -> TileNet:
    """Return a network trained on the training half. Every random draw comes from `seed`."""
    generator = Generator().manual_seed(seed)
    net = TileNet(**NETWORK).initialize(generator)
    images, labels = load("train")
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    steps = epochs * (len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    for _ in track(range(epochs), description="training"):
        for rows in balanced(labels, generator):
            loss = F.cross_entropy(net(normalize(augment(images[rows], generator))), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return net.eval()


@torch.inference_mode()
def accuracy(net: TileNet, part: dab.Part) -> tuple[float, float, int]:
    """Return the accuracy, the balanced accuracy and the number of tiles of one part."""
    images, labels = load(part)
    right = net(normalize(images)).argmax(1) == labels
    recalls = [right[labels == label].float().mean().item() for label in range(len(LABELS))]
    return right.float().mean().item(), float(np.mean(recalls)), len(labels)


def card(net: TileNet, seed: int) -> dict[str, Any]:
    """Return what a reader of the weights must know."""
    test, balance, count = accuracy(net, "test")
    return {
        "factory": "heatproof.models.nets.tile:TileNet",
        "kwargs": NETWORK,
        "labels": LABELS,
        "preprocess": preprocess(),
        "task": (
            f"Does a tile hold DAB stain? Positive: {dab.POSITIVE[0]:.0%} to {dab.POSITIVE[1]:.0%} of its pixels are "
            f"stained; negative: fewer than {dab.NEGATIVE:.0%}; tiles in between are left out."
        ),
        "data": (
            "skimage.data.immunohistochemistry(), 512 x 512, inside scikit-image's wheel: colonic glands, FHL2 protein "
            "revealed with DAB, hematoxylin counterstain; Center for Microscopy And Molecular Imaging (CMMI), no known "
            "copyright restrictions. Truth: the DAB channel of rgb2hed above its Otsu threshold, not an expert's marks."
        ),
        "data_sha256": hashlib.sha256(dab.field().tobytes()).hexdigest(),
        "split": {
            "columns": {part: list(columns) for part, columns in dab.SPLIT.items()},
            "note": "spatially disjoint halves of one picture, with a gap wider than a tile",
        },
        "tile_size": dab.TILE,
        "train_n": accuracy(net, "train")[2],
        "test_n": count,
        "test_accuracy": round(test, 4),
        "test_balanced_accuracy": round(balance, 4),
        "command": "python training/dab_tiles.py",
        "seed": seed,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {"torch": torch.__version__.split("+")[0], "scikit-image": skimage.__version__},
        "reproducibility": (
            "One thread and one seed: the same machine gives the same bytes. Other processors or torch versions add "
            "floats in another order; weights then differ in the last digits, and accuracy by less than 0.01."
        ),
        "limits": (
            "A demonstration, not a diagnostic model. One picture of one slide and one scanner: overlapping tiles are "
            "not independent, and the accuracy says nothing about other slides. Some ten settings were tried and all "
            "classified held-out tiles nearly perfectly: the task is easy."
        ),
    }


def main() -> None:
    """Train, then write the weights and their card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder for dab.safetensors and dab.json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # sums are then added in one order, whatever the number of cores
    net = train(arguments.seed, arguments.epochs)
    about = card(net, arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    # written as bytes, because save_file makes a file that only its owner may read
    (arguments.out / "dab.safetensors").write_bytes(save(net.state_dict()))
    (arguments.out / "dab.json").write_text(json.dumps(about, indent=2) + "\n")
    print(f"test accuracy {about['test_accuracy']:.4f} on {about['test_n']} tiles; written to {arguments.out}")


if __name__ == "__main__":
    main()
