"""The result of explaining: signed maps on the layer's grid, with everything needed to read them rightly."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from heatproof.types.capture import Target
from heatproof.types.input import Geometry, Input

if TYPE_CHECKING:
    from PIL.Image import Image

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
"""Name of linear interpolation for each number of spatial axes, as torch spells it."""


@dataclass(frozen=True)
class Resolution:
    """How coarse a map is: no claim about a place finer than this can be made from it.

    Attributes:
        grid: positions of the map, per axis.
        spacing: samples of the model's input per grid position, per axis.
        receptive_field: samples of the model's input that one grid position can depend on, per axis; None when
            every position can depend on the whole input (attention), or when it could not be found.
    """

    grid: tuple[int, ...]
    spacing: tuple[float, ...]
    receptive_field: tuple[float, ...] | None = None


@dataclass(frozen=True)
class QuickChecks:
    """Reference values for one map, without a verdict. All are unitless but the drops, which are in units of y.

    Attributes:
        drop_top: fall of y when the top region is masked.
        drop_elsewhere: mean fall of y when regions of the same shape elsewhere are masked.
        region_share: share of the grid that the top region covers.
        similarity_runner_up: Spearman correlation with the map of the strongest other class; None without one.
        runner_up: the name of that class.
        similarity_random: Spearman correlation with the map of the same network with random weights.
        forwards: what this cost, in forwards per input.
    """

    drop_top: float
    drop_elsewhere: float
    region_share: float
    similarity_runner_up: float | None
    runner_up: str | None
    similarity_random: float
    forwards: int


@dataclass(frozen=True, eq=False)
class Explanation:
    """Signed evidence for t targets of n inputs, on the target layer's grid, in the units of the target.

    Attributes:
        maps: (n, t, *grid), at least float32, signed; positive where the evidence is for the target.
        scores: (n, t) the explained y.
        targets: n tuples of t targets.
        method: the CAM method's name.
        layer: dotted name of the target layer (several joined by " + ").
        resolution: grid, spacing and receptive field.
        inputs: the n originals.
        geometries: where the model's view lies in each original.
        input_size: spatial size of what the model was given.
        flags: per input and target: "blank", "constant", "non-finite", "all-negative".
        units: what the values of `maps` are measured in: "score" (the target's own), "activations" (of the layer: the
            method never asks for the score's size), "score per input" (a gradient), "none" or "unknown" (a function of
            the user's).
        model: name of the model.
        provenance: versions, seeds, settings: what is needed to make it again.
        origin: the explainer and the batch that it explained, for the checks that run the model again.
        quick_checks: per input, for its first target, reference values without a verdict; None unless asked for.
    """

    maps: Float[Tensor, "n t *grid"]
    scores: Float[Tensor, "n t"]
    targets: tuple[tuple[Target, ...], ...]
    method: str
    layer: str
    resolution: Resolution
    inputs: tuple[Input, ...]
    geometries: tuple[Geometry, ...]
    input_size: tuple[int, ...]
    flags: tuple[tuple[tuple[str, ...], ...], ...]
    units: str = "score"
    model: str = "model"
    provenance: dict[str, Any] = field(default_factory=dict[str, Any])
    origin: Any = field(default=None, repr=False)
    quick_checks: tuple[tuple[QuickChecks, ...], ...] | None = None

    def __len__(self) -> int:
        return len(self.maps)

    def heatmaps(self) -> Float[Tensor, "n t *spatial"]:
        """Return the positive evidence at the size of the model's input: ReLU, then linear upsampling, same units."""
        mode = LINEAR[len(self.input_size)]
        return F.interpolate(self.maps.clamp(min=0), size=self.input_size, mode=mode, align_corners=False)

    def overlay(
        self,
        index: int = 0,
        target: int = 0,
        *,
        signed: bool = False,
        frame: bool = True,
        vmax: float | None = None,
    ) -> "Image":
        """Draw the map over its input, at the input's original size, with color bar and caption.

        Args:
            index: which input.
            target: which of its targets.
            signed: show evidence for and against in a diverging color map.
            frame: add color bar and caption around the picture; without them it has exactly the input's size.
            vmax: end of the color scale in the units of y, to compare several maps; None is the map's own maximum.
        """
        from heatproof.report.overlay import overlay  # a door to the report layer, see docs/decisions/explanation.md

        return overlay(self, index, target, signed=signed, frame=frame, vmax=vmax)

    def save(self, folder: str | Path) -> Path:
        """Write overlays, `map.npz` (float32) and, last, `manifest.json` into `folder`; return the folder."""
        from heatproof.report.bundle import save_bundle

        return save_bundle(self, Path(folder))

    def to_xarray(self, index: int = 0) -> Any:
        """Return the maps of one input as an `xarray.DataArray` (target, *axes) with coordinates in the axes' units.

        Raises:
            MissingExtraError: xarray is not installed.
        """
        from heatproof.report.bundle import to_xarray

        return to_xarray(self, index)

    def _repr_html_(self) -> str:
        from heatproof.report.bundle import notebook_html

        return notebook_html(self)

    def to_numpy(self) -> np.ndarray:
        """Return `maps` as a float32 array on the CPU."""
        return self.maps.detach().float().cpu().numpy()
