"""Train the bundled blood-cell network and write its weights and card: `python training/pbc_cells.py`.

The folder of real data, which HEATPROOF_DATA names, must hold `pbc/`.
"""

import argparse
import csv
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.progress import track
from safetensors.torch import save
from torch import Generator, Tensor

from heatproof.inputs import read
from heatproof.inputs.prepare import Preprocess
from heatproof.models.nets.cell import CellNet

FOLDERS = ["basophil", "eosinophil", "erythroblast", "ig", "lymphocyte", "monocyte", "neutrophil", "platelet"]
LABELS = [name if name != "ig" else "immature granulocyte" for name in FOLDERS]
NETWORK = {"channels": 3, "classes": len(LABELS), "widths": [24, 48, 96]}
SIDE = 96
PARTS = {"train": ("train",), "test": ("val", "test")}  # as the data's table splits; nothing is chosen on "val" here
SEED, EPOCHS, BATCH = 0, 18, 32
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 0.05
WEIGHTS = Path(__file__).parents[1] / "src" / "heatproof" / "weights"


def folder() -> Path:
    """Return where the cells lie."""
    if "HEATPROOF_DATA" not in os.environ:
        raise SystemExit("Set HEATPROOF_DATA to the folder of real data: pbc/ in it holds the cells.")
    return Path(os.environ["HEATPROOF_DATA"]) / "pbc"


def files(part: str) -> list[tuple[Path, int]]:
    """Return the pictures of one part with their labels, in the order of the data's table."""
    with (folder() / "labels.csv").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if row["split"] in PARTS[part]]
    return [(folder() / row["file"], FOLDERS.index(row["name"])) for row in rows]


@cache
def load(part: str) -> tuple[Tensor, Tensor]:
    """Return one part's pictures as (n, 3, SIDE, SIDE) in 0..1, and their labels (n,)."""
    prepare = Preprocess(resize=SIDE, crop=(SIDE, SIDE))
    listed = list(track(files(part), description=f"reading {part}"))
    pictures = torch.stack([prepare(read(path)).tensor for path, _ in listed])
    return pictures, torch.tensor([label for _, label in listed])


@cache
def preprocess() -> Preprocess:
    """Return the preprocessing: mean and standard deviation of the training pixels, per channel."""
    pixels = load("train")[0].transpose(0, 1).flatten(1)
    mean, std = (tuple(round(float(v), 3) for v in values) for values in (pixels.mean(1), pixels.std(1)))
    return Preprocess(resize=SIDE, crop=(SIDE, SIDE), mean=mean, std=std)


def normalize(images: Tensor) -> Tensor:
    """Apply the normalization that the card states."""
    settings = preprocess()
    mean, std = (images.new_tensor(values).view(1, 3, 1, 1) for values in (settings.mean, settings.std))
    return (images - mean) / std


def augment(images: Tensor, generator: Generator) -> Tensor:
    """Flip, turn and shift each picture, and change its light and color balance a little."""
    n = len(images)
    turned = [torch.rot90(one, turns, dims=(-2, -1)) for one, turns in zip(images, _draw(4, n, generator), strict=True)]
    flipped = [one.flip(-1) if flip else one for one, flip in zip(turned, _draw(2, n, generator), strict=True)]
    padded = F.pad(torch.stack(flipped), (6, 6, 6, 6), mode="reflect")
    corners = zip(_draw(13, n, generator), _draw(13, n, generator), strict=True)
    moved = [one[:, y : y + SIDE, x : x + SIDE] for one, (y, x) in zip(padded, corners, strict=True)]

    def uniform(channels: int, spread: float) -> Tensor:
        return 1 + spread * (2 * torch.rand((n, channels, 1, 1), generator=generator) - 1)

    # scales the light that is missing: jitter then looks like more or less stain, and glass stays glass
    return 1 - (1 - torch.stack(moved)) * uniform(1, 0.15) * uniform(3, 0.08)


def train(seed: int, epochs: int, checkpoint: Path | None) -> CellNet:
    """Return a network trained on the training part. Every random draw comes from `seed`.

    With a checkpoint, a training that was cut off goes on after its last whole epoch, as if it had not been.
    """
    generator = Generator().manual_seed(seed)
    net = CellNet(**NETWORK).initialize(generator)
    images, labels = load("train")
    batches = len(labels) // BATCH
    optimizer = torch.optim.AdamW(net.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=epochs * batches)
    kept = {"net": net, "optimizer": optimizer, "schedule": schedule}
    first = 0
    if checkpoint and checkpoint.is_file():
        state = torch.load(checkpoint)
        first = state.pop("epochs")
        generator.set_state(state.pop("generator"))
        for name, part in kept.items():
            part.load_state_dict(state[name])
    for epoch in track(range(first, epochs), description="training"):
        for rows in torch.randperm(len(labels), generator=generator)[: batches * BATCH].view(-1, BATCH):
            pictures = normalize(augment(images[rows], generator))
            loss = F.cross_entropy(net(pictures), labels[rows], label_smoothing=0.05)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        if checkpoint:
            state = {name: part.state_dict() for name, part in kept.items()}
            torch.save({**state, "epochs": epoch + 1, "generator": generator.get_state()}, checkpoint)
    return net.eval()


