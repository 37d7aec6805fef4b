"""One map as a person is to read it: its scale, what may not be drawn, and what the caption must say."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float

from heatproof.errors import TargetError, UsageError
from heatproof.inputs.prepare import restore
from heatproof.report.color import Scale, number
from heatproof.types import Axis, Explanation, Geometry, Input, Target

THRESHOLD = 0.15
OPACITY = 0.6
_UNITS = {
    "activations": "activation of the layer, not in units of the score",
    "score per input": "score per unit of the model's input",
    "none": "no unit: only the places compare",
    "unknown": "as the method gives it",
}
_LABEL_LENGTH = 160  # letters of a label before it is cut: a caption is not the place for a free text


@dataclass(frozen=True, eq=False)
class View:
    """One map of an explanation, ready to be drawn.

    Attributes:
        ex: the explanation.
        index: which input.
        column: which of its targets.
        values: the map on its own grid, in the units of the target.
        scale: what the colors mean; None when nothing can be drawn and no scale was given.
        remarks: what has to be known before the map is read: blank, all-negative, clipped, ...
        empty: whether no evidence may be drawn.
    """

    ex: Explanation
    index: int
    column: int
    values: Float[np.ndarray, "*grid"]
    scale: Scale | None
    remarks: tuple[str, ...]
    empty: bool

    @property
    def input(self) -> Input:
        """What was explained."""
        return self.ex.inputs[self.index]

    @property
    def geometry(self) -> Geometry:
        """Where the model's view of it lies."""
        return self.ex.geometries[self.index]

    @property
    def target(self) -> Target:
        """The scalar that was explained."""
        return self.ex.targets[self.index][self.column]

    @property
    def score(self) -> float:
        """The target's value."""
        return float(self.ex.scores[self.index, self.column].detach())

    @cached_property
    def restored(self) -> Float[np.ndarray, "*original"]:
        """Return the evidence at the input's original size; NaN where the model did not look."""
        return restore(torch.from_numpy(self.values), self.geometry).numpy()

    @cached_property
    def unseen(self) -> Bool[np.ndarray, "*original"]:
        """Return where the model did not look."""
        return restore(torch.zeros(self.values.shape), self.geometry).isnan().numpy()

    def unit(self) -> str:
        """Return what the color bar measures."""
        by_name = self.target.index is None or self.target.name.startswith("output")
        score_unit = "evidence, in the target's units" if by_name else "logit evidence"
        unit = _UNITS.get(self.ex.units, score_unit)
        signed = self.scale is not None and self.scale.signed
        return f"{unit} (blue: against, orange: for the target)" if signed else unit

    def caption(self, *notes: str) -> list[str]:
        """Return the caption, the first line being its title.

        Args:
            notes: what else the drawing itself has to say.
        """
        ex = self.ex
        lines = [f"{label(self.target)}: score {number(self.score)}", *self.remarks]
        lines.append(f"{ex.method} at {ex.layer}, {ex.model}; input: {tidy(self.input.name)}")
        lines.append(self.resolution())
        if self.scale is not None and not self.empty:
            share, floor = f"{self.scale.threshold:.0%} of the scale", number(self.scale.floor)
            where = f"between −{floor} and {floor} (±{share})" if self.scale.signed else f"below {floor} ({share})"
            lines.append(f"No color {where}.")
        if not self.geometry.exact:
            lines.append("Place assumed: the preprocessing does not say where the model's view lies in the input.")
        return [*lines, *(note for note in notes if note)]

    def resolution(self) -> str:
        """Return the map's grid and what one position spans in the original, as a sentence."""
        spans = zip(self.ex.resolution.spacing, self.geometry.scale, self.input.axes, strict=True)
        steps = [(abs(spacing / scale) * axis.spacing(), axis.unit or "samples") for spacing, scale, axis in spans]
        grid = " × ".join(str(side) for side in self.ex.resolution.grid)
        if len({unit for _, unit in steps}) == 1:
            step = " × ".join(number(size) for size, _ in steps) + f" {steps[0][1]}"
        else:
            step = " × ".join(f"{number(size)} {unit}" for size, unit in steps)
        return f"Resolution: {grid} positions, each {step} of the input."


