"""Masks as run lengths, the way COCO writes them: down the columns, unmarked first, as numbers or packed into text.

Source: the format of T.-Y. Lin et al., "Microsoft COCO", ECCV 2014, https://cocodataset.org/#format-data. Packed runs
are base-32 digits, the lowest first, of the difference from the run before last.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from heatproof.errors import InputError

_FIRST = ord("0")
_DIGIT, _SIGN, _MORE = 0x1F, 0x10, 0x20


def runs_mask(counts: Sequence[int] | str | bytes, size: tuple[int, int], name: str) -> Bool[np.ndarray, "h w"]:
    """Return the mask that run lengths describe.

    Args:
        counts: lengths of unmarked and marked runs in turn, as numbers or packed.
        size: (height, width).
        name: of the image, for errors.

    Raises:
        InputError: the runs do not add up to the size.
    """
    runs = list(counts) if not isinstance(counts, str | bytes) else _unpacked(counts, name)
    if sum(runs) != size[0] * size[1] or any(run < 0 for run in runs):
        raise InputError(f"The runs of a mask of {name} add up to {sum(runs)}, not to {size[0]} x {size[1]}.")
    marked = np.arange(len(runs)) % 2 == 1
    return np.repeat(marked, runs).reshape(size, order="F")


def _unpacked(text: str | bytes, name: str) -> list[int]:
    runs: list[int] = []
    value = shift = 0
    for code in text.encode() if isinstance(text, str) else text:
        digit = code - _FIRST
        if not 0 <= digit < 2 * _MORE:
            raise InputError(f"A mask of {name} has the sign {chr(code)!r} in its packed runs, which is none of them.")
        value |= (digit & _DIGIT) << shift
        shift += 5
        if digit & _MORE:
            continue
        if digit & _SIGN:  # the last digit carries the sign
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs
