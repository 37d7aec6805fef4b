"""Fill unknown positions so that each is the weighted mean of its neighbors: a batched solver on the device."""

from dataclasses import dataclass
from math import prod

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.metrics._fields import LINEAR, grown

_DIRECT = 64
"""Positions up to which a grid's equations are solved by their inverse."""
_TOLERANCE = 1e-4
_GUESS = 1e-3
"""Of the solutions on coarser grids, which are only where the next finer one starts."""
_MOST_STEPS = 100


@dataclass(frozen=True, eq=False)
class _Level:
    """One grid's equations: at each unknown position diagonal * u - (weighted sum around it) = 0.

    Attributes:
        inside: 1 where a position is unknown, else 0.
        degree: sum of the neighbors' weights.
        diagonal: degree and the weight that `grown` gives the position itself.
        damping: of Jacobi's steps; best for what the coarser grid cannot see.
    """

    inside: Float[Tensor, "m 1 *spatial"]
    degree: Float[Tensor, "1 1 *spatial"]
    diagonal: Float[Tensor, "1 1 *spatial"]
    damping: Float[Tensor, "1 1 *spatial"]


@dataclass(frozen=True, eq=False)
class _Grids:
    """The equations from fine to coarse, and the inverse (m, p, p) of the coarsest."""

    levels: tuple[_Level, ...]
    inverse: Float[Tensor, "m p p"]

    @property
    def coarser(self) -> "_Grids":
        return _Grids(self.levels[1:], self.inverse)

    def solve(self, right: Float[Tensor, "m c *spatial"]) -> Float[Tensor, "m c *spatial"]:
        """Return the coarsest grid's solution."""
        return (self.inverse.unsqueeze(1) @ right.flatten(2).unsqueeze(-1)).reshape(right.shape)


def harmonic(values: Float[Tensor, "m c *spatial"], unknown: Bool[Tensor, "m 1 *spatial"]) -> Tensor:
    """Return the values with each unknown position equal to the weighted mean of its neighbors.

    Neighbors are the 3^d - 1 positions around it; a direct neighbor weighs twice a diagonal one (1/6 and 1/12 in the
    plane), four times one that is diagonal in space; at the border the weights of those that exist are scaled up.
    Where nothing is known, everything is 0.

    The symmetric positive definite system is solved by conjugate gradients (Hestenes and Stiefel 1952) with a multigrid
    cycle as preconditioner, each row by itself, until the residual is 1e-4 of the values' spread (errors are then, in
    the mean square, a tenth of the noise that ROAD adds), starting from the solution on a grid half as fine.
    """
    return _solved(values, _grids(unknown, values.dtype), _TOLERANCE)


