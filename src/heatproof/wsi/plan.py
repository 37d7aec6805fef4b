"""What is to be run: the lattice over the slide, the tiles with tissue on it, and what that will take."""

from dataclasses import dataclass
from math import ceil

import numpy as np
from jaxtyping import Bool, Int

from heatproof.errors import InputError
from heatproof.inputs.slide import Slide
from heatproof.wsi.network import Way
from heatproof.wsi.tissue import Tissue

_SIDE = 1024  # pixels of a seamless tile, without its halo
_LEAST = 4  # such a tile is at least this many halos wide: the halo is computed twice


@dataclass(frozen=True, eq=False)
class Plan:
    """The lattice and its tiles, in grid positions and pixels at `mpp`.

    Attributes:
        mpp: microns per pixel that the model sees.
        spacing: pixels per grid position.
        shape: rows and columns of the lattice over the whole slide.
        core: positions per side that one tile fills.
        step: positions from one tile to the next; `core` when seamless, half of it when blended.
        halo: pixels around the core that are read, too.
        side: pixels per side that the model is given.
        tiles: (n, 2) row and column of each tile's first position.
    """

    mpp: float
    spacing: float
    shape: tuple[int, int]
    core: int
    step: int
    halo: int
    side: int
    tiles: Int[np.ndarray, "n 2"]

    @property
    def microns(self) -> float:
        """Distance between grid positions."""
        return self.spacing * self.mpp

    def pixels(self, tile: int) -> tuple[int, int]:
        """Return x and y of the first pixel that is read for a tile."""
        row, column = self.tiles[tile]
        return round(column * self.spacing) - self.halo, round(row * self.spacing) - self.halo

    def tissue_of(self, tissue: Tissue, tile: int) -> Bool[np.ndarray, "core core"]:
        """Return which positions of a tile are tissue."""
        row, column = self.tiles[tile] * self.microns
        return tissue.over(column, row, self.microns, (self.core, self.core))


def make_plan(slide: Slide, tissue: Tissue, way: Way, mpp: float | int, window: int, side: int | None = None) -> Plan:
    """Return the plan.

    Args:
        slide: the slide.
        tissue: where to look.
        way: how the network runs.
        mpp: microns per pixel that the model wants.
        window: pixels per side of a blended tile.
        side: pixels per side of a seamless tile without its halo; None takes 1,024, or more for a wide halo.

    Raises:
        InputError: no tile touches tissue.
    """
    width, height = slide.size_at(mpp)
    if way.mode == "seamless":
        core = max(1, int(max(side or _SIDE, 0 if side else _LEAST * way.halo) // way.spacing))
        step, pixels = core, int(core * way.spacing) + 2 * way.halo
    else:
        core = max(1, round(window / way.spacing))
        step, pixels = max(1, core // 2), window
    shape = (ceil(height / way.spacing), ceil(width / way.spacing))
    rows, columns = (np.arange(0, max(1, length - (core - step)), step) for length in shape)
    lattice = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)
    plan = Plan(mpp, way.spacing, shape, core, step, way.halo, pixels, lattice)
    touched = [i for i in range(len(lattice)) if plan.tissue_of(tissue, i).any()]
    if not touched:
        raise InputError(f"No tile of {slide.path.name} touches the tissue that is to be looked at ({tissue.origin}).")
    return Plan(mpp, way.spacing, shape, core, step, way.halo, pixels, lattice[touched])
