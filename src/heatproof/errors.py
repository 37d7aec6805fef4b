"""Every error that heatproof raises on purpose, in one tree.

```text
HeatproofError
├── UsageError (ValueError)             the call contradicts itself or the data
│   ├── InputError                      an input that cannot be read or used
│   ├── ModelError                      a model or checkpoint that cannot be loaded or used
│   ├── LayerError                      a target layer that does not exist, never runs or has no grid
│   ├── TargetError                     a target that does not exist or does not fit the output
│   └── MethodError                     a method that does not exist or cannot work here
├── MissingExtraError (ImportError)     an optional dependency is needed; says which extra
└── ExplainError (RuntimeError)         the model ran, but what it did cannot be explained
HeatproofWarning (UserWarning)          the result is right, but read this first
```

Every message is a sentence: what was wrong, with the offending value, and the mend.
"""

import difflib
from collections.abc import Iterable


class HeatproofError(Exception):
    """Root of all errors that heatproof raises on purpose."""


class UsageError(HeatproofError, ValueError):
    """The call contradicts itself or the data."""


class InputError(UsageError):
    """An input that cannot be read or used."""


class ModelError(UsageError):
    """A model or checkpoint that cannot be loaded or used."""


class LayerError(UsageError):
    """A target layer that does not exist, never runs or has no grid."""


class TargetError(UsageError):
    """A target that does not exist or does not fit the model's output."""


class MethodError(UsageError):
    """A method that does not exist or cannot work on this capture."""


class MissingExtraError(HeatproofError, ImportError):
    """An optional dependency is needed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is needed for this and is not installed; run: pip install 'heatproof[{extra}]'.")


class ExplainError(HeatproofError, RuntimeError):
    """The model ran, but what it did cannot be explained."""


class HeatproofWarning(UserWarning):
    """The result is right, but there is something to know before reading it."""


def nearest(name: str, known: Iterable[str], n: int = 5) -> str:
    """Return `"; did you mean 'a', 'b'?"` for the known names closest to `name`, or an empty string."""
    close = difflib.get_close_matches(name, list(known), n=n, cutoff=0.4)
    return f"; did you mean {', '.join(repr(c) for c in close)}?" if close else ""
