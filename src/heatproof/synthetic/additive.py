"""Additive networks on pictures: the score is a weighted sum over the grid, so that exact contributions are known."""

from heatproof.synthetic._additive import problems
from heatproof.synthetic._instance import Instance

NAME = "Additive networks, 2-D"
TIER = "core"
BIBTEX = ""
HELD_OUT = False


def instances(seed: int) -> list[Instance]:
    """Return faithful and unfaithful maps of one network, 50 pictures."""
    return problems(2, (8, 8), seed)
