"""Textured spots at the center: whoever points at the center hits them, and shows nothing."""

import torch

from heatproof.synthetic._fields import unrelated
from heatproof.synthetic._instance import Instance
from heatproof.synthetic._spots import CLASSES, Spotter, gratings, spots

NAME = "Textured spots, centered"
TIER = "core"
BIBTEX = ""
HELD_OUT = False
_INPUTS, _SIDE = 50, 48


def instances(seed: int) -> list[Instance]:
    """Return problems for plausibility, 50 pictures."""
    generator = torch.Generator().manual_seed(seed)
    textures = gratings(generator)
    data = spots(_INPUTS, _SIDE, textures, generator, centered=True)
    net = Spotter(textures, [(c + 1) % CLASSES for c in range(CLASSES)], 4, smooth=False).eval()
    masks = [mask.numpy() > 0 for mask in data.own]

    def plant(what: str, method: object) -> Instance:
        return Instance("plausibility", "bad", what, net, data.inputs, data.classes, method, "pool", masks)

    return [
        plant("a network that reads the spot beside it", "gradcam"),
        plant("a center prior", "center_prior"),
        plant("a smooth random field", unrelated(seed)),
    ]
