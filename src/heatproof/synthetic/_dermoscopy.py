"""Dermoscopy-like pictures: a lesion whose border and colors are the true cue, and artifacts that may go with a label.

Every picture is drawn twice from the same seed, with its artifact and without, and the two differ only there. Two looks
come from different generators: "smooth" (a wavy outline on cloudy skin) and "grainy" (a heap of discs on furrowed
skin, other artifacts' geometry); what is tuned on one is tested on the other.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.ndimage import gaussian_filter, zoom
from torch import Tensor

from heatproof.errors import UsageError
from heatproof.synthetic._artifacts import ARTIFACTS, Drawn

Look = Literal["smooth", "grainy"]
Odds = tuple[float, float]
"""Probability of an artifact on benign, and on malignant pictures."""
Field = Float[np.ndarray, "h w"]
Picture = Float[np.ndarray, "h w 3"]

BENIGN, MALIGNANT = 0, 1
LABELS = ("benign", "malignant")


@dataclass(frozen=True, eq=False)
class Lesions:
    """Pictures with their truth.

    Attributes:
        pictures: in 0..1.
        plain: the same without artifacts.
        labels: 1 = malignant.
        lesion: where the lesion lies.
        masks: artifact -> where it lies; empty where it is absent, everywhere for a global one.
        has: artifact -> whether a picture has it.
    """

    pictures: Float[Tensor, "n 3 h w"]
    plain: Float[Tensor, "n 3 h w"]
    labels: Int[Tensor, " n"]
    lesion: Bool[Tensor, "n h w"]
    masks: dict[str, Bool[Tensor, "n h w"]]
    has: dict[str, Bool[Tensor, " n"]]


def draw(
    count: int,
    seed: int,
    artifacts: Mapping[str, Odds],
    *,
    cue: float = 1.0,
    dose: float = 1.0,
    size: int = 64,
    look: Look = "smooth",
) -> Lesions:
    """Draw pictures, half of them malignant.

    Args:
        count: how many.
        seed: of everything; the same seed with other artifacts, odds or dose gives the same lesions, and
            each artifact at the same place.
        artifacts: a name out of `ARTIFACTS` -> the probability that a benign and that a malignant picture has it.
        cue: strength of the true cue; 0 for none.
        dose: opacity of the artifacts, 0 to 1.
        size: height and width.
        look: which generator.

    Raises:
        UsageError: there is no such artifact.
    """
    for name in artifacts:  # in the order in which they are laid over each other
        if name not in ARTIFACTS:
            raise UsageError(f"There is no artifact {name!r}; there are {', '.join(ARTIFACTS)}.")
    plain: list[Picture] = []
    with_all: list[Picture] = []
    spots: list[np.ndarray] = []
    masks: dict[str, list[np.ndarray]] = {name: [] for name in artifacts}
    has: dict[str, list[bool]] = {name: [] for name in artifacts}
    for number in range(count):
        label = number % 2
        picture, spot = _LOOKS[look](np.random.default_rng([seed, number, 0]), label, cue, size)
        plain.append(picture)
        spots.append(spot)
        for name, odds in artifacts.items():
            rng = np.random.default_rng([seed, number, 1 + sorted(ARTIFACTS).index(name)])
            there = bool(rng.random() < odds[label])
            mask = np.zeros_like(spot)
            if there:
                drawn: Drawn = ARTIFACTS[name](rng, picture, spot, look == "grainy")
                picture, mask = picture + dose * (drawn.picture - picture), drawn.mask
            masks[name].append(mask)
            has[name].append(there)
        with_all.append(picture)
    return Lesions(
        pictures=_stacked(with_all),
        plain=_stacked(plain),
        labels=torch.arange(count) % 2,
        lesion=torch.from_numpy(np.stack(spots)),
        masks={name: torch.from_numpy(np.stack(each)) for name, each in masks.items()},
        has={name: torch.tensor(each) for name, each in has.items()},
    )


def _smooth(rng: np.random.Generator, label: int, cue: float, size: int) -> tuple[Picture, np.ndarray]:
    """Return cloudy skin with one wavy lesion; malignant ones are more irregular and of several colors."""
    skin = np.array([0.86, 0.68, 0.60]) + rng.normal(0, 0.03, 3)
    picture = skin + 0.05 * _cloud(rng, size, 4)[..., None] + 0.015 * rng.normal(size=(size, size, 1))
    y, x = _place(rng, size)
    angle, distance = np.arctan2(y, x), np.hypot(y, x)
    wave = 0.03 + 0.12 * cue * label
    edge = 1 + sum(wave * rng.normal() * np.cos(k * angle + rng.uniform(0, 2 * np.pi)) for k in range(2, 7)) / 1.5
    radius = rng.uniform(0.17, 0.25) * size
    soft = 1 / (1 + np.exp((distance / edge - radius) / (0.02 * size)))
    brown = np.array([0.45, 0.28, 0.20]) + rng.normal(0, 0.03, 3)
    bluish = np.array([0.30, 0.26, 0.34])
    share = np.clip(0.9 * cue * label * (_cloud(rng, size, 6) + 0.2), 0, 1)[..., None]
    pigment = brown * (1 - share) + bluish * share + 0.03 * _cloud(rng, size, 8)[..., None]
    picture = picture * (1 - soft[..., None]) + pigment * soft[..., None]
    return np.clip(picture, 0, 1), soft > 0.5


def _grainy(rng: np.random.Generator, label: int, cue: float, size: int) -> tuple[Picture, np.ndarray]:
    """Return furrowed skin with a heap of discs; malignant ones are scattered wider and darker here and there."""
    skin = np.array([0.80, 0.62, 0.52]) + rng.normal(0, 0.03, 3)
    y, x = _place(rng, size)
    turn = rng.uniform(0, np.pi)
    furrows = np.sin((x * np.cos(turn) + y * np.sin(turn)) * 2 * np.pi / (0.09 * size) + 2 * _cloud(rng, size, 5))
    picture = skin + 0.02 * furrows[..., None] + 0.02 * rng.normal(size=(size, size, 3))
    spread = (0.04 + 0.07 * cue * label) * size
    heap = np.zeros((size, size))
    tone = np.zeros((size, size))
    for _ in range(9):
        dy, dx = rng.normal(0, spread, 2)
        radius = rng.uniform(0.08, 0.14) * size
        disc = 1 / (1 + np.exp((np.hypot(y - dy, x - dx) - radius) / (0.015 * size)))
        heap = np.maximum(heap, disc)
        tone = np.maximum(tone, disc * cue * label * float(rng.random() < 0.35))
    pigment = np.array([0.50, 0.33, 0.22]) + tone[..., None] * (np.array([0.22, 0.16, 0.18]) - 0.45)
    picture = picture * (1 - heap[..., None]) + pigment * heap[..., None]
    return np.clip(picture, 0, 1), heap > 0.5


_LOOKS: dict[str, Callable[[np.random.Generator, int, float, int], tuple[Picture, np.ndarray]]] = {
    "smooth": _smooth,
    "grainy": _grainy,
}


def _place(rng: np.random.Generator, size: int) -> tuple[Field, Field]:
    """Return coordinates about the lesion's middle, which lies near that of the picture."""
    middle = size / 2 + rng.uniform(-0.08, 0.08, 2) * size
    y, x = np.mgrid[:size, :size].astype(float)
    return y - middle[0], x - middle[1]


def _cloud(rng: np.random.Generator, size: int, cells: int) -> Field:
    """Return a smooth random field of unit deviation that varies over a share of the picture."""
    field = gaussian_filter(zoom(rng.normal(size=(cells + 2, cells + 2)), size / cells, order=1), size / cells / 3)
    field = field[:size, :size]
    return (field - field.mean()) / max(float(field.std()), 1e-9)


def _stacked(pictures: Sequence[Picture]) -> Float[Tensor, "n 3 h w"]:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().contiguous()
