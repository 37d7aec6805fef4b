"""Fill unknown positions so that each is the weighted mean of its neighbors: a batched solver on the device."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from heatproof.metrics._fields import LINEAR, grown

_COARSEST = 4
_TOLERANCE = 3e-5
_MOST_STEPS = 500


def harmonic(values: Float[Tensor, "m c *spatial"], unknown: Bool[Tensor, "m 1 *spatial"]) -> Tensor:
    """Return the values with each unknown position equal to the weighted mean of its neighbors.

    Neighbors are the 3^d - 1 positions around it; a direct neighbor weighs twice a diagonal one (1/6 and 1/12 in the
    plane), four times one that is diagonal in space; at the border the weights of those that exist are scaled up.
    Where nothing is known, everything is 0.

    The symmetric positive definite system is solved by conjugate gradients, each row by itself, until the residual is
    3e-5 of the values' spread (errors then stay below the noise that ROAD adds), starting from the solution on a grid
    half as fine.
    """
    known = ~unknown
    values = torch.where(known, values, 0.0)
    guess = _coarser(values, known)
    return torch.where(known, values, _conjugate_gradients(values, unknown, guess))


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
    solved = harmonic(coarse, share == 0)
    return F.interpolate(solved, size=values.shape[2:], mode=LINEAR[len(size)], align_corners=False)


def _pooled(values: Tensor, size: list[int]) -> Tensor:
    """Return sums over pairs along each axis; an odd last position is alone."""
    for axis, half in enumerate(size, start=2):
        if values.shape[axis] % 2:
            values = torch.cat([values, torch.zeros_like(values.narrow(axis, 0, 1))], axis)
        values = values.unflatten(axis, (half, 2)).sum(axis + 1)
    return values


def _conjugate_gradients(values: Tensor, unknown: Tensor, guess: Tensor) -> Tensor:
    """Return the solution at the unknown positions; elsewhere whatever `values` holds."""
    center = 2 ** (values.ndim - 2)
    inside = unknown.to(values.dtype)
    degree = grown(torch.ones_like(values[:1, :1])) - center
    axes = tuple(range(2, values.ndim))

    def residual_of(field: Tensor) -> Tensor:
        """Return what each unknown position lacks to be the mean of its neighbors."""
        return inside * (grown(field) - (center + degree) * field)

    solution = torch.where(unknown, guess, values)
    residual = residual_of(solution)
    scaled = residual / degree
    direction = scaled
    rho = (residual * scaled).sum(axes, keepdim=True)
    spread = solution.amax(axes, keepdim=True) - solution.amin(axes, keepdim=True)
    for _ in range(_MOST_STEPS):
        # Each row stops by itself, so that it does not depend on the others of its batch.
        active = scaled.abs().amax(axes, keepdim=True) > _TOLERANCE * spread
        if not active.any():
            break
        image = -residual_of(direction)
        curvature = (direction * image).sum(axes, keepdim=True)
        alpha = torch.where(active & (curvature > 0), rho / torch.where(curvature > 0, curvature, 1.0), 0.0)
        solution = solution + alpha * direction
        residual = residual - alpha * image
        scaled = residual / degree
        fresh = (residual * scaled).sum(axes, keepdim=True)
        beta = torch.where(active & (rho > 0), fresh / torch.where(rho > 0, rho, 1.0), 0.0)
        direction = scaled + beta * direction
        rho = fresh
    return solution
