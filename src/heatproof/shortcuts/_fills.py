"""What stands where a region was removed: fills that err in different ways, by name, or the user's own function."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from heatproof.errors import InputError, UsageError, nearest
from heatproof.metrics._fields import grown
from heatproof.metrics._inpaint import harmonic
from heatproof.metrics.imputers import noisy_linear

Fill = Callable[[Float[Tensor, "m c *spatial"], Bool[Tensor, "m 1 *spatial"]], Float[Tensor, "m c *spatial"]]
"""`(inputs, unknown) -> inputs` whose unknown samples are filled."""

_TRIES = 24


def fills(spec: Sequence[str | Fill] | Mapping[str, Fill], seed: int) -> dict[str, Fill]:
    """Return the fills by name.

    Args:
        spec: names ("donor", "harmonic", "biharmonic"), functions, or functions by name.
        seed: of what they draw.

    Raises:
        UsageError: there is no such fill, or none at all.
    """
    if isinstance(spec, str):
        spec = (spec,)
    known: dict[str, Callable[[], Fill]] = {
        "donor": lambda: donor(seed),
        "harmonic": lambda: membrane(seed),
        "biharmonic": lambda: biharmonic,
    }
    if isinstance(spec, Mapping):
        found = {name: checked(name, one) for name, one in spec.items()}
    else:
        found: dict[str, Fill] = {}
        for one in spec:
            if callable(one):
                name = getattr(one, "__name__", "fill")
                found[name] = checked(name, one)
            elif one in known:
                found[one] = known[one]()
            else:
                raise UsageError(f"There is no imputer {one!r}{nearest(one, known)}.")
    if not found:
        raise UsageError("The list of imputers is empty; name two that err in different ways, such as donor, harmonic.")
    return found


def membrane(seed: int = 0) -> Fill:
    """Return a fill by the smoothest continuation of what surrounds the region, with a little noise.

    Source: Rong et al. 2022, "A consistent and efficient evaluation strategy for attribution methods", section 4.
    """
    impute = noisy_linear(seed=seed)

    def fill(inputs: Tensor, unknown: Tensor) -> Tensor:
        return impute(inputs, unknown.to(inputs.dtype))

    return fill


def donor(seed: int = 0) -> Fill:
    """Return a fill by texture from elsewhere in the same input, brought to the level of the region's surroundings.

    Of several shifts around the edges the one is taken whose samples differ least, in shape not in level, from the
    region's rim, and are within the region what they are along it, so that no lesion is brought along; where every
    shift would bring the region itself along, the rest of it is filled smoothly.

    Source: Perez et al. 2003, "Poisson Image Editing", eq. 4 (seamless cloning; here with the membrane of `harmonic`).
    """

    def fill(inputs: Tensor, unknown: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        axes = tuple(range(1, inputs.ndim - 1))
        spatial = inputs.shape[2:]
        shifts = [tuple(int(torch.randint(s, (), generator=generator)) for s in spatial) for _ in range(_TRIES)]
        taken = [_donated(x, hole, shifts, axes) for x, hole in zip(inputs, unknown, strict=True)]
        source, missing = (torch.stack(each) for each in zip(*taken, strict=True))
        return cloned(inputs, source, unknown, missing)

    return fill


def cloned(
    inputs: Float[Tensor, "m c *spatial"],
    source: Float[Tensor, "m c *spatial"],
    unknown: Bool[Tensor, "m 1 *spatial"],
    missing: Bool[Tensor, "m 1 *spatial"] | None = None,
) -> Float[Tensor, "m c *spatial"]:
    """Return the inputs with the source's texture in a region, its level drawn to the inputs' along the rim.

    Where the source is missing, too, the region is filled smoothly.
    """
    offset = _continued(inputs - source, unknown)
    filled = torch.where(unknown, source + offset, inputs)
    if missing is None or not bool((missing & unknown).any()):
        return filled
    return torch.where(missing & unknown, harmonic(filled, missing & unknown), filled)


def _continued(values: Float[Tensor, "m c *spatial"], unknown: Bool[Tensor, "m 1 *spatial"]) -> Tensor:
    """Return `harmonic`, solved within a window around each row's hole: nothing further away takes part."""
    size = unknown.shape[2:]
    if not bool(unknown.any()):
        return values
    low, high = _box(unknown[:, 0])
    reach = [min(s, int(r)) for s, r in zip(size, (high - low + 3).amax(0).tolist(), strict=True)]
    starts = [
        tuple(min(max(0, a - 1), s - r) for a, s, r in zip(first, size, reach, strict=True)) for first in low.tolist()
    ]
    windows = [(slice(None), *(slice(a, a + r) for a, r in zip(start, reach, strict=True))) for start in starts]
    solved = harmonic(
        torch.stack([x[where] for x, where in zip(values, windows, strict=True)]),
        torch.stack([hole[where] for hole, where in zip(unknown, windows, strict=True)]),
    )
    found = values.clone()
    for x, where, part in zip(found, windows, solved, strict=True):
        x[where] = part
    return found


