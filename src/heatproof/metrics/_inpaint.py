"""Fill unknown positions so that each is the weighted mean of its neighbors: a batched solver on the device."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.metrics._fields import LINEAR, grown

_COARSEST = 4
_TOLERANCE = 1e-4
_GUESS = 1e-3
"""Of the solutions on coarser grids, which are only where the next finer one starts."""
_MOST_STEPS = 100


def harmonic(values: Float[Tensor, "m c *spatial"], unknown: Bool[Tensor, "m 1 *spatial"]) -> Tensor:
    """Return the values with each unknown position equal to the weighted mean of its neighbors.

    Neighbors are the 3^d - 1 positions around it; a direct neighbor weighs twice a diagonal one (1/6 and 1/12 in the
    plane), four times one that is diagonal in space; at the border the weights of those that exist are scaled up.
    Where nothing is known, everything is 0.

    The symmetric positive definite system is solved by conjugate gradients (Hestenes and Stiefel 1952) with a multigrid
    cycle as preconditioner, each row by itself, until the residual is 1e-4 of the values' spread (errors are then, in
    the mean square, a tenth of the noise that ROAD adds), starting from the solution on a grid half as fine.
    """
    return _solved(values, unknown, _TOLERANCE)


def _solved(values: Tensor, unknown: Tensor, tolerance: float) -> Tensor:
    """Return `harmonic` with residuals below a share `tolerance` of the values' spread."""
    known = ~unknown
    values = torch.where(known, values, 0.0)
    guess = _coarser(values, known)
    return torch.where(known, values, _conjugate_gradients(values, unknown, guess, tolerance))


