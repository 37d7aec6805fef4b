"""A problem small enough to know everything: is the picture's spot red or blue? The network answers by color alone."""

import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

import heatproof as hp
from heatproof.inputs.prepare import Preprocess

SIDE, SPOT = 32, 8
LABELS = ("blue", "red")


class Spots(nn.Module):
    """Scores (blue, red): mean over the grid of ReLU(blue - red - 0.25) and ReLU(red - blue - 0.25), times 64."""

    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool2d(4)
        self.colors = nn.Conv2d(3, 2, 1)
        self.relu = nn.ReLU()
        self.head = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.colors.weight.copy_(torch.tensor([[-1.0, 0, 1.0], [1.0, 0, -1.0]])[:, :, None, None])
            self.colors.bias.fill_(-0.25)
            self.head.weight.copy_(64 * torch.eye(2))

    def forward(self, x):
        return self.head(self.relu(self.colors(self.pool(x))).mean((2, 3)))


def spots() -> hp.Model:
    """Return the network with its labels."""
    return hp.Model(Spots().eval(), labels=LABELS, name="spots")


def resized() -> hp.Model:
    """Return the network for pictures of any size."""
    return hp.Model(Spots().eval(), Preprocess(resize=(SIDE, SIDE)), LABELS, name="spots")


def picture(number: int, red: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return a gray picture with one spot, and the mask of the spot."""
    drawn = np.random.default_rng(number)
    pixels = drawn.integers(100, 130, (SIDE, SIDE, 1)).repeat(3, 2).astype(np.uint8)
    y, x = (int(v) for v in drawn.integers(0, SIDE - SPOT + 1, 2))
    pixels[y : y + SPOT, x : x + SPOT] = (230, 20, 20) if red else (20, 20, 230)
    mask = np.zeros((SIDE, SIDE), np.uint8)
    mask[y : y + SPOT, x : x + SPOT] = 255
    return pixels, mask


def write(folder: Path, n: int, wrong: int = 0) -> Path:
    """Write n pictures, masks and a table; the first `wrong` carry the label of the other class."""
    rows = []
    for i in range(n):
        red = i % 2 == 1
        pixels, mask = picture(i, red)
        label = LABELS[int(red != (i < wrong))]
        (folder / "pictures" / label).mkdir(parents=True, exist_ok=True)
        (folder / "masks").mkdir(exist_ok=True)
        name = f"pictures/{label}/{i:03}.png"
        Image.fromarray(pixels).save(folder / name)
        Image.fromarray(mask).save(folder / "masks" / f"{i:03}.png")
        rows.append(
            {
                "path": name,
                "label": label,
                "mask": f"masks/{i:03}.png",
                "patient_id": f"p{i // 2}",
                "site": "AB"[i % 3 > 0],
            }
        )
    table = folder / "data.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return table