def _grids(unknown: Tensor, dtype: torch.dtype) -> _Grids:
    """Return the equations; a coarse position is unknown where all that it stands for is."""
    levels: list[_Level] = []
    axes = unknown.ndim - 2
    while True:
        inside = unknown.to(dtype)
        degree = grown(torch.ones_like(inside[:1])) - 2**axes
        levels.append(_Level(inside, degree, degree + 2**axes, 4 / 3 * (1 - 0.5**axes) / degree))
        if prod(unknown.shape[2:]) <= _DIRECT:
            return _Grids(tuple(levels), _inverse(levels[-1]))
        size = [(s + 1) // 2 for s in unknown.shape[2:]]
        unknown = _pooled((~unknown).to(dtype), size) == 0


def _inverse(level: _Level) -> Tensor:
    """Return the inverse of a small grid's equations, zero at known positions, and where nothing is known."""
    inside = level.inside.flatten(1)
    eye = torch.eye(inside.shape[1], dtype=inside.dtype, device=inside.device)
    around = grown(eye.reshape(-1, 1, *level.inside.shape[2:])).flatten(1)
    both = inside.unsqueeze(2) * inside.unsqueeze(1)
    matrix = (torch.diag(level.diagonal.flatten()) - around) * both + torch.diag_embed(1 - inside)
    solvable = ~(inside == 1).all(1)[:, None, None]
    return torch.where(solvable, torch.linalg.inv(torch.where(solvable, matrix, eye)) * both, 0.0)


def _solved(values: Tensor, grids: _Grids, tolerance: float) -> Tensor:
    """Return `harmonic` with residuals below a share `tolerance` of the values' spread."""
    known = grids.levels[0].inside == 0
    values = torch.where(known, values, 0.0)
    if len(grids.levels) == 1:
        return values + grids.solve(grown(values).mul_(grids.levels[0].inside))
    size = list(grids.levels[1].inside.shape[2:])
    share = _pooled(known.to(values.dtype), size)
    coarse = torch.where(share > 0, _pooled(values, size) / torch.where(share > 0, share, 1.0), 0.0)
    guess = _solved(coarse, grids.coarser, _GUESS)
    guess = F.interpolate(guess, size=values.shape[2:], mode=LINEAR[len(size)], align_corners=False)
    return _conjugate_gradients(values, guess, grids, tolerance)


def _conjugate_gradients(values: Tensor, guess: Tensor, grids: _Grids, tolerance: float) -> Tensor:
    """Return the values, which are zero at unknown positions, with those solved, starting from a guess of them."""
    level = grids.levels[0]
    axes = tuple(range(2, values.ndim))
    guess = guess * level.inside
    solution = values + guess
    residual = grown(solution).mul_(level.inside).addcmul_(level.diagonal, guess, value=-1)
    spread = solution.amax(axes, keepdim=True) - solution.amin(axes, keepdim=True)
    direction, rho = torch.zeros_like(residual), torch.ones_like(spread)
    for _ in range(_MOST_STEPS):
        # Each row stops by itself, so that it does not depend on the others of its batch.
        left = torch.linalg.vector_norm(residual / level.degree, torch.inf, axes, keepdim=True)
        active = left > tolerance * spread
        if not active.any():
            break
        scaled = _cycle(residual, grids)
        fresh = _dot(residual, scaled)
        direction.mul_(torch.where(rho > 0, fresh / torch.where(rho > 0, rho, 1.0), 0.0)).add_(scaled)
        rho = fresh
        image = _left(direction, torch.zeros_like(spread), level).neg_()
        curvature = _dot(direction, image)
        alpha = torch.where(active & (curvature > 0), rho / torch.where(curvature > 0, curvature, 1.0), 0.0)
        solution.addcmul_(alpha, direction)
        residual.addcmul_(alpha, image, value=-1)
    return solution


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Return the inner products over the spatial axes, which are kept with size 1."""
    rows = a.shape[0] * a.shape[1]
    return torch.bmm(a.reshape(rows, 1, -1), b.reshape(rows, -1, 1)).reshape(*a.shape[:2], *[1] * (a.ndim - 2))


def _left(field: Tensor, right: Tensor, level: _Level) -> Tensor:
    """Return what is left of the right side after a field that is zero at known positions, as the right side is."""
    return grown(field).mul_(level.inside).add_(right).addcmul_(level.diagonal, field, value=-1)


def _cycle(residual: Tensor, grids: _Grids) -> Tensor:
    """Return an approximate solution for a residual by one multigrid V-cycle: symmetric, as the method asks."""
    if len(grids.levels) == 1:
        return grids.solve(residual)
    level, coarse = grids.levels[:2]
    field = level.damping * residual
    size = list(coarse.inside.shape[2:])
    correction = _cycle(_restricted(_left(field, residual, level), size).mul_(coarse.inside), grids.coarser)
    field.addcmul_(level.inside, _prolonged(correction, list(residual.shape[2:])))
    return field.addcmul_(level.damping, _left(field, residual, level))


def _pooled(values: Tensor, size: list[int]) -> Tensor:
    """Return sums over pairs along each axis; an odd last position is alone."""
    for axis, half in enumerate(size, start=2):
        values = _even(values, axis).unflatten(axis, (half, 2)).sum(axis + 1)
    return values


def _restricted(field: Tensor, size: list[int]) -> Tensor:
    """Return the transpose of `_prolonged`, scaled to the coarser grid's equations."""
    for axis, half in enumerate(size, start=2):
        even, odd = _even(field, axis).unflatten(axis, (half, 2)).unbind(axis + 1)
        total = (even + odd).mul_(0.75)
        total.narrow(axis, 0, 1).add_(even.narrow(axis, 0, 1), alpha=0.25)
        total.narrow(axis, half - 1, 1).add_(odd.narrow(axis, half - 1, 1), alpha=0.25)
        total.narrow(axis, 0, half - 1).add_(even.narrow(axis, 1, half - 1), alpha=0.25)
        total.narrow(axis, 1, half - 1).add_(odd.narrow(axis, 0, half - 1), alpha=0.25)
        field = total
    return field.mul_(4 / 2 ** len(size))


def _even(field: Tensor, axis: int) -> Tensor:
    """Return the field with a zero behind an axis of odd length."""
    return field if field.shape[axis] % 2 == 0 else torch.cat([field, torch.zeros_like(field.narrow(axis, 0, 1))], axis)


def _prolonged(field: Tensor, size: list[int]) -> Tensor:
    """Return linear interpolation to a grid twice as fine, as `F.interpolate` does it, which takes twice as long."""
    for axis in reversed(range(2, field.ndim)):
        half = field.shape[axis]
        pair = field.new_empty(*field.shape[: axis + 1], 2, *field.shape[axis + 1 :])
        even, odd = pair.unbind(axis + 1)
        near, far = 0.75 * field, 0.25 * field
        torch.add(near.narrow(axis, 1, half - 1), far.narrow(axis, 0, half - 1), out=even.narrow(axis, 1, half - 1))
        torch.add(near.narrow(axis, 0, half - 1), far.narrow(axis, 1, half - 1), out=odd.narrow(axis, 0, half - 1))
        even.narrow(axis, 0, 1).copy_(field.narrow(axis, 0, 1))
        odd.narrow(axis, half - 1, 1).copy_(field.narrow(axis, half - 1, 1))
        field = pair.flatten(axis, axis + 1).narrow(axis, 0, size[axis - 2])
    return field
