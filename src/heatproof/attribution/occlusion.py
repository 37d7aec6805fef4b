"""Occlusion: how far the score falls when a window of the input is covered; no gradients.

Formula (Zeiler and Fergus, 2014, arXiv:1311.2901, sec. 4.2): the mean of y(x) - y(x with the window covered) over the
windows that a place lies in. Windows start at 0, stride, 2 stride, ... along every axis; a last one ends at the edge.
The paper draws the score itself over the place of the window; here it is the fall, so that evidence for is positive.

Assumes that the baseline stands for "nothing there"; the default, 0 in what the model is given, is the mean color after
the usual normalization. All channels are covered at once. Finds nothing that a window cannot remove on its own. In the
units of the score. Cost: one forward per window; at the defaults, about 15 an axis.
"""

from collections.abc import Sequence
from itertools import product

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.attribution._maps import Baseline, baseline_of, blank, per_axis
from heatproof.capture.runs import in_batches
from heatproof.types import Subject

NAME = "Occlusion"
ALIASES = ("sliding window", "occlusion sensitivity")
TIER = "experimental"
UNITS = "score"
BIBTEX = """
@inproceedings{zeiler2014visualizing,
  title     = {Visualizing and Understanding Convolutional Networks},
  author    = {Zeiler, Matthew D. and Fergus, Rob},
  booktitle = {European Conference on Computer Vision (ECCV)},
  pages     = {818--833},
  year      = {2014},
  doi       = {10.1007/978-3-319-10590-1_53}
}
"""


def attribute(
    subject: Subject,
    *,
    window: int | Sequence[int] | None = None,
    stride: int | Sequence[int] | None = None,
    baseline: Baseline = 0.0,
    batch_size: int = 32,
) -> Float[Tensor, "n t *spatial"]:
    """Return the mean fall of the score over the windows that cover a place, signed, in the units of y.

    Args:
        subject: of which inputs, scores and rescore are used.
        window: its size, in samples, one number or one per axis; None is an eighth of every axis.
        stride: from window to window, at most the window's size; None is half a window.
        baseline: what covers it, a number, or a tensor that spreads over (c, *spatial).
        batch_size: most covered inputs in one run; halved where memory runs out. The map does not depend on it.

    Raises:
        MethodError: a setting is out of range.
    """
    size = subject.inputs.shape[2:]
    sides = per_axis(window, [max(1, side // 8) for side in size], size, "window")
    steps = per_axis(stride, [max(1, side // 2) for side in sides], sides, "stride")
    cover = baseline_of(subject, baseline).to(subject.inputs.dtype)
    starts = [_starts(*axis) for axis in zip(size, sides, steps, strict=True)]
    places = [tuple(slice(a, a + side) for a, side in zip(corner, sides, strict=True)) for corner in product(*starts)]
    owners = torch.arange(len(subject.inputs), device=subject.inputs.device).repeat_interleave(len(places))

    def score(rows: slice) -> Float[Tensor, "b t"]:
        covered = subject.inputs[owners[rows]]
        for one, number in zip(covered, range(rows.start, rows.stop), strict=True):
            where = (slice(None), *places[number % len(places)])
            one[where] = cover[where]
        return subject.rescore(covered, owners[rows])

    found = in_batches(subject, len(owners), batch_size, score).unflatten(0, (-1, len(places)))
    falls = subject.scores.unsqueeze(1) - found
    maps = blank(subject)
    windows = torch.zeros_like(maps[0, 0])
    for number, place in enumerate(places):
        maps[(..., *place)] += falls[:, number].view(*maps.shape[:2], *(1,) * len(size))
        windows[place] += 1
    return maps / windows


def _starts(length: int, side: int, step: int) -> list[int]:
    """Return where the windows of one axis start."""
    last = length - side
    return sorted({*range(0, last, step), last})
