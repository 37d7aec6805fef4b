"""How much of a slide's evidence lies where an expert outlined, against the share of tissue that is outlined."""

from typing import Any

import numpy as np
from jaxtyping import Bool

from heatproof.wsi.result import SlideMap
from heatproof.wsi.tissue import Tissue


def plausibility(found: SlideMap, outlined: Bool[np.ndarray, "h w"], mpp: float, label: str) -> dict[str, Any]:
    """Return the share of positive evidence inside the outlines, chance, and whether the peak lies inside.

    Args:
        found: the map.
        outlined: over the whole slide.
        mpp: of that mask.
        label: what was outlined, for reports.
    """
    number, values = found.working()
    step = found.canvas.microns * 2**number
    inside = Tissue(outlined, mpp, label).over(0.0, 0.0, step, (values.shape[0], values.shape[1]))
    seen = np.isfinite(values)
    positive = np.where(seen, values, 0).clip(0)
    total = float(positive.sum(dtype=np.float64))
    share = float(positive[inside].sum(dtype=np.float64)) / total if total > 0 else float("nan")
    chance = float(inside[seen].mean())
    peak = np.unravel_index(int(np.argmax(np.where(seen, values, -np.inf))), values.shape)
    return {
        "outlined": label,
        "share_of_evidence": share,
        "share_of_tissue": chance,
        "times_chance": share / chance if chance > 0 else float("nan"),
        "peak_inside": bool(inside[peak]),
    }
