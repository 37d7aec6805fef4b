"""What stands where something was removed? Functions that fill masked parts of inputs.

An imputer takes inputs (m, c, *spatial) and weights (m, 1, *spatial) between 0 (kept) and 1 (removed) and returns
inputs of which the removed part is filled: `x * (1 - w) + fill * w`. Random fills are drawn once per seed and shape, so
that every input of a batch, and every batch, meets the same noise.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.errors import MethodError
from heatproof.metrics._fields import blurred
from heatproof.metrics._inpaint import harmonic

__all__ = ["Imputer", "blur", "constant", "mean", "noise", "noisy_linear"]

Imputer = Callable[[Float[Tensor, "m c *spatial"], Float[Tensor, "m 1 *spatial"]], Float[Tensor, "m c *spatial"]]


def mean(
    inputs: Float[Tensor, "m c *spatial"], weights: Float[Tensor, "m 1 *spatial"]
) -> Float[Tensor, "m c *spatial"]:
    """Fill with each input's own mean, per channel."""
    return _blend(inputs, _mean(inputs), weights)


def constant(value: float = 0.0) -> Imputer:
    """Return an imputer that fills with one value (0: the mean color, after the usual normalization)."""

    def impute(
        inputs: Float[Tensor, "m c *spatial"], weights: Float[Tensor, "m 1 *spatial"]
    ) -> Float[Tensor, "m c *spatial"]:
        return _blend(inputs, torch.full_like(inputs, value), weights)

    return impute


def blur(sigma: float = 5.0) -> Imputer:
    """Return an imputer that fills with the blurred input; `sigma` in samples of the input.

    Raises:
        MethodError: sigma is not positive.

    Source: Petsiuk et al. 2018, "RISE", section 4.2: insertion starts from a blurred image (there sigma = 5).
    """
    if not sigma > 0:
        raise MethodError(f"sigma is {sigma}; a blur needs a positive width in samples.")

    def impute(
        inputs: Float[Tensor, "m c *spatial"], weights: Float[Tensor, "m 1 *spatial"]
    ) -> Float[Tensor, "m c *spatial"]:
        return _blend(inputs, blurred(inputs, sigma), weights)

    return impute


def noise(seed: int = 0) -> Imputer:
    """Return an imputer that fills with Gaussian noise of each input's own mean and deviation, per channel."""

    def impute(
        inputs: Float[Tensor, "m c *spatial"], weights: Float[Tensor, "m 1 *spatial"]
    ) -> Float[Tensor, "m c *spatial"]:
        axes = tuple(range(2, inputs.ndim))
        deviation = inputs.std(axes, correction=0, keepdim=True)
        return _blend(inputs, _mean(inputs) + deviation * _draws(inputs, seed), weights)

    return impute


def noisy_linear(std: float = 0.01, seed: int = 0) -> Imputer:
    """Return ROAD's imputer: removed samples become the weighted mean of their neighbors, plus a little noise.

    Solved in single precision at least; no gradient passes. Every sample with a weight above 0 counts as unknown. Where
    an input is removed altogether, nothing is left to interpolate from: the fill is the input's mean.

    Args:
        std: deviation of the noise, in units of the input (the authors': 0.01).
        seed: of the noise.

    Source: Rong et al. 2022, "A consistent and efficient evaluation strategy for attribution methods", section 4.
    """

    def impute(
        inputs: Float[Tensor, "m c *spatial"], weights: Float[Tensor, "m 1 *spatial"]
    ) -> Float[Tensor, "m c *spatial"]:
        # The solver needs the inverse of matrices, which there is not in half precision, and writes in place.
        exact = inputs.detach().to(torch.promote_types(inputs.dtype, torch.float32))
        # About the mean, so that an unknown input, which solves to zeros, becomes its mean.
        middle = _mean(exact)
        filled = middle + harmonic(exact - middle, weights > 0)
        return _blend(exact, filled + std * _draws(exact, seed), weights.detach()).to(inputs.dtype)

    return impute


def _blend(inputs: Tensor, fill: Tensor, weights: Tensor) -> Tensor:
    """Return inputs where nothing is removed, exactly, and the fill where everything is."""
    return torch.where(weights == 0, inputs, inputs * (1 - weights) + fill * weights)


def _mean(inputs: Tensor) -> Tensor:
    return inputs.mean(tuple(range(2, inputs.ndim)), keepdim=True)


def _draws(inputs: Tensor, seed: int) -> Tensor:
    """Return standard normal draws for one input, the same on every device."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(inputs.shape[1:], generator=generator, dtype=torch.float64).to(inputs)
