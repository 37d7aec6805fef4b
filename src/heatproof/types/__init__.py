"""The frozen records that flow through the package; see DESIGN in docs/ for the vocabulary."""

from heatproof.types.capture import Attention, Capture, Source, Target
from heatproof.types.check import CheckResult, Interval, Verdict
from heatproof.types.explanation import Explanation, QuickChecks, Resolution
from heatproof.types.input import Axis, Geometry, Input, Prepared
from heatproof.types.subject import Rectifier, Subject

__all__ = [
    "Attention",
    "Axis",
    "Capture",
    "CheckResult",
    "Explanation",
    "Geometry",
    "Input",
    "Interval",
    "Prepared",
    "QuickChecks",
    "Rectifier",
    "Resolution",
    "Source",
    "Subject",
    "Target",
    "Verdict",
]
