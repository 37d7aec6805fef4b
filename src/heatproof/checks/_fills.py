"""Which imputers a check masks with: two that err in different ways, by the input's number of axes, or the user's."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.checks._surrogates import phase_randomized
from heatproof.errors import UsageError, nearest
from heatproof.metrics import imputers
from heatproof.metrics.imputers import Imputer

FillSpec = str | Imputer | Sequence[str | Imputer] | Mapping[str, Imputer] | None


def continuum(inputs: Float[Tensor, "m c s"], weights: Float[Tensor, "m 1 s"]) -> Float[Tensor, "m c s"]:
    """Fill gaps of signals with the straight line between their ends; beyond the last known sample it goes on level.

    Every sample with a weight above 0 counts as unknown. Where nothing is known, the fill is the signal's mean.
    """
    known = weights == 0
    length = inputs.shape[-1]
    place = torch.arange(length, device=inputs.device).expand(known.shape)
    before = torch.where(known, place, -1).cummax(-1).values
    after = torch.where(known, place, length).flip(-1).cummin(-1).values.flip(-1)
    left = torch.where(before < 0, after, before).clamp(0, length - 1)
    right = torch.where(after >= length, before, after).clamp(0, length - 1)
    gap = right - left
    share = torch.where(gap > 0, (place - left) / gap.clamp(min=1), 0.0).to(inputs.dtype)
    a, b = (inputs.gather(-1, end.expand_as(inputs)) for end in (left, right))
    line = a * (1 - share) + b * share
    line = torch.where(known.any(-1, keepdim=True), line, inputs.mean(-1, keepdim=True))
    return _blend(inputs, line, weights)


def surrogate(
    inputs: Float[Tensor, "m c *spatial"], weights: Float[Tensor, "m 1 *spatial"], seed: int = 0
) -> Float[Tensor, "m c *spatial"]:
    """Fill with a copy of each input that has its power spectrum, and its channels' relations, but random phases."""
    return _blend(inputs, phase_randomized(inputs, inputs.ndim - 2, seed), weights)


def chosen(spec: FillSpec, spacing: Sequence[float], seed: int) -> dict[str, Imputer]:
    """Return the imputers by name.

    Args:
        spec: names ("blur", "mean", "noise", "noisy_linear", "continuum", "surrogate"), functions (see
            `heatproof.metrics.imputers`), one of these alone, or functions by name. None: continuum and surrogate for
            signals, blur and noisy_linear (ROAD's) for pictures and volumes.
        spacing: samples of the input per grid position; the blur is half as wide.
        seed: of what they draw.

    Raises:
        UsageError: there is no such imputer, none at all, or one is for signals only.
    """
    axes = len(spacing)
    known: dict[str, Callable[[], Imputer]] = {
        "blur": lambda: imputers.blur(max(1.0, max(spacing) / 2)),
        "mean": lambda: imputers.mean,
        "noise": lambda: imputers.noise(seed),
        "noisy_linear": lambda: imputers.noisy_linear(seed=seed),
        "continuum": lambda: continuum,
        "surrogate": lambda: partial(surrogate, seed=seed),
    }
    if spec is None:
        spec = ("continuum", "surrogate") if axes == 1 else ("blur", "noisy_linear")
    spec = (spec,) if isinstance(spec, str) or callable(spec) else spec
    if isinstance(spec, Mapping):
        found = dict(spec)
    else:
        found: dict[str, Imputer] = {}
        for number, one in enumerate(spec):
            if callable(one):
                found[f"{getattr(one, '__name__', 'imputer')} ({number + 1})"] = one
            elif one not in known:
                raise UsageError(f"There is no imputer {one!r}{nearest(one, known)}.")
            else:
                found[one] = known[one]()
    if not found:
        raise UsageError("The list of imputers is empty; name at least one, better two that err in different ways.")
    if "continuum" in found and axes != 1 and found["continuum"] is continuum:
        raise UsageError(f"The imputer 'continuum' is for signals; these inputs have {axes} spatial axes. Use 'blur'.")
    return found


def _blend(inputs: Tensor, fill: Tensor, weights: Tensor) -> Tensor:
    """Return inputs where nothing is removed, exactly, and the fill where everything is."""
    return torch.where(weights == 0, inputs, inputs * (1 - weights) + fill * weights)
