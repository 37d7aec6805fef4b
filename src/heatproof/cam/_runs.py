"""Run the model many times within a bound on memory: in batches, halved where they do not fit."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import MethodError
from heatproof.types import Capture, Source


def in_batches(
    capture: Capture, total: int, batch_size: int, run: Callable[[slice], Float[Tensor, "b t"]]
) -> Float[Tensor, "total t"]:
    """Return the scores (total, t) that `run(rows)` gives for every slice of the rows 0 to `total`.

    Args:
        capture: whose scores say how many targets there are, on which device and in which precision.
        total: number of rows.
        batch_size: most rows in one run. Where memory runs out, it is halved for the rows that are left.
        run: scores of some of the rows, independent of one another.

    Raises:
        MethodError: `batch_size` is less than 1.
    """
    precision = torch.promote_types(capture.scores.dtype, torch.float32)
    scores = torch.empty(total, capture.scores.shape[1], dtype=precision, device=capture.scores.device)

    def fill(rows: slice) -> None:
        scores[rows] = run(rows)

    each_batch(total, batch_size, fill)
    return scores


def each_batch(total: int, batch_size: int, run: Callable[[slice], None]) -> None:
    """Call `run(rows)` for slices that cover the rows 0 to `total` in order.

    Args:
        total: number of rows.
        batch_size: most rows in one run. Where memory runs out, it is halved for the rows that are left.
        run: what to do with some of the rows; it keeps nothing of a run that memory ran out in.

    Raises:
        MethodError: `batch_size` is less than 1.
    """
    if batch_size < 1:
        raise MethodError(f"batch_size is {batch_size}; it must be at least 1.")
    done = 0
    while done < total:
        rows = slice(done, min(done + batch_size, total))
        try:
            run(rows)
            done = rows.stop
        except (MemoryError, RuntimeError) as error:
            size = rows.stop - rows.start
            if size == 1 or not out_of_memory(error):
                raise
            batch_size = size // 2


def source_of(capture: Capture, name: str) -> Source:
    """Return what runs the captured network again, for the method called `name`.

    Raises:
        MethodError: the capture was made by hand.
    """
    if capture.source is None:
        raise MethodError(
            f"{name} runs the network again, and this capture of layer {capture.layer!r} was made by hand, without a "
            "source; explain the network itself, or use gradcam."
        )
    return capture.source


def out_of_memory(error: Exception) -> bool:
    """Say whether memory ran out; torch has a class of its own for this on some devices only."""
    told = str(error)
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        "out of memory" in told or "can't allocate memory" in told
    )
