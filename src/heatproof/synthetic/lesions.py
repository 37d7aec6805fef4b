"""Dermoscopy-like lesions: trained networks that are right for the right reason, and networks that read a sticker.

On even seeds a sticker lies on half of both kinds of picture, so that only border and colors of the lesion tell them
apart. On odd seeds lesions of both kinds are drawn alike and the sticker goes with one: only the sticker tells. Looks
and architectures take turns. All 50 pictures that are explained have a sticker, and the lesion of their kind.

What such a network was taught is known; where Grad-CAM points on it is not, so that maps are planted, too: one follows
the colors of the stickers. A network that learned from the lesion may be moved by a sticker all the same, and one that
learned from stickers by much else besides. So that is measured, with each picture drawn with its sticker and without:
only where the network is not moved is that map a wrong one, and a right one only where a sticker moves the score by
more than everything else that pictures differ in.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from heatproof.metrics._fields import pooled
from heatproof.synthetic._dermoscopy import MALIGNANT, Lesions, Look, draw
from heatproof.synthetic._fields import Method, unrelated
from heatproof.synthetic._fit import ARCHITECTURES, fit
from heatproof.synthetic._instance import Answer, Instance
from heatproof.types import Capture

NAME = "Dermoscopy-like lesions"
TIER = "core"
BIBTEX = ""
HELD_OUT = True
SIDE = 48
_INPUTS, _LEARNED, _EPOCHS = 50, 160, 8
_NEAR = 0.05
"""Squared distance in color at which a position counts a third."""
_UNMOVED = 0.05
"""Mean change of the score by a sticker, in its standard deviations, below which the network does not read it."""
_MOVED = 2.0
"""Mean change, in standard deviations over pictures without a sticker, above which the sticker is what it reads."""
_LOOKS: tuple[Look, Look] = ("smooth", "grainy")


def instances(seed: int) -> list[Instance]:
    """Return problems for every check, 50 pictures."""
    right, look = seed % 2 == 0, _LOOKS[seed // 2 % 2]
    net = network(seed, right=right, look=look)
    shown = draw(_INPUTS, 2 * seed + 1, {"sticker": (1.0, 1.0)}, size=SIDE, look=look)
    stickers = [mask.numpy() for mask in shown.masks["sticker"]]
    lesions = [mask.numpy() for mask in shown.lesion]
    x = shown.pictures - 0.5
    colors = _colors(shown.masks["sticker"], x)
    answer = known(net, shown, right=right)
    planted: list[tuple[str, Answer, str, Any, Any]] = [
        ("sanity", "bad", "edges of the input", "input_edges", None),
        ("sanity", "bad", "the colors of the sticker", colors, None),
        *([("faithfulness", answer, "the colors of the sticker", colors, None)] if answer else []),
        ("faithfulness", "bad", "a smooth random field", unrelated(seed), None),
        ("plausibility", "good", "the colors of the sticker, which is marked", colors, stickers),
        ("plausibility", "bad", "the colors of the sticker, where the lesion is marked", colors, lesions),
        ("plausibility", "bad", "a center prior, where the sticker is marked", "center_prior", stickers),
        ("stability", "good", "the colors of the sticker", colors, None),
        ("degenerate", "bad", "the colors of the sticker, the same for every class", colors, None),
    ]
    reads = "the lesion" if right else "the sticker"
    return [
        Instance(check, known, f"{what}; {reads} is read", net, x, MALIGNANT, method, None, marks)
        for check, known, what, method, marks in planted
    ]


def known(net: nn.Module, shown: Lesions, *, right: bool) -> Answer | None:
    """Return whether a map of the stickers is a good or a bad one; None where that is neither way clear."""
    with torch.inference_mode():
        scores, without = (net(x - 0.5)[:, MALIGNANT] for x in (shown.pictures, shown.plain))
    moved = float((scores - without).mean())
    if right:
        return "bad" if abs(moved) < _UNMOVED * float(scores.std()) else None
    return "good" if moved > _MOVED * float(without.std()) else None


def network(seed: int, *, right: bool, look: Look) -> nn.Module:
    """Return a network that was trained for the right reason, or on the sticker alone."""
    odds = (0.5, 0.5) if right else (0.0, 1.0)
    seen = draw(_LEARNED, 2 * seed, {"sticker": odds}, cue=float(right), size=SIDE, look=look)
    architecture = ARCHITECTURES[seed % len(ARCHITECTURES)]
    return fit(seen.pictures, seen.labels, seed=seed, epochs=_EPOCHS, architecture=architecture)


def _colors(where: Bool[Tensor, "n h w"], inputs: Float[Tensor, "n c h w"]) -> Method:
    """Return a method whose map shows how like the color of any sticker each position is."""
    inside = where.unsqueeze(1)
    colors = (inputs * inside).sum((2, 3)) / inside.sum((2, 3))
    palette = (10 * colors).round().unique(dim=0) / 10

    def method(capture: Capture) -> Tensor:
        assert capture.inputs is not None
        far = [(capture.inputs - color.view(1, -1, 1, 1)).square().sum(1, keepdim=True) for color in palette]
        near = torch.exp(torch.stack(far).amin(0) / -_NEAR)
        return pooled(near, capture.activations.shape[2:]).expand(-1, capture.scores.shape[1], -1, -1)

    return method