def view(
    ex: Explanation, index: int, target: int, *, signed: bool, threshold: float, opacity: float, vmax: float | None
) -> View:
    """Look up one map and decide on its scale.

    Raises:
        UsageError: there is no such input, or a setting is out of its range.
        TargetError: there is no such target.
    """
    if not 0 <= index < len(ex):
        raise UsageError(f"There is no input {index}: this explanation holds {len(ex)}, numbered from 0.")
    if not 0 <= target < len(ex.targets[index]):
        raise TargetError(f"There is no target {target}: input {index} has {len(ex.targets[index])}, numbered from 0.")
    if not 0 <= threshold < 1:
        raise UsageError(f"threshold={threshold} must be a share of the scale: at least 0 and below 1.")
    if not 0 < opacity <= 1:
        raise UsageError(f"opacity={opacity} must be above 0 and at most 1.")
    if vmax is not None and not (np.isfinite(vmax) and vmax > 0):
        raise UsageError(f"vmax={vmax} must be a finite number above 0, in the units of the target.")
    values = ex.maps[index, target].detach().cpu()
    values = (values if values.dtype == torch.float64 else values.float()).numpy()  # 1e-60 is not zero
    name, flags = label(ex.targets[index][target]), ex.flags[index][target]
    remarks: list[str] = []
    top = float(np.abs(values).max() if signed else values.max())  # NaN stays NaN
    if empty := _empty(values, flags, signed, name):
        remarks.append(empty)
    else:
        if values.max() <= 0:
            remarks.append(f"All evidence is against {name}.")
        if "constant" in flags or values.min() == values.max():
            remarks.append("The map is constant: it points at no place.")
        elif not _visible(values, signed, ex.geometries[index]):
            remarks.append(f"The strongest evidence ({number(top)}) lies in the padding around the input.")
    if vmax is not None and not empty and top > vmax:
        remarks.append(f"Scale fixed at {number(vmax)}; evidence beyond it, up to {number(top)}, gets the last color.")
    elif vmax is not None and not empty:
        remarks.append(f"Scale fixed at {number(vmax)}; this map reaches {number(top)}.")
    limit = vmax if vmax is not None else (top if not empty else None)
    scale = None if limit is None else Scale(limit, threshold, signed)
    return View(ex, index, target, values, scale, tuple(remarks), bool(empty))


def _empty(values: Float[np.ndarray, "..."], flags: tuple[str, ...], signed: bool, name: str) -> str:
    """Return why no evidence may be drawn, or an empty string."""
    if not np.isfinite(values).all() or "non-finite" in flags:
        return "The map is not finite (NaN or infinite): it is not drawn."
    low, high = float(values.min()), float(values.max())
    if low == 0 == high:
        return f"The map is zero everywhere: no positive evidence for {name}, and none against it."
    if high > 0:
        return f"The map is flagged as blank: no positive evidence for {name}." if "blank" in flags else ""
    if signed:
        return ""
    against = f"{number(low)} to {number(high)}"
    if high < 0:
        return f"No positive evidence for {name}: all evidence is against it ({against})."
    return f"No positive evidence for {name}, only evidence against it ({against})."


def _visible(values: Float[np.ndarray, "*grid"], signed: bool, geometry: Geometry) -> bool:
    """Return whether the strongest grid position has its center inside the original."""
    peak = np.unravel_index(int((np.abs(values) if signed else values).argmax()), values.shape)
    center = geometry.to_original(grid_centers([float(p) for p in peak], values.shape, geometry.model_size))
    return all(-0.5 <= place <= side - 0.5 for place, side in zip(center, geometry.original_size, strict=True))


def grid_centers(position: Sequence[float], grid: Sequence[int], model_size: Sequence[int]) -> tuple[float, ...]:
    """Return where the center of a grid position lies in the model's input, in samples (0 is the first's center)."""
    return tuple((p + 0.5) * side / n - 0.5 for p, n, side in zip(position, grid, model_size, strict=True))


def label(target: Target) -> str:
    """Return a target's name as one line of bounded length."""
    return tidy(target.name)


def tidy(text: str) -> str:
    """Return a text that users wrote as one printable line of bounded length."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= _LABEL_LENGTH else line[: _LABEL_LENGTH - 1] + "…"


def literal(text: str) -> str:
    """Return a text as matplotlib has to be given it for its dollar signs to be drawn, and not to begin a formula."""
    return text.replace("$", r"\$")


def position_axis(axis: Axis, positions: Float[np.ndarray, " p"]) -> Float[np.ndarray, " p"]:
    """Return the coordinates, in the axis's unit, of fractional sample positions; straight on beyond the ends."""
    if axis.coordinates is None:
        return positions
    known = np.asarray(axis.coordinates, dtype=np.float64)
    if len(known) < 2:
        return known[0] + positions
    start = np.clip(np.floor(positions), 0, len(known) - 2).astype(np.intp)
    return known[start] + (positions - start) * (known[start + 1] - known[start])
