"""From an entry to what the network takes, or the reason why not; safe to call from several threads."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from heatproof.audit.entry import Entry, Source
from heatproof.errors import HeatproofError
from heatproof.models import Model
from heatproof.types import Axis, Input, Prepared


@dataclass(frozen=True)
class Ready:
    """An entry as the network takes it.

    Attributes:
        entry: which.
        sha256: of its bytes.
        prepared: without the original, which may be large and is not needed again.
    """

    entry: Entry
    sha256: str
    prepared: Prepared


@dataclass(frozen=True)
class LeftOut:
    """An entry that cannot be used.

    Attributes:
        entry: which.
        stage: "read", "prepare" or "explain".
        reason: a sentence.
    """

    entry: Entry
    stage: str
    reason: str


def ready(source: Source, entry: Entry, model: Model, *, original: bool = False) -> Ready | LeftOut:
    """Read and prepare one entry.

    Args:
        source: where it comes from.
        entry: which.
        model: whose preprocessing is used.
        original: keep the original.
    """
    try:
        found, digest = source.read(entry)
    except (HeatproofError, OSError, MemoryError, RuntimeError, ValueError) as error:
        return LeftOut(entry, "read", sentence(error))
    try:
        prepared = model.prepare(found)
    except (HeatproofError, MemoryError, RuntimeError, ValueError, TypeError) as error:
        return LeftOut(entry, "prepare", sentence(error))
    tensor = prepared.tensor
    if not bool(torch.isfinite(tensor).all()):
        return LeftOut(entry, "prepare", "it holds values that are NaN or infinite; replace them first.")
    kept = prepared if original else replace(prepared, input=_light(tensor, found.name))
    return Ready(entry, digest, kept)


def sentence(error: Exception) -> str:
    """Return an error as one line that says why an input was left out."""
    if isinstance(error, HeatproofError):
        return str(error)
    if isinstance(error, MemoryError):
        return "there is not enough memory to read it."
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _light(tensor: Tensor, name: str) -> Input:
    """Return a stand-in for the original: what the network was given."""
    axes = tuple(Axis(str(i)) for i in range(tensor.ndim - 1))
    return Input(tensor, axes, tuple(str(i) for i in range(tensor.shape[0])), name=name)
