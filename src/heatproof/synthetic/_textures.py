"""Problems made of textured spots that lie anywhere: right and wrong maps of right networks, and shortcuts."""

from typing import Any

import torch
from torch import Tensor

from heatproof.synthetic._fields import unrelated
from heatproof.synthetic._instance import Answer, Instance
from heatproof.synthetic._spots import CLASSES, Spotter, gratings, spots
from heatproof.types import Capture

_INPUTS = 50
_CLEARLY = 0.1
"""Share of the peak below which an answer is no sign of a filter's own texture."""


def problems(axes: int, side: int, pool: int, seed: int, *, smooth: bool) -> list[Instance]:
    """Return problems for faithfulness and plausibility, and maps that fail sanity or say nothing of the class."""
    generator = torch.Generator().manual_seed(seed)
    textures = gratings(generator, axes)
    data = spots(_INPUTS, side, textures, generator)
    right = Spotter(textures, list(range(CLASSES)), pool, smooth=smooth).eval()
    wrong = Spotter(textures, [(c + 1) % CLASSES for c in range(CLASSES)], pool, smooth=smooth).eval()
    masks = [mask.numpy() > 0 for mask in data.own]
    planted: list[tuple[str, Answer, str, Spotter, Any]] = [
        ("sanity", "bad", "edges of the input", right, "input_edges"),
        ("sanity", "bad", "a center prior", right, "center_prior"),
        ("faithfulness", "good", "Grad-CAM", right, "gradcam"),
        ("faithfulness", "good", "Grad-CAM of a network that takes a shortcut", wrong, "gradcam"),
        ("faithfulness", "bad", "a map of the spot that is not read", right, _beside),
        ("faithfulness", "bad", "a smooth random field", right, unrelated(seed)),
        ("plausibility", "good", "a network that reads the class's own spot", right, "gradcam"),
        ("plausibility", "bad", "a network that reads the spot beside it", wrong, "gradcam"),
        ("plausibility", "bad", "a center prior", right, "center_prior"),
        ("degenerate", "good", "Grad-CAM", right, "gradcam"),
        ("degenerate", "bad", "edges of the input, the same for every class", right, "input_edges"),
    ]
    return [
        Instance(
            check, answer, f"{axes}-D: {what}", net, data.inputs, data.classes, method, "pool",
            masks if check == "plausibility" else None,
        )
        for check, answer, what, net, method in planted
    ]  # fmt: skip


def _beside(capture: Capture) -> Tensor:
    """Return the energy of the texture after the one that the target reads: that of the other spot, and nothing else.

    Filters of one texture answer to another by up to a hundredth. That would put the spot that is read second, in a map
    that is to know nothing of it.
    """
    found = (capture.activations.unsqueeze(1) * capture.gradients.roll(1, 2)).sum(2)
    peak = found.flatten(2).amax(2).reshape(*found.shape[:2], *[1] * (found.ndim - 2))
    return torch.where(found >= _CLEARLY * peak, found, 0.0)
