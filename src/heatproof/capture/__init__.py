"""One forward pass seen from the target layer: the only hooks of the package."""

from heatproof.capture.batch import Batch
from heatproof.capture.engine import Engine

__all__ = ["Batch", "Engine"]
