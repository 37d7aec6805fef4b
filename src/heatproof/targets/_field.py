"""The tensor in what a network returns for one input that a target is computed from."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from heatproof.errors import TargetError


def tensor_of(output: Any, key: str | None, known: Sequence[str], what: str) -> Tensor:
    """Return a tensor output itself, the part of a dict or object called `key`, else the first of the `known` ones.

    Raises:
        TargetError: there is no such part, or it is no floating-point tensor.
    """
    found: Any = None
    if isinstance(output, Tensor) and key is None:
        found = output
    elif key is None and isinstance(output, list | tuple) and not hasattr(output, "_fields"):
        found = output[0] if output else None
    else:
        for name in known if key is None else (key,):
            found = output.get(name) if isinstance(output, Mapping) else getattr(output, name, None)
            if found is not None:
                break
    if not isinstance(found, Tensor):
        has = f" with the keys {sorted(map(str, output))}" if isinstance(output, Mapping) else ""
        wanted = f"part {key!r}" if key is not None else f"{what} that is found without help"
        raise TargetError(
            f"The model returns {type(output).__name__}{has}, which has no {wanted}; pass key= with the name of the "
            "part, or a callable."
        )
    if not found.is_floating_point():
        raise TargetError(f"The {what} is {found.dtype} and can carry no gradient; explain what it is computed from.")
    return found
