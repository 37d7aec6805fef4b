"""Center prior: a control. A Gaussian in the middle of the input; neither the model nor the input is asked.

Formula: exp(-1/2 sum over axes of ((p - center) / (width * side))^2).

People put what they photograph in the middle, so that a map that always points there agrees with many annotations. A
localization score means something only where it beats this one (Judd et al., 2009). No unit. Cost: none.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.attribution._maps import blank
from heatproof.errors import MethodError
from heatproof.types import Subject

NAME = "Center prior"
ALIASES = ("center bias", "center Gaussian")
TIER = "experimental"
UNITS = "none"
SCALES_WITH_SCORE = False  # does not see the score
BIBTEX = """
@inproceedings{judd2009learning,
  title     = {Learning to Predict Where Humans Look},
  author    = {Judd, Tilke and Ehinger, Krista and Durand, Fr{\\'e}do and Torralba, Antonio},
  booktitle = {IEEE International Conference on Computer Vision (ICCV)},
  pages     = {2106--2113},
  year      = {2009},
  doi       = {10.1109/ICCV.2009.5459462}
}
"""


def attribute(subject: Subject, *, width: float = 0.25) -> Float[Tensor, "n t *spatial"]:
    """Return a Gaussian with its top, 1, at the center, the same for every input and target.

    Args:
        subject: of which the shapes are used.
        width: standard deviation, as a share of every axis.

    Raises:
        MethodError: `width` is not above 0.
    """
    if width <= 0:
        raise MethodError(f"width is {width}; it must be above 0.")
    maps = blank(subject)
    squares = torch.zeros_like(maps[0, 0])
    for axis, side in enumerate(squares.shape):
        places = torch.arange(side, dtype=maps.dtype, device=maps.device)
        off = (places - (side - 1) / 2) / (width * side)
        squares += off.square().view(-1, *(1,) * (squares.ndim - 1 - axis))
    return maps + torch.exp(-squares / 2)
