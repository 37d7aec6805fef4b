"""Matched filters for textured spots that lie anywhere: right and wrong maps of right networks, and shortcuts."""

from heatproof.synthetic._instance import Instance
from heatproof.synthetic._textures import problems

NAME = "Textured spots, scattered"
TIER = "core"
BIBTEX = ""
HELD_OUT = True


def instances(seed: int) -> list[Instance]:
    """Return problems on 50 pictures; networks differ in their grid and in how they bend."""
    return problems(2, 48, (4, 6)[seed % 2], seed, smooth=bool(seed // 2 % 2))
