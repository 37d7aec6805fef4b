"""Taking one stain out of a picture: the intervention that tells whether the network uses it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8

from heatproof.demo.evidence import POSITIVE_LABEL
from heatproof.explain import explain
from heatproof.inputs import read
from heatproof.models import Model

CHANNEL = {"hematoxylin": 0, "DAB": 2}
"""Channels of scikit-image's color deconvolution; 1 is eosin, which this slide does not have."""


@dataclass(frozen=True)
class Removal:
    """What the network says when a stain is taken out of tiles that it should call positive.

    Attributes:
        stain: what was taken out; None for the tiles as they are.
        called_positive: number of tiles still called DAB-positive.
        tiles: number of tiles.
        score: mean logit of DAB-positive.
    """

    stain: str | None
    called_positive: int
    tiles: int
    score: float


def without(picture: UInt8[np.ndarray, "h w 3"], stain: str) -> UInt8[np.ndarray, "h w 3"]:
    """Return the picture with one stain's amount set to zero at every pixel (Ruifrok & Johnston 2001)."""
    from skimage.color import hed2rgb, rgb2hed

    amounts = rgb2hed(picture)
    amounts[..., CHANNEL[stain]] = 0
    return np.rint(hed2rgb(amounts) * 255).astype(np.uint8)


def remove(model: Model, pictures: Sequence[UInt8[np.ndarray, "h w 3"]], stain: str | None) -> Removal:
    """Take a stain out of every picture and ask the network again."""
    changed = list(pictures) if stain is None else [without(picture, stain) for picture in pictures]
    inputs = [read(picture) for picture in changed]
    predicted = explain(model, inputs).targets
    scores = explain(model, inputs, POSITIVE_LABEL).scores
    called = sum(row[0].name == POSITIVE_LABEL for row in predicted)
    return Removal(stain, called, len(inputs), float(scores.mean()))