def _box(where: Bool[Tensor, "m *spatial"]) -> tuple[Int[Tensor, "m axes"], Int[Tensor, "m axes"]]:
    """Return the first and the last position per axis; that of the first sample where there is none."""
    axes = range(1, where.ndim)
    lines = [where.any(tuple(other for other in axes if other != axis)) if where.ndim > 2 else where for axis in axes]
    low = torch.stack([line.int().argmax(1) for line in lines], 1)
    high = torch.stack([line.shape[1] - 1 - line.flip(1).int().argmax(1) for line in lines], 1)
    empty = ~where.flatten(1).any(1, keepdim=True)
    return torch.where(empty, 0, low), torch.where(empty, 0, high)


def biharmonic(inputs: Float[Tensor, "m c *spatial"], unknown: Bool[Tensor, "m 1 *spatial"]) -> Tensor:
    """Fill so that the bending energy is least; slow, one input after another on the CPU.

    Source: Damelin and Hoang 2018, "On surface completion and image inpainting by biharmonic functions".
    """
    from skimage.restoration import inpaint_biharmonic

    done = [
        inpaint_biharmonic(x.detach().cpu().double().numpy(), hole[0].cpu().numpy(), channel_axis=0)
        if bool(hole.any())
        else x.detach().cpu().numpy()
        for x, hole in zip(inputs, unknown, strict=True)
    ]
    return torch.from_numpy(np.stack(done)).to(inputs)


def checked(name: str, fill: Fill) -> Fill:
    """Return a user's fill that refuses to hand on what has another shape or is not finite."""

    def refusing(inputs: Tensor, unknown: Tensor) -> Tensor:
        found = fill(inputs, unknown)
        if found.shape != inputs.shape or not bool(found.isfinite().all()):
            raise InputError(
                f"The imputer {name!r} returned shape {tuple(found.shape)} with "
                f"{int((~found.isfinite()).sum())} values that are not finite, for inputs of shape "
                f"{tuple(inputs.shape)}; return finite values of the same shape."
            )
        return found

    refusing.__name__ = "given"
    return refusing


def wider(mask: Bool[Tensor, "m *spatial"], by: int) -> Bool[Tensor, "m *spatial"]:
    """Return the masks grown by some samples in all directions."""
    field = mask.unsqueeze(1).float()
    for _ in range(by):
        field = (grown(field) > 0).float()
    return field[:, 0] > 0


def _donated(
    x: Tensor, hole: Tensor, shifts: Sequence[tuple[int, ...]], axes: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Return the shifted input that fits best, and where it is itself unknown."""
    if not bool(hole.any()):
        return x, hole
    rim = wider(hole, 3)[0] & ~hole[0]
    size = tuple(hole.shape[1:])
    moved = _before(rim, size, shifts)
    difference = x.flatten(1)[:, rim.flatten()].unsqueeze(1) - x.flatten(1)[:, moved]  # (c, shifts, rim)
    level = difference.mean(2, keepdim=True)
    spread = float(x.var()) or 1.0
    fit = (difference - level).square().mean((0, 2)) / spread if rim.any() else torch.zeros(len(shifts)).to(x)
    inner = _before(hole[0], size, shifts)
    lost = hole[0].flatten()[inner].to(x).mean(1)
    within, along = x.flatten(1)[:, inner], x.flatten(1)[:, moved]  # (c, shifts, places)
    other = (within.mean(2) - along.mean(2)).square() + (_deviation(within) - _deviation(along)).square()
    shift = shifts[int((fit + other.mean(0).nan_to_num() / spread + 10 * lost).argmin())]
    return x.roll(shift, axes), hole.roll(shift, axes)


def _deviation(values: Float[Tensor, "c s places"]) -> Float[Tensor, "c s"]:
    return values.std(2, correction=0) if values.shape[2] else values.sum(2)


def _before(where: Tensor, size: tuple[int, ...], shifts: Sequence[tuple[int, ...]]) -> Int[Tensor, "s places"]:
    """Return, per shift, the flat positions from which a roll by it brings samples to the places."""
    places, moves, sides = where.nonzero(), torch.tensor(shifts), torch.tensor(size)
    found = (places.unsqueeze(0) - moves.unsqueeze(1).to(places)) % sides.to(places)
    strides = torch.tensor([int(np.prod(size[axis + 1 :])) for axis in range(len(size))])
    return (found * strides.to(places)).sum(2)
