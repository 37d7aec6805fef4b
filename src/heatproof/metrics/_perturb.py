"""Remove positions in the order of a map and score what is left: what all perturbation curves are made of.

Steps remove whole numbers of positions. Ties are fractional unless a seed is given: where a step ends among equal
values, each of them is removed in part, as in the mean over all orders, so that a constant map removes everything
evenly and its two orders agree exactly. With a seed, ties are broken by one random order of the positions, the same for
all maps.
"""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from heatproof.errors import MethodError, UsageError
from heatproof.metrics._fields import positions_of, require_fit, to_input
from heatproof.metrics._order import broken, counts, finite, taken
from heatproof.metrics.imputers import Imputer

Score = Callable[[Float[Tensor, "m c *spatial"], Int[Tensor, " m"]], Float[Tensor, "m t"]]
"""`(inputs (m, c, *spatial), rows (m,)) -> scores (m, t)`; `rows` says which of the n inputs each row changes."""

BATCH = 64
"""Most inputs in one call of a score function, unless the caller says otherwise."""

_CACHED = 8 * 3 * 224 * 224
"""Most values of the inputs in one call on a CPU: larger batches leave its caches, and take twice as long per input."""


def amounts(positions: int, steps: int) -> list[int]:
    """Return how many positions are gone after each of `steps` equal steps, from 0 to all, without repeats."""
    if steps < 1:
        raise UsageError(f"steps is {steps}; a curve needs at least 1.")
    return sorted({round(positions * i / steps) for i in range(steps + 1)})


def scored(
    inputs: Float[Tensor, "n c *spatial"],
    rows: Int[Tensor, " m"],
    weigh: Callable[[slice], Float[Tensor, "b *grid"]],
    score: Score,
    imputer: Imputer,
    batch: int,
) -> Float[Tensor, "m t"]:
    """Return the scores of m partly removed inputs, at most `batch` of them in memory at a time.

    `weigh(chunk)` gives, for some of the m, how much of each grid position is removed.
    """
    spatial = tuple(inputs.shape[2:])
    found: list[Tensor] = []
    for chunk in chunks(len(rows), fitting(batch, inputs)):
        weights = to_input(weigh(chunk).to(inputs), spatial)
        found.append(called(score, imputer(inputs[rows[chunk]], weights), rows[chunk]).to(inputs.device))
    return torch.cat(found)


def chunks(count: int, batch: int) -> list[slice]:
    """Return slices of at most `batch` that cover `count` rows.

    Raises:
        UsageError: batch is not positive.
    """
    if batch < 1:
        raise UsageError(f"batch is {batch}; it must be at least 1.")
    return [slice(begin, begin + batch) for begin in range(0, count, batch)]


def fitting(batch: int, inputs: Float[Tensor, "n c *spatial"]) -> int:
    """Return how many of these inputs to run at a time, at most `batch`: on a CPU, as many as its caches hold."""
    if inputs.device.type != "cpu":
        return batch
    return min(batch, max(1, _CACHED // inputs[0].numel()))


def called(score: Score, inputs: Float[Tensor, "m c *spatial"], rows: Int[Tensor, " m"]) -> Float[Tensor, "m t"]:
    """Return scores in float64, or refuse a score function that returned another shape."""
    values = score(inputs, rows)
    if values.ndim != 2 or len(values) != len(rows):
        raise MethodError(f"score returned shape {tuple(values.shape)} for {len(rows)} inputs; return (m, t).")
    return values.detach().double()


def plain(inputs: Float[Tensor, "n c *spatial"], score: Score, batch: int) -> Float[Tensor, "n t"]:
    """Return the scores of the inputs as they are."""
    rows = torch.arange(len(inputs), device=inputs.device)
    found = [called(score, inputs[chunk], rows[chunk]) for chunk in chunks(len(inputs), fitting(batch, inputs))]
    return torch.cat(found).to(inputs.device)


def curves(
    maps: Float[Tensor, "n t *grid"],
    inputs: Float[Tensor, "n c *spatial"],
    score: Score,
    imputer: Imputer,
    removed: Sequence[int],
    orders: Sequence[bool],
    ties: int | None,
    batch: int,
) -> tuple[list[Float[Tensor, "n t s"]], int]:
    """Return one curve per order (True: most influential first) and the forwards that they cost per input.

    `removed` says how many positions are gone at each point. The whole input and the empty one are scored once, for
    all targets and orders together. NaN where a map or a score is not finite.

    Raises:
        InputError: the maps do not fit the inputs.
    """
    require_fit(maps, inputs)
    n, t, *grid = maps.shape
    values = maps.flatten(2)
    defined = finite(values).unsqueeze(-1)
    values = values.nan_to_num().flatten(0, 1)
    total = values.shape[-1]
    greater, equal = counts(values) if ties is None else broken(values, ties)
    device = values.device
    inner = sorted({a for a in removed if 0 < a < total})
    amount = torch.tensor(inner, device=device)
    per_order = n * t * len(inner)
    place = torch.arange(per_order * len(orders), device=device)
    which = place % per_order // max(1, len(inner))
    most_first = torch.tensor(list(orders), device=device)[place // max(1, per_order)]

    def weigh(chunk: slice) -> Tensor:
        above, same = greater[which[chunk]], equal[which[chunk]]
        above = torch.where(most_first[chunk, None], above, total - above - same)
        return taken(above, same, amount[place[chunk] % len(inner), None]).reshape(-1, *grid)

    ends = {0: plain(inputs, score, batch)} if 0 in removed else {}
    if total in removed:
        rows = torch.arange(n, device=device)
        ends[total] = scored(
            inputs, rows, lambda c: torch.ones(len(rows[c]), *grid, device=device), score, imputer, batch
        )
    middle = torch.empty(len(orders), n, t, 0, dtype=torch.float64, device=device)
    if inner:
        columns = (which % t).unsqueeze(-1)
        found = scored(inputs, which // t, weigh, score, imputer, batch)
        middle = found.gather(1, columns).reshape(len(orders), n, t, len(inner))
    found_at = {a: middle[..., i] for i, a in enumerate(inner)}
    found_at |= {a: end.expand(len(orders), n, t) for a, end in ends.items()}
    whole = torch.stack([found_at[a] for a in removed], -1)
    forwards = len(ends) + t * len(inner) * len(orders)
    return list(torch.where(defined & whole.isfinite(), whole, torch.nan)), forwards


def shares(removed: Sequence[int], maps: Float[Tensor, "n t *grid"]) -> Float[Tensor, " s"]:
    """Return how large a share of the positions each amount is."""
    return torch.tensor(removed, dtype=torch.float64, device=maps.device) / positions_of(maps)
