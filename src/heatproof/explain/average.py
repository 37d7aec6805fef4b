"""The mean of a method's maps over changed copies of the input, each brought back to where it belongs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from heatproof.capture import Batch
from heatproof.capture.engine import Resolver
from heatproof.errors import UsageError
from heatproof.explain.methods import Method
from heatproof.explain.shot import Shot
from heatproof.explain.variants import IDENTITY, Variant
from heatproof.models.layers import TargetLayer
from heatproof.types import Target


@dataclass(frozen=True)
class Shots:
    """The unchanged batch, and how to open changed ones.

    Attributes:
        plain: of the unchanged batch.
        open: `(batch, resolver, layers or None)` -> a shot of another batch.
    """

    plain: Shot
    open: Callable[[Batch, Resolver, tuple[TargetLayer, ...] | None], Shot]


def averaged(shots: Shots, method: Method, changes: Sequence[Variant]) -> Tensor:
    """Return the method's maps (n, t, *grid), averaged over the variants of the input.

    Raises:
        UsageError: there are variants, but the network takes several tensors.
        MethodError: the method cannot work here.
    """
    plain = shots.plain
    if tuple(changes) == (IDENTITY,):
        return plain.maps(method)
    x = plain.batch.tensor
    if x is None:
        raise UsageError(
            "augment and noise change the input, but this network takes several tensors and it is not clear which to "
            "change; leave them out."
        )
    fixed = plain.targets(method)

    def unchanged(_output: Any, n: int) -> tuple[tuple[Target, ...], ...]:
        return fixed[:n]  # the predicted class is that of the unchanged input

    total: Tensor | None = None
    for change in changes:
        shot = plain
        if change is not IDENTITY:
            changed = plain.batch.with_tensor(change.change(x))
            same = changed.size == plain.batch.size and method.kind == "cam"
            shot = shots.open(changed, unchanged, plain.layers if same else None)
        maps = change.undo(shot.maps(method))
        total = maps if total is None else total + maps
    assert total is not None
    return total / len(changes)
