"""The frozen records that flow through the package; see DESIGN in docs/ for the vocabulary."""

from heatproof.types.capture import Capture, Target
from heatproof.types.explanation import Explanation, QuickChecks, Resolution
from heatproof.types.input import Axis, Geometry, Input, Prepared

__all__ = ["Axis", "Capture", "Explanation", "Geometry", "Input", "Prepared", "QuickChecks", "Resolution", "Target"]
