"""From what the user asks for (None, 281, "tabby", a callable, lists of these) to one scalar y per input and target."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import TargetError
from heatproof.models.outputs import class_scores, map_tensors, of_one
from heatproof.types import Target

Labeler = Callable[[int], str]
Finder = Callable[[str], int]


@dataclass(frozen=True)
class Names:
    """How a model calls its classes.

    Attributes:
        label: class index -> name.
        find: name -> class index.
        count: number of labels; None where the model has none.
    """

    label: Labeler
    find: Finder
    count: int | None = None


@runtime_checkable
class Bindable(Protocol):
    """A target that wants to see the model's labels, and its output for the input, before it is evaluated."""

    def bind(self, output: Any, names: Names) -> Target:
        """Return the target for the input whose output, without the batch axis, this is.

        Called once for each input, at the capture; evaluations on changed inputs keep what was bound.
        """
        ...


@dataclass(frozen=True)
class Negated:
    """The function -y of one input's output, for a target y."""

    target: Target

    def __call__(self, output: Any) -> Tensor:
        """Return -y ()."""
        return -value(self.target, output)


def resolve(
    target: Any, output: Any, n: int, label: Labeler, find: Finder, count: int | None = None
) -> tuple[tuple[Target, ...], ...]:
    """Return t targets for each of n inputs.

    Args:
        target: None (predicted class), an int, a label, or a callable for all inputs; a list with one of these per
            input; or a list of lists for several per input.
        output: the model's output for the batch.
        n: number of inputs.
        label: class index -> name.
        find: name -> class index.
        count: number of the model's labels; None where it has none.

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
    names = Names(label, find, count)
    scores: Tensor | None = None
    if any(not callable(t) for row in grid for t in row):
        scores = class_scores(output, n)
    return tuple(
        tuple(
            _one(t, (lambda i=i: of_one(output, i, n)), (lambda i=i: scores[i] if scores is not None else None), names)
            for t in row
        )
        for i, row in enumerate(grid)
    )


def bind(target: Any, output: Any, names: Names) -> Target:
    """Return anything that `resolve` takes for one input as a `Target`; `output` is that input's, without batch axis.

    Raises:
        TargetError: as `resolve`.
    """
    return _one(target, lambda: output, lambda: scores_of_one(output), names)


def scores_of_one(output: Any) -> Float[Tensor, " classes"]:
    """Return the score of every class in the output for one input, without the batch axis.

    Raises:
        TargetError: the output is not a score per class.
    """
    return class_scores(map_tensors(output, lambda t: t.unsqueeze(0)), 1)[0]


def _one(target: Any, output: Callable[[], Any], scores: Callable[[], Tensor | None], names: Names) -> Target:
    if isinstance(target, Target):
        return target
    if callable(target):
        if isinstance(target, Bindable):
            return target.bind(output(), names)
        return Target(getattr(target, "__name__", type(target).__name__), function=target)
    row = scores()
    assert row is not None
    if len(row) == 1:
        return _single(target, row[0], names)
    index = int(row.argmax()) if target is None else class_index(target, names)
    if not 0 <= index < len(row):
        raise TargetError(f"Class {index} does not exist: the model has {len(row)} classes, 0 to {len(row) - 1}.")
    return Target(names.label(index), index=index)


def class_index(target: Any, names: Names) -> int:
    """Return the class index that an int or a label stands for.

    Raises:
        TargetError: it is neither, or there is no such label.
    """
    if isinstance(target, str):
        return names.find(target)
    if isinstance(target, int | np.integer) and not isinstance(target, bool):
        return int(target)
    raise TargetError(f"{target!r} is not a target; pass None, a class index, a label, a callable, or lists of these.")


def _single(target: Any, score: Tensor, names: Names) -> Target:
    """Return the one output of a network; its name says on which side of 0 it is.

    Of two labels the second is the output's own, so that the first is asked for by the negated output.
    """
    index = 0 if target is None else class_index(target, names)
    two = names.count == 2
    if two and isinstance(target, str):
        if index == 0:
            return Target(names.label(0), function=Negated(Target(names.label(1), index=0)))
        index = 0
    if index != 0:
        raise TargetError(
            f"Class {index} does not exist: the model has one output; pass None or 0 to explain it, or "
            "targets.Against(0) for the other side of it."
        )
    name = names.label(1 if two else 0) if names.count in (1, 2) else "output"
    number = float(score.detach())
    side = next((s for s, holds in ((" > 0", number > 0), (" < 0", number < 0), (" = 0", number == 0)) if holds), "")
    return Target(name + side, index=0)


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


def value(target: Target, output: Any) -> Float[Tensor, ""]:
    """Return y for the output of one input, without the batch axis, still connected to its graph.

    Raises:
        TargetError: a callable returned something other than one number with a gradient; there is no such class.
    """
    if target.index is None:
        return _call(target, output).reshape(())
    return scores_of_one(output)[target.index]


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
