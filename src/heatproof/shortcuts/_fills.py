"""What stands where a region was removed: fills that err in different ways, by name, or the user's own function."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
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
    region's rim; where every shift would bring the region itself along, the rest of it is filled smoothly.

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
    offset = harmonic(inputs - source, unknown)
    filled = torch.where(unknown, source + offset, inputs)
    if missing is None or not bool((missing & unknown).any()):
        return filled
    return torch.where(missing & unknown, harmonic(filled, missing & unknown), filled)


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
    rim = wider(hole, 3) & ~hole
    best: tuple[float, Tensor, Tensor] | None = None
    for shift in shifts:
        source, lost = x.roll(shift, axes), hole.roll(shift, axes)
        difference = (x - source)[:, rim[0]]
        level = difference.mean(1, keepdim=True)
        cost = float((difference - level).square().mean()) if rim.any() else 0.0
        spread = float(x.var()) or 1.0
        cost = cost / spread + 10 * float((lost & hole).sum()) / float(hole.sum())
        if best is None or cost < best[0]:
            best = (cost, source, lost)
    assert best is not None
    return best[1], best[2]
