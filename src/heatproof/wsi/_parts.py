"""Connected parts of masks."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from scipy import ndimage


def connected(mask: Bool[np.ndarray, "h w"]) -> tuple[Int[np.ndarray, "h w"], int]:
    """Return the number of the connected part that each position belongs to (0 is none), and how many there are."""
    found: Any = ndimage.label(mask)
    return np.asarray(found[0]), int(found[1])
