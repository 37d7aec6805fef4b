"""Sensitivity of the score to what the map holds (sensitivity-n), and of the map to the input (max-sensitivity)."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import UsageError
from heatproof.metrics._fields import positions_of
from heatproof.metrics._perturb import BATCH, Score, chunks
from heatproof.metrics._record import Measurement, Metric
from heatproof.metrics._stats import pearson
from heatproof.metrics._subsets import drawn, drops
from heatproof.metrics.adcc import Explain, explained
from heatproof.metrics.imputers import Imputer, mean

__all__ = ["max_sensitivity", "sensitivity_n"]


def sensitivity_n(
    maps: Float[Tensor, "n t *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    score: Score,
    *,
    sizes: Sequence[int] | None = None,
    imputer: Imputer = mean,
    subsets: int = 50,
    seed: int = 0,
    batch: int = BATCH,
) -> Measurement:
    """Return the correlation between the map's sum over n random positions and the fall of the score, mean over n.

    Range -1 to 1, higher is better, chance level 0; exactly 1 for the contributions to an additive score. NaN where the
    map is constant or not finite, or where no removal of some size changes the score.

    Args:
        maps: signed maps.
        inputs: what the model was given.
        score: runs the model, see `Capture.rescore`.
        sizes: the n; None takes four from 1 position to 80 % of them, evenly spaced in the logarithm as in the paper.
        imputer: what stands where something was removed.
        subsets: how many are drawn for each size, the same for all inputs.
        seed: of the draw.
        batch: most inputs in one call of `score`.

    Returns:
        `steps` is n as a share of the positions and `parts` the correlation for each.

    Raises:
        InputError: the maps do not fit the inputs.
        UsageError: a size or the number of subsets leaves nothing to correlate.

    Source: Ancona et al. 2018, "Towards better understanding of gradient-based attribution methods for deep neural
    networks", section 4.
    """
    positions = positions_of(maps)
    if sizes is None:
        sizes = sorted({max(1, min(positions - 1, round((0.8 * positions) ** (i / 3)))) for i in range(4)})
    if not sizes:
        raise UsageError("sizes is empty; give at least one number of positions.")
    chosen = torch.cat([drawn(positions, size, subsets, seed + i) for i, size in enumerate(sizes)])
    found = drops(maps, inputs, score, chosen, imputer, batch)
    held, fallen = (v.unflatten(-1, (len(sizes), subsets)) for v in (found.held, found.fallen))
    parts = torch.where(found.uneven.unsqueeze(-1), pearson(held, fallen), torch.nan)
    at = torch.tensor([size / positions for size in sizes], dtype=torch.float64, device=maps.device)
    return Measurement(parts.mean(-1), found.forwards, steps=at, parts=parts)


def max_sensitivity(
    maps: Float[Tensor, "n t *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    explain: Explain,
    *,
    radius: float = 0.02,
    draws: int = 10,
    seed: int = 0,
    batch: int = BATCH,
) -> Measurement:
    """Return how far the map moves at most under tiny random changes of the input, relative to its own length.

    Changes are uniform within `radius` of every sample and the same for all inputs; lengths are Euclidean. 0 and up,
    lower is steadier; a map that ignores the input scores 0 too, so this proves nothing alone. NaN for a map of zeros
    or where a map is not finite. Costs one explanation per draw; `forwards` counts them as one each.

    Args:
        maps: signed maps of the unchanged inputs.
        inputs: what the model was given.
        explain: `(inputs (m, c, *spatial), rows (m,)) -> maps (m, t, *grid)`.
        radius: largest change of a sample, in units of the input.
        draws: how many changes are tried.
        seed: of the draws.
        batch: most inputs in one call of `explain`.

    Returns:
        `parts` is the relative distance for each draw.

    Raises:
        UsageError: radius or draws is not positive.
        MethodError: `explain` returned another shape.

    Source: Yeh et al. 2019, "On the (in)fidelity and sensitivity of explanations", definition 3.1, divided by the
    length of the map.
    """
    if draws < 1 or not radius > 0:
        raise UsageError(f"radius is {radius} and draws is {draws}; both must be positive.")
    n, t = maps.shape[:2]
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(draws, *inputs.shape[1:], generator=generator, dtype=torch.float64) * 2 - 1
    noise = (noise * radius).to(inputs)
    place = torch.arange(n * draws, device=inputs.device)
    parted = [place[chunk] for chunk in chunks(len(place), batch)]
    found = [explained(explain, inputs[p // draws] + noise[p % draws], p // draws, maps) for p in parted]
    others = torch.cat(found).reshape(n, draws, t, -1).transpose(1, 2)
    values = maps.flatten(2).double()
    largest = values.abs().amax(-1)
    moved = (others / largest[..., None, None] - (values / largest.unsqueeze(-1)).unsqueeze(2)).norm(dim=-1)
    parts = moved / (values / largest.unsqueeze(-1)).norm(dim=-1, keepdim=True)
    return Measurement(parts.amax(-1), draws, parts=parts)


METRICS = (
    Metric(
        sensitivity_n,
        "Sensitivity-n",
        "Ancona et al. 2018, Towards better understanding of gradient-based attribution methods, section 4",
        low=-1.0,
        high=1.0,
        better="higher",
        chance=0.0,
    ),
    Metric(
        max_sensitivity,
        "Max-sensitivity",
        "Yeh et al. 2019, On the (in)fidelity and sensitivity of explanations, definition 3.1",
        low=0.0,
        high=math.inf,
        better="lower",
        chance="0 for a map that ignores the input: not evidence by itself",
    ),
)
