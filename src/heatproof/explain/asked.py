"""What the user asked for, chunk by chunk: the part of the targets that belongs to it, and what tells targets apart."""

from collections.abc import Hashable
from typing import Any

from heatproof.errors import TargetError
from heatproof.explain.gather import Gathered
from heatproof.targets._kind import Kind


def slice_targets(target: Any, begin: int, gathered: Gathered) -> Any:
    """Return the targets of one chunk; a list whose length is not the number of inputs is refused at once."""
    if hasattr(target, "tolist") and not callable(target):
        target = target.tolist()
    if not isinstance(target, list | tuple):
        return target
    total = gathered.total
    if len(target) != total:
        one = f"; for several targets of one input write [{list(target)!r}]" if total == 1 and target else ""
        raise TargetError(f"{len(target)} targets for {total} inputs: give one entry per input{one}.")
    return list(target[begin : begin + gathered.batch.n])


def kind_of(target: Any) -> Hashable:
    """Return what tells targets apart that may need other layers: of the first input's, callables by identity."""
    first = target[0] if isinstance(target, list | tuple) and target else target
    return tuple(_route(v) for v in (first if isinstance(first, list | tuple) else [first]) if callable(v))


def _route(value: Any) -> Hashable:
    return value.route if isinstance(value, Kind) else _Same(value)


class _Same:
    """A dictionary key for any object, hashable or not, that stands for this very object (or bound method)."""

    def __init__(self, value: Any) -> None:
        self._parts = (getattr(value, "__func__", value), getattr(value, "__self__", None))

    def __hash__(self) -> int:
        return hash(tuple(map(id, self._parts)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and all(a is b for a, b in zip(self._parts, other._parts, strict=True))
