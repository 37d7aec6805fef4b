"""The caller's autocast, remembered: what runs the network later runs it in the precision of the capture."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch


def remembered(device: torch.device) -> Callable[[], AbstractContextManager[Any]]:
    """Return a context manager that restores the autocast of now; parameters' casts are not kept in its cache."""
    kind = device.type
    enabled, dtype = torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)
    return lambda: torch.autocast(kind, dtype=dtype, enabled=enabled, cache_enabled=False)
