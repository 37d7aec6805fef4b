"""Bring a law into a study: what the network is given after the action, and where the map must then be."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from heatproof.checks._rerun import input_tensor
from heatproof.checks._study import Study
from heatproof.errors import HeatproofWarning, InputError
from heatproof.inputs import restore
from heatproof.metrics._fields import pooled
from heatproof.physics._parts import named_components
from heatproof.physics.law import Law
from heatproof.types import Geometry, Input

_SAME = 1e-5
"""How closely the model's preparation of an original must give what the network was given."""


@dataclass(frozen=True, eq=False)
class Acted:
    """A study's inputs after an action.

    Attributes:
        laws: the law, bound to each input.
        inputs: (n, c, *spatial) what the network is given after the action.
    """

    laws: tuple[Law, ...]
    inputs: Float[Tensor, "n c *spatial"]


def originals(study: Study) -> list[Input]:
    """Return the inputs as the laws act on them: as they were read, or as the network is given them.

    A batch of tensors goes into a network as it is. Where the model's own preparation of what was read does not give
    what went in, the tensor itself is the original.
    """
    given = input_tensor(study)
    found: list[Input] = []
    for tensor, one in zip(given, study.explanation.inputs, strict=True):
        tensor = tensor.detach().cpu()
        found.append(one if _prepares(study, one, tensor) else replace(one, data=tensor, picture=False))
    return found


def acted(study: Study, law: Law, inputs: Sequence[Input]) -> Acted:
    """Return the inputs after the action, as the network is given them.

    Raises:
        InputError: an input lacks what the law needs, or the action leaves the domain.

    Warns:
        HeatproofWarning: a law of the user's mirrors a vector's components without changing a sign.
    """
    bound = tuple(law.of(one, study.explanation.resolution) for one in inputs)
    if law.bind is None:
        _warn_of_unsigned(law, inputs[0])
    given = input_tensor(study)
    made = [fed(study, one, each.changed(one), row) for one, each, row in zip(inputs, bound, given, strict=True)]
    return Acted(bound, torch.stack(made))


def fed(study: Study, one: Input, data: Tensor, given: Tensor) -> Tensor:
    """Return changed data of an input as the network is given it."""
    changed = replace(one, data=data)
    if one.data.shape == given.shape and torch.allclose(one.data.to(given), given, atol=_SAME, rtol=_SAME):
        return data.to(given)
    return study.explainer.model.prepare(changed).tensor.to(given)


def expected(
    maps: Float[Tensor, "n 1 *grid"], bound: Sequence[Law], inputs: Sequence[Input], geometries: Sequence[Geometry]
) -> Float[Tensor, "n 1 *grid"]:
    """Return the maps as the laws say that they must be after the action, on the grid; NaN where nothing is known."""
    grid = tuple(maps.shape[2:])
    rows: list[Tensor] = []
    for one, law, input, geometry in zip(maps[:, 0], bound, inputs, geometries, strict=True):
        rows.append(to_grid(law.moved(over(one, geometry), input), geometry, grid))
    return torch.stack(rows).unsqueeze(1)


def floors(
    maps: Float[Tensor, "n 1 *grid"], bound: Sequence[Law], inputs: Sequence[Input], geometries: Sequence[Geometry]
) -> Float[Tensor, "n 1 *grid"] | None:
    """Return the maps after the action and its inverse on the grid, which is what interpolation leaves of them.

    None where every action takes positions onto positions, or has no inverse.
    """
    if all(law.exact or law.undo is None for law in bound):
        return None
    moved = expected(maps, bound, inputs, geometries)
    back = [replace(law, act_map=law.undo) for law in bound]
    return expected(moved, back, inputs, geometries)


def smoothed(maps: Float[Tensor, "n 1 *grid"], geometries: Sequence[Geometry]) -> Float[Tensor, "n 1 *grid"]:
    """Return maps that went to the input and back, as `expected` ones; the same where the grid divides the input."""
    grid = tuple(maps.shape[2:])
    rows = [to_grid(over(one, geometry), geometry, grid) for one, geometry in zip(maps[:, 0], geometries, strict=True)]
    return torch.stack(rows).unsqueeze(1)