def _coarser(values: Tensor, known: Tensor) -> Tensor:
    """Return a first guess: the solution on half the grid, interpolated."""
    weight = known.to(values.dtype)
    axes = tuple(range(2, values.ndim))
    if max(values.shape[2:]) <= _COARSEST:
        total = weight.sum(axes, keepdim=True)
        mean = torch.where(total > 0, values.sum(axes, keepdim=True) / total.clamp(min=1), 0.0)
        return mean.expand_as(values)
    size = [(s + 1) // 2 for s in values.shape[2:]]
    share = _pooled(weight, size)
    coarse = torch.where(share > 0, _pooled(values, size) / torch.where(share > 0, share, 1.0), 0.0)
    solved = _solved(coarse, share == 0, _GUESS)
    return F.interpolate(solved, size=values.shape[2:], mode=LINEAR[len(size)], align_corners=False)


def _pooled(values: Tensor, size: list[int]) -> Tensor:
    """Return sums over pairs along each axis; an odd last position is alone."""
    for axis, half in enumerate(size, start=2):
        if values.shape[axis] % 2:
            values = torch.cat([values, torch.zeros_like(values.narrow(axis, 0, 1))], axis)
        values = values.unflatten(axis, (half, 2)).sum(axis + 1)
    return values


def _conjugate_gradients(values: Tensor, unknown: Tensor, guess: Tensor, tolerance: float) -> Tensor:
    """Return the solution at the unknown positions; elsewhere whatever `values` holds."""
    levels = _levels(unknown, values.dtype)
    inside, degree = levels[0]
    axes = tuple(range(2, values.ndim))
    solution = torch.where(unknown, guess, values)
    residual = _applied(solution, inside, degree).neg_()
    spread = solution.amax(axes, keepdim=True) - solution.amin(axes, keepdim=True)
    direction, rho = torch.zeros_like(residual), torch.ones_like(spread)
    for _ in range(_MOST_STEPS):
        # Each row stops by itself, so that it does not depend on the others of its batch.
        active = (residual / degree).abs_().amax(axes, keepdim=True) > tolerance * spread
        if not active.any():
            break
        scaled = _cycle(residual, levels)
        fresh = (residual * scaled).sum(axes, keepdim=True)
        direction.mul_(torch.where(rho > 0, fresh / torch.where(rho > 0, rho, 1.0), 0.0)).add_(scaled)
        rho = fresh
        image = _applied(direction, inside, degree)
        curvature = (direction * image).sum(axes, keepdim=True)
        alpha = torch.where(active & (curvature > 0), rho / torch.where(curvature > 0, curvature, 1.0), 0.0)
        solution.addcmul_(alpha, direction)
        residual.addcmul_(alpha, image, value=-1)
    return solution


def _levels(unknown: Tensor, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
    """Return, from fine to coarse, which positions are unknown and the sum of their neighbors' weights.

    A coarse position is unknown where all that it stands for is.
    """
    found: list[tuple[Tensor, Tensor]] = []
    while True:
        inside = unknown.to(dtype)
        found.append((inside, grown(torch.ones_like(inside[:1])) - 2 ** (unknown.ndim - 2)))
        if max(unknown.shape[2:]) <= _COARSEST:
            return found
        size = [(s + 1) // 2 for s in unknown.shape[2:]]
        unknown = _pooled((~unknown).to(dtype), size) == 0


def _applied(field: Tensor, inside: Tensor, degree: Tensor) -> Tensor:
    """Return how far each unknown position is from the mean of its neighbors, times the sum of their weights."""
    return grown(field).neg_().addcmul_(2 ** (field.ndim - 2) + degree, field).mul_(inside)


def _cycle(residual: Tensor, levels: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Return an approximate solution for a residual by one multigrid V-cycle: symmetric, as the method asks."""
    (inside, degree), *coarser = levels
    axes = residual.ndim - 2
    damping = 4 / 3 * (1 - 0.5**axes) / degree  # of Jacobi's steps; best for what the coarser grid cannot see
    field = damping * residual
    sweeps = 1 if coarser else 8
    if coarser:
        left = _applied(field, inside, degree).neg_().add_(residual)
        size = list(coarser[0][0].shape[2:])
        correction = _cycle(coarser[0][0] * _restricted(left, size), coarser)
        field.addcmul_(inside, _prolonged(correction, list(residual.shape[2:])))
    for _ in range(sweeps):
        field.addcmul_(damping, _applied(field, inside, degree).neg_().add_(residual))
    return field


def _restricted(field: Tensor, size: list[int]) -> Tensor:
    """Return the transpose of `_prolonged`, scaled to the coarser grid's equations."""
    for axis, half in enumerate(size, start=2):
        if field.shape[axis] % 2:
            field = torch.cat([field, torch.zeros_like(field.narrow(axis, 0, 1))], axis)
        even, odd = field.unflatten(axis, (half, 2)).unbind(axis + 1)
        total = 0.75 * (even + odd)
        total.narrow(axis, 0, 1).add_(even.narrow(axis, 0, 1), alpha=0.25)
        total.narrow(axis, half - 1, 1).add_(odd.narrow(axis, half - 1, 1), alpha=0.25)
        total.narrow(axis, 0, half - 1).add_(even.narrow(axis, 1, half - 1), alpha=0.25)
        total.narrow(axis, 1, half - 1).add_(odd.narrow(axis, 0, half - 1), alpha=0.25)
        field = total
    return field * (4 / 2 ** len(size))


def _prolonged(field: Tensor, size: list[int]) -> Tensor:
    """Return linear interpolation to a grid twice as fine, as `F.interpolate` does it."""
    for axis, full in enumerate(size, start=2):
        half = field.shape[axis]
        before = torch.cat([field.narrow(axis, 0, 1), field.narrow(axis, 0, half - 1)], axis)
        after = torch.cat([field.narrow(axis, 1, half - 1), field.narrow(axis, half - 1, 1)], axis)
        pair = torch.stack([0.75 * field + 0.25 * before, 0.75 * field + 0.25 * after], axis + 1)
        field = pair.flatten(axis, axis + 1).narrow(axis, 0, full)
    return field
