"""Matched filters for textured spots that lie anywhere: right and wrong maps of right networks, and shortcuts."""

import torch

from heatproof.synthetic._fields import unrelated
from heatproof.synthetic._instance import Instance
from heatproof.synthetic._spots import CLASSES, Spotter, gratings, spots

NAME = "Textured spots, scattered"
TIER = "core"
BIBTEX = ""
HELD_OUT = True
_INPUTS, _SIDE = 50, 48


def instances(seed: int) -> list[Instance]:
    """Return problems for faithfulness, plausibility, and maps that fail sanity, 50 pictures."""
    generator = torch.Generator().manual_seed(seed)
    textures = gratings(generator)
    data = spots(_INPUTS, _SIDE, textures, generator)
    pool, smooth = (4, 6)[seed % 2], bool(seed // 2 % 2)
    right = Spotter(textures, list(range(CLASSES)), pool, smooth=smooth).eval()
    wrong = Spotter(textures, [(c + 1) % CLASSES for c in range(CLASSES)], pool, smooth=smooth).eval()
    x, target, masks = data.inputs, data.classes, [mask.numpy() > 0 for mask in data.own]
    unlike = unrelated(seed)

    def plant(check: str, answer: str, what: str, model: Spotter, method: object) -> Instance:
        given = masks if check == "plausibility" else None
        return Instance(check, "good" if answer == "good" else "bad", what, model, x, target, method, "pool", given)

    return [
        plant("sanity", "bad", "edges of the input", right, "input_edges"),
        plant("sanity", "bad", "a center prior", right, "center_prior"),
        plant("faithfulness", "good", "Grad-CAM", right, "gradcam"),
        plant("faithfulness", "good", "Grad-CAM of a network that takes a shortcut", wrong, "gradcam"),
        plant("faithfulness", "bad", "a center prior", right, "center_prior"),
        plant("faithfulness", "bad", "a smooth random field", right, unlike),
        plant("plausibility", "good", "a network that reads the class's own spot", right, "gradcam"),
        plant("plausibility", "bad", "a network that reads the spot beside it", wrong, "gradcam"),
        plant("plausibility", "bad", "a center prior", right, "center_prior"),
    ]