@torch.inference_mode()
def recalls(net: CellNet, part: str) -> list[float]:
    """Return, per class, the share of one part's pictures that are named rightly."""
    images, labels = load(part)
    named = torch.cat([net(normalize(batch)).argmax(1) for batch in images.split(64)])
    return [(named[labels == label] == label).float().mean().item() for label in range(len(LABELS))]


def rounded(net: CellNet) -> dict[str, Tensor]:
    """Return the weights as they are shipped: in half precision, which halves the file."""
    return {name: value.half() if value.is_floating_point() else value for name, value in net.state_dict().items()}


def card(net: CellNet, seed: int) -> dict[str, Any]:
    """Return what a reader of the weights must know."""
    right = recalls(net, "test")
    counts = load("test")[1].bincount().tolist()
    return {
        "factory": "heatproof.models.nets.cell:CellNet",
        "kwargs": NETWORK,
        "labels": LABELS,
        "preprocess": asdict(preprocess()),
        "task": "Which of eight kinds is the blood cell in the middle of the picture?",
        "data": (
            "1,600 pictures (200 a class) of the 17,092 of: Acevedo, Merino, Alferez, Molina, Boldu, Rodellar 2020, 'A "
            "dataset for microscopic peripheral blood cell images for development of automatic recognition systems', "
            "Mendeley Data, doi:10.17632/snkd93bnjr.1: peripheral blood of people without infection, hematologic or "
            "oncologic disease, May Grunwald-Giemsa stain, analyzer CellaVision DM96 (Hospital Clinic of Barcelona), "
            "360 x 363 pixels, named by clinical pathologists."
        ),
        "license": (
            "The pictures: CC BY 4.0, attribute them to Acevedo et al. 2020 (above). The weights, made from them here: "
            "the license of this package."
        ),
        "data_sha256": digest(),
        "split": {
            "pictures": {part: len(files(part)) for part in PARTS},
            "note": (
                "by picture, 140 a class to learn from and 60 held out. The data do not say which pictures come from "
                "one person: both parts may hold cells of the same people, slides and days, so that people who are not "
                "in the data will be named less well than the accuracy says."
            ),
        },
        "train_n": len(files("train")),
        "test_n": sum(counts),
        "test_accuracy": round(sum(r * n for r, n in zip(right, counts, strict=True)) / sum(counts), 4),
        "test_recall": {name: round(value, 4) for name, value in zip(LABELS, right, strict=True)},
        "precision": "weights are stored in float16 and run in float32; the accuracy is measured after rounding",
        "command": "python training/pbc_cells.py",
        "seed": seed,
        "date": datetime.now(UTC).date().isoformat(),
        "versions": {"torch": torch.__version__.split("+")[0]},
        "reproducibility": (
            "One thread and one seed: the same machine gives the same bytes. Other processors or torch versions add "
            "floats in another order; the accuracy may then differ by some hundredths."
        ),
        "limits": (
            "A demonstration, not a diagnostic device. One hospital, one stain, one analyzer, which centers the cell; "
            "no disease; equally many of each kind, unlike blood. At 96 pixels, fine chromatin and granules are lost. "
            "The settings were fixed beforehand; one was tried."
        ),
    }


def digest() -> str:
    """Return the SHA-256 of all pictures, in the order of the data's table, training part first."""
    pictures = hashlib.sha256()
    for part in PARTS:
        for path, _ in files(part):
            pictures.update(path.read_bytes())
    return pictures.hexdigest()


def main(words: Sequence[str] | None = None) -> None:
    """Train, then write the weights and their card."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder for cells.safetensors and cells.json")
    parser.add_argument("--checkpoint", type=Path, help="file to go on from, written after each epoch")
    arguments = parser.parse_args(words)
    torch.set_num_threads(1)  # sums are then added in one order, whatever the number of cores
    net = train(arguments.seed, arguments.epochs, arguments.checkpoint)
    weights = rounded(net)
    net.load_state_dict(weights)
    about = card(net, arguments.seed)
    arguments.out.mkdir(parents=True, exist_ok=True)
    # written as bytes, because save_file makes a file that only its owner may read
    (arguments.out / "cells.safetensors").write_bytes(save(weights))
    (arguments.out / "cells.json").write_text(json.dumps(about, indent=2) + "\n")
    print(f"test accuracy {about['test_accuracy']:.4f} on {about['test_n']} cells; written to {arguments.out}")


def _draw(values: int, n: int, generator: Generator) -> list[int]:
    return torch.randint(values, (n,), generator=generator).tolist()


if __name__ == "__main__":
    main()
