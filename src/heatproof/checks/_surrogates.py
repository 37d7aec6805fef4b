"""Maps that are as smooth as a given one and know nothing of the input: what a faithful map has to beat.

White noise would be beaten by any smooth map. Shifted and turned copies keep the map's values, other inputs' maps keep
the method's habits as well, and a phase-randomized one keeps the power spectrum.
"""

from collections.abc import Hashable, Sequence
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

_TRIES = 64


def surrogates(
    maps: Float[Tensor, "n *grid"],
    clusters: Sequence[Hashable],
    *,
    shifted: int = 4,
    turned: int = 2,
    others: int = 2,
    keys: Sequence[int],
    generators: Sequence[torch.Generator],
) -> tuple[Float[Tensor, "n k *grid"], list[str]]:
    """Return k maps per input, and of what kind each is: "shifted", "turned" or "other input".

    Args:
        maps: one per input.
        clusters: per input, what it belongs to; other inputs' maps are taken from other clusters.
        shifted: copies, rolled around the edges by a quarter of the grid or more along some axis.
        turned: copies, flipped along one axis or several; a grid of one axis has one only.
        others: finite maps of other inputs, drawn again where there are too few, NaN where there is no finite one; none
            at all where there is one cluster only.
        keys: per input, a number of its own; other inputs are drawn by it, not by where they stand.
        generators: per input, of its draws.
    """
    turned = min(turned, len(_flips(maps.ndim - 1)))
    others = others if len(set(clusters)) > 1 else 0
    usable = sorted((j for j, one in enumerate(maps) if bool(one.isfinite().all())), key=lambda j: keys[j])
    rows: list[Tensor] = []
    for i, (one, generator) in enumerate(zip(maps, generators, strict=True)):
        row = [_shifted(one, generator) for _ in range(shifted)]
        flips = _flips(one.ndim)
        row += [one.flip(flips[int(f)]) for f in torch.randperm(len(flips), generator=generator)[:turned]]
        strangers = [j for j in usable if clusters[j] != clusters[i]]
        order = torch.randperm(len(strangers), generator=generator).tolist()
        missing = torch.full_like(one, torch.nan)
        row += [maps[strangers[order[o % len(order)]]] if strangers else missing for o in range(others)]
        rows.append(torch.stack(row))
    return torch.stack(rows), ["shifted"] * shifted + ["turned"] * turned + ["other input"] * others


def phase_randomized(fields: Float[Tensor, "*b s"], axes: int, seed: int = 0) -> Float[Tensor, "*b s"]:
    """Return fields with the same power spectrum and mean and random phases, the same phases for all.

    Source: Theiler et al. 1992, "Testing for nonlinearity in time series: the method of surrogate data", section 2.4;
    for several channels: Prichard and Theiler 1994.

    Args:
        fields: whose last `axes` axes are spatial.
        axes: how many.
        seed: of the phases.
    """
    last = tuple(range(-axes, 0))
    generator = torch.Generator().manual_seed(seed)
    draws = torch.randn(fields.shape[-axes:], generator=generator, dtype=torch.float64).to(fields.device)
    # The phases of a real field fit together, so that the result is real; the mean keeps its sign.
    turn = torch.fft.fftn(draws, dim=last).angle()
    turn[(0,) * axes] = 0.0
    spectrum = torch.fft.fftn(fields.double(), dim=last) * torch.polar(torch.ones_like(turn), turn)
    return torch.fft.ifftn(spectrum, dim=last).real.to(fields.dtype)


def far_shift(grid: tuple[int, ...], generator: torch.Generator) -> tuple[int, ...]:
    """Return a random shift of a quarter of the grid or more, around the edges, along some axis."""
    shift = tuple(0 for _ in grid)
    for _ in range(_TRIES):
        shift = tuple(int(torch.randint(side, (), generator=generator)) for side in grid)
        if any(4 * min(s, side - s) >= side > 1 for s, side in zip(shift, grid, strict=True)):
            break
    return shift


def _shifted(one: Tensor, generator: torch.Generator) -> Tensor:
    return one.roll(far_shift(tuple(one.shape), generator), tuple(range(one.ndim)))


def _flips(axes: int) -> list[tuple[int, ...]]:
    """Return every set of axes to flip; all of them together are a half turn."""
    return [chosen for count in range(1, axes + 1) for chosen in combinations(range(axes), count)]
