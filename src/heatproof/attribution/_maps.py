"""What the attributions share: maps filled within a bound on memory, one value for several settings, baselines."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from heatproof.capture.runs import each_batch
from heatproof.errors import MethodError
from heatproof.types import Subject
from heatproof.types.subject import Rectifier

Baseline = float | Tensor
"""What stands for "nothing there" in the model's input: one number, or a tensor that spreads over (c, *spatial)."""


def precision(subject: Subject) -> torch.dtype:
    """Return the precision of the maps: at least float32."""
    return torch.promote_types(subject.inputs.dtype, torch.float32)


def blank(subject: Subject) -> Float[Tensor, "n t *spatial"]:
    """Return maps of zeros."""
    n, _, *spatial = subject.inputs.shape
    return torch.zeros(n, subject.scores.shape[1], *spatial, dtype=precision(subject), device=subject.inputs.device)


def per_input(
    subject: Subject, batch_size: int, run: Callable[[Int[Tensor, " b"]], Float[Tensor, "b t *spatial"]]
) -> Float[Tensor, "n t *spatial"]:
    """Return the maps that `run(rows)` gives for the inputs, at most `batch_size` in one run."""
    maps = blank(subject)
    everyone = torch.arange(len(maps), device=maps.device)

    def fill(rows: slice) -> None:
        maps[rows] = run(everyone[rows])

    each_batch(len(maps), batch_size, fill)
    return maps


def averaged(
    subject: Subject,
    samples: int,
    batch_size: int,
    run: Callable[[Int[Tensor, " b"], Int[Tensor, " b"]], Float[Tensor, "b t *spatial"]],
) -> Float[Tensor, "n t *spatial"]:
    """Return the mean over the samples of the maps that `run(rows, which)` gives.

    Args:
        subject: what is explained.
        samples: how many for each input.
        batch_size: most samples, of all inputs, in one run.
        run: from the inputs' and the samples' numbers to maps.
    """
    maps = blank(subject)
    numbers = torch.arange(len(maps) * samples, device=maps.device)

    def add(rows: slice) -> None:
        owners = numbers[rows] // samples
        found = run(owners, numbers[rows] % samples)
        which, counts = owners.unique_consecutive(return_counts=True)
        for i, part in zip(which.tolist(), found.split(counts.tolist()), strict=True):
            maps[i] += part.sum(0)

    each_batch(len(numbers), batch_size, add)
    return maps / samples


def gradient_maps(subject: Subject, batch_size: int, rectifier: Rectifier = "plain") -> Float[Tensor, "n t *spatial"]:
    """Return dy/dx by the rule of the rectifier, summed over the channels."""
    return per_input(subject, batch_size, lambda rows: subject.gradients(subject.inputs[rows], rows, rectifier).sum(2))


def baseline_of(subject: Subject, baseline: Baseline) -> Float[Tensor, "c *spatial"]:
    """Return the baseline in the shape of one input.

    Raises:
        MethodError: it does not spread over one.
    """
    shape = subject.inputs.shape[1:]
    value = torch.as_tensor(baseline, dtype=precision(subject), device=subject.inputs.device)
    try:
        return value.expand(shape)
    except RuntimeError as error:
        raise MethodError(
            f"The baseline has shape {tuple(value.shape)}, which does not spread over one input {tuple(shape)}; pass a "
            "number, or a tensor with one value per channel, (c, 1, ...)."
        ) from error


def per_axis(
    value: int | Sequence[int] | None, default: Sequence[int], size: Sequence[int], name: str
) -> tuple[int, ...]:
    """Return a setting with one whole number per spatial axis, none larger than the axis.

    Raises:
        MethodError: another number of values than axes, or one that is less than 1.
    """
    if value is None:
        value = default
    values = (value,) * len(size) if isinstance(value, int) else tuple(value)
    if len(values) != len(size) or min(values) < 1:
        raise MethodError(
            f"{name} is {value}; pass a whole number above 0, or one for each of the {len(size)} spatial axes."
        )
    return tuple(min(v, side) for v, side in zip(values, size, strict=True))


def at_least_one(value: int, name: str) -> int:
    """Return a setting that must be at least 1.

    Raises:
        MethodError: it is not.
    """
    if value < 1:
        raise MethodError(f"{name} is {value}; it must be at least 1.")
    return value


def seeds(seed: int, count: int) -> list[int]:
    """Return a seed for each of `count` draws; more draws extend fewer."""
    return torch.randint(2**62, (count,), generator=torch.Generator().manual_seed(seed)).tolist()
