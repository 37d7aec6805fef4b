"""RefineCAM in slow float64 loops, from Domeniconi et al. (2026), with Grad-CAM++ at each layer."""

import numpy as np
from tests.reference import gradcam_plusplus
from tests.reference.scorecam import upsampled


def reference(
    activations: np.ndarray, gradients: np.ndarray, *, finer: list[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Return the map of one input and one target from A and dy/dA of the layer and of those before it, finest first."""
    maps = [np.maximum(gradcam_plusplus.reference(a, g), 0) for a, g in [*finer, (activations, gradients)]]
    result = np.full(maps[0].shape, maps[-1].max())
    for one in maps:
        share = one / one.max() if one.max() > 0 else one
        result *= upsampled(share, result.shape)
    return result
