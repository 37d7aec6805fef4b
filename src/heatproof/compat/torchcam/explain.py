"""What to use instead of torchcam's `explain`, which writes a folder about one image."""

from typing import Any

from heatproof.errors import UsageError


def __getattr__(name: str) -> Any:
    """Answer for what is not offered."""
    if name in ("explain", "PredictionExplanation"):
        raise UsageError(
            f"There is no {name}: heatproof.explain(model, x).save(folder) writes overlay, map and manifest, and "
            "explains several classes with target=[[3, 7]]."
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
