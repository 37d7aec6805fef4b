"""Additive networks on signals and volumes: other axes than those that margins were chosen on."""

from heatproof.synthetic._additive import problems
from heatproof.synthetic._instance import Instance

NAME = "Additive networks, 1-D and 3-D"
TIER = "core"
BIBTEX = ""
HELD_OUT = True


def instances(seed: int) -> list[Instance]:
    """Return faithful and unfaithful maps of a network on 50 signals and of one on 50 volumes."""
    return [*problems(1, (24,), seed), *problems(3, (4, 4, 5), seed + 1)]
