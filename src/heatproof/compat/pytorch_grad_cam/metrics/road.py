"""What to use instead of pytorch-grad-cam's ROAD."""

from typing import Any

from heatproof.errors import UsageError


def __getattr__(name: str) -> Any:
    """Answer for every class of this module."""
    if name.startswith(("ROAD", "Noisy")):
        raise UsageError(
            f"There is no {name}: use heatproof.check(model, inputs, 'faithfulness'), which states ROAD beside what "
            "other maps reach, or heatproof.metrics.road for the bare number."
        )
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
