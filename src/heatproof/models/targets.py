"""From what the user asks for (None, 281, "tabby", a callable, lists of these) to one scalar y per input and target."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import TargetError
from heatproof.models.outputs import class_scores, of_one
from heatproof.types import Target

Labeler = Callable[[int], str]
Finder = Callable[[str], int]


def resolve(target: Any, output: Any, n: int, label: Labeler, find: Finder) -> tuple[tuple[Target, ...], ...]:
    """Return t targets for each of n inputs.

    Args:
        target: None (predicted class), an int, a label, or a callable for all inputs; a list with one of these per
            input; or a list of lists for several per input.
        output: the model's output for the batch.
        n: number of inputs.
        label: class index -> name.
        find: name -> class index.

    Raises:
        TargetError: a class that does not exist, a list of another length than the batch, rows of unequal length.
    """
    if isinstance(target, Tensor | np.ndarray):
        target = target.tolist()
    if isinstance(target, list | tuple):
        rows = list(target)  # pyright: ignore[reportUnknownArgumentType]
        if len(rows) != n:
            several = f"; for several targets of one input write [{list(rows)!r}]" if n == 1 and rows else ""
            raise TargetError(f"{len(rows)} targets for {n} inputs: give one entry per input{several}.")
    else:
        rows = [target] * n
    grid = [list(row) if isinstance(row, list | tuple) else [row] for row in rows]
    widths = sorted({len(row) for row in grid})
    if len(widths) != 1 or widths[0] == 0:
        raise TargetError(f"Inputs have {widths} targets each: every input needs the same number, at least one.")
    scores: Tensor | None = None
    if any(not callable(t) for row in grid for t in row):
        scores = class_scores(output, n)
    return tuple(tuple(_one(t, i, scores, label, find) for t in row) for i, row in enumerate(grid))


def _one(target: Any, row: int, scores: Tensor | None, label: Labeler, find: Finder) -> Target:
    if isinstance(target, Target):
        return target
    if callable(target):
        return Target(getattr(target, "__name__", type(target).__name__), function=target)
    assert scores is not None
    classes = scores.shape[1]
    if target is None:
        index = int(scores[row].argmax()) if classes > 1 else 0
    elif isinstance(target, str):
        index = find(target)
    elif isinstance(target, int | np.integer) and not isinstance(target, bool):
        index = int(target)
    else:
        raise TargetError(
            f"{target!r} is not a target; pass None, a class index, a label, a callable, or lists of these."
        )
    if not 0 <= index < classes:
        raise TargetError(f"Class {index} does not exist: the model has {classes} classes, 0 to {classes - 1}.")
    return Target(label(index), index=index)


def evaluate(targets: Sequence[Sequence[Target]], output: Any) -> Float[Tensor, "n t"]:
    """Return y for every input and target, still connected to its graph.

    Raises:
        TargetError: a callable returned something other than one number with a gradient.
    """
    n = len(targets)
    if all(t.index is not None for row in targets for t in row):
        scores = class_scores(output, n)
        index = torch.tensor([[t.index for t in row] for row in targets], device=scores.device)
        return scores.gather(1, index)
    rows: list[Tensor] = []
    scores = class_scores(output, n) if any(t.index is not None for row in targets for t in row) else None
    for i, row in enumerate(targets):
        one = of_one(output, i, n)
        values = [
            _call(t, one) if t.function is not None else scores[i, t.index]  # pyright: ignore[reportOptionalSubscript]
            for t in row
        ]
        rows.append(torch.stack([v.reshape(()) for v in values]))
    return torch.stack(rows)


def _call(target: Target, output: Any) -> Tensor:
    assert target.function is not None
    value = target.function(output)
    if not isinstance(value, Tensor):
        raise TargetError(
            f"The target {target.name!r} returned {type(value).__name__}, which has no gradient; "
            "compute it from the output with torch operations only."
        )
    if value.numel() != 1:
        raise TargetError(
            f"The target {target.name!r} returned shape {tuple(value.shape)}, not one number; "
            "reduce it, for example with .mean() or .sum()."
        )
    return value