def over(field: Float[Tensor, "*grid"], geometry: Geometry) -> Float[Tensor, "*original"]:
    """Return a map over the original: each position as a block, NaN where the model did not look."""
    whole = geometry == Geometry.identity(geometry.original_size)
    blocks = F.interpolate(field.double()[None, None], size=geometry.model_size, mode="nearest-exact")[0, 0]
    return blocks if whole else restore(blocks, geometry).double()


def to_grid(field: Float[Tensor, "*original"], geometry: Geometry, grid: Sequence[int]) -> Float[Tensor, "*grid"]:
    """Return a field over the original on the map's grid: the mean of what each position covers, NaN left out.

    Positions of which less than half is known are NaN.
    """
    seen = field.double()
    for axis in range(seen.ndim):
        size = geometry.model_size[axis]
        at = (torch.arange(size) + 0.5 + geometry.offset[axis]) / geometry.scale[axis] - 0.5
        index = at.round().long()
        outside = (index < 0) | (index >= seen.shape[axis])
        seen = seen.index_select(axis, index.clamp(0, seen.shape[axis] - 1))
        shape = [-1 if a == axis else 1 for a in range(seen.ndim)]
        seen = seen.masked_fill(outside.reshape(shape), torch.nan)
    there = (~seen.isnan()).double()
    sums = pooled(seen.nan_to_num(nan=0.0)[None, None], grid)
    share = pooled(there[None, None], grid)
    return torch.where(share > 0.5 - 1e-9, sums / share.clamp(min=1e-12), torch.nan)[0, 0]


def correlation(a: Float[Tensor, "n 1 *grid"], b: Float[Tensor, "n 1 *grid"]) -> Float[Tensor, " n"]:
    """Return Pearson's correlation of each pair of maps over what is known of both; NaN where one is constant there.

    Not of ranks: where a field is quiet, values that are equal but for rounding have ranks in any order.
    """
    x, y = a.flatten(1).double(), b.flatten(1).double()
    both = x.isfinite() & y.isfinite()
    count = both.sum(1, keepdim=True)
    x, y = (torch.where(both, each, 0.0) for each in (x, y))
    x, y = (torch.where(both, each - each.sum(1, keepdim=True) / count, 0.0) for each in (x, y))
    lengths = x.norm(dim=1), y.norm(dim=1)
    sizes = [torch.where(both, each.flatten(1).double().abs(), 0.0).amax(1) for each in (a, b)]
    flat = (lengths[0] <= 1e-9 * sizes[0]) | (lengths[1] <= 1e-9 * sizes[1]) | (count[:, 0] < 3)
    return torch.where(flat, torch.nan, (x * y).sum(1) / (lengths[0] * lengths[1]))


def _prepares(study: Study, one: Input, tensor: Tensor) -> bool:
    if one.data.shape == tensor.shape and torch.allclose(one.data.cpu().to(tensor), tensor, atol=_SAME, rtol=_SAME):
        return True
    try:
        made = study.explainer.model.prepare(one).tensor.cpu()
    except InputError:
        return False
    return made.shape == tensor.shape and torch.allclose(made.to(tensor), tensor, atol=_SAME, rtol=_SAME)


def _warn_of_unsigned(law: Law, one: Input) -> None:
    """Warn where a law mirrors an axis and leaves every channel's sign, though channels are named like a vector's."""
    components = named_components(one)
    if not components:
        return
    changed = law.act(one.data.detach().clone())
    for at, axis in enumerate(one.axes):
        if axis.name in components and torch.equal(changed, one.data.flip(at - len(one.axes))):
            warnings.warn(
                f"The law {law.name!r} mirrors {axis.name!r} and leaves the sign of {components[axis.name]!r}, which "
                "looks like a vector's component along it; a mirrored velocity changes sign.",
                HeatproofWarning,
                stacklevel=5,
            )
