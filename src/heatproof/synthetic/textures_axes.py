"""Bursts in signals and textured blobs in volumes: as in pictures, networks that read them and networks that do not."""

from heatproof.synthetic._instance import Instance
from heatproof.synthetic._textures import problems

NAME = "Textured spots in signals and volumes"
TIER = "core"
BIBTEX = ""
HELD_OUT = True


def instances(seed: int) -> list[Instance]:
    """Return problems on 50 signals, every third seed on 50 volumes."""
    smooth = bool(seed // 2 % 2)
    return problems(3, 16, 4, seed, smooth=smooth) if seed % 3 == 2 else problems(1, 160, 8, seed, smooth=smooth)
