"""What must be said about a map before anyone reads it."""

from torch import Tensor


def flags_of(maps: Tensor) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """Return, per input and target, which of these hold of a map in (n, t, *grid).

    "non-finite": NaN or infinity somewhere; "blank": zero everywhere; "constant": the same value everywhere, so that it
    points nowhere; "all-negative": nowhere evidence for the target, only against it.
    """
    flat = maps.flatten(2)
    finite = flat.isfinite().all(2)
    low, high = flat.amin(2), flat.amax(2)
    size = flat.abs().amax(2)
    blank = finite & (size == 0)
    # Rounding in the mean of a constant field reaches a few units in the last place.
    constant = finite & ~blank & ((high - low) <= 1e-6 * size)
    negative = finite & ~blank & (high <= 0)
    named = {"non-finite": ~finite, "blank": blank, "constant": constant, "all-negative": negative}
    lists = {name: values.tolist() for name, values in named.items()}
    n, t = maps.shape[:2]
    return tuple(tuple(tuple(name for name in lists if lists[name][i][j]) for j in range(t)) for i in range(n))
