"""What the peers do to maps and we do not: min-max scaling per input, resizing in between, an eigenvector for a sum."""

import warnings
from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from heatproof.cam._eigen import aligned, first_component
from heatproof.compat._engine import Function
from heatproof.errors import HeatproofWarning
from heatproof.types import Capture
from heatproof.types.explanation import LINEAR


def minmax(maps: Float[Tensor, "n *grid"]) -> Float[Tensor, "n *grid"]:
    """Return each map scaled to 0..1; zeros where it is the same everywhere. No epsilon, so no map is too faint."""
    low, high = maps.flatten(1).aminmax(dim=1)
    shape = (-1, *(1,) * (maps.ndim - 1))
    span = (high - low).where(high > low, 1)
    return (maps - low.view(shape)) / span.view(shape)


def resized(maps: Float[Tensor, "n *grid"], size: Sequence[int]) -> Float[Tensor, "n *size"]:
    """Return the maps resampled linearly to `size`."""
    mode = LINEAR[maps.ndim - 1]
    return F.interpolate(maps.unsqueeze(1), size=tuple(size), mode=mode, align_corners=False).squeeze(1)


def rectified(maps: Float[Tensor, "n *grid"], layer: str) -> Float[Tensor, "n *grid"]:
    """Return the maps after the ReLU; warn about those of which nothing is left.

    Warns:
        HeatproofWarning: a map speaks against its target everywhere, so that what the peers return is blank.
    """
    flat = maps.flatten(1)
    against = ((flat.amax(1) <= 0) & (flat.amin(1) < 0)).nonzero().flatten().tolist()
    if against:
        warnings.warn(
            f"The map of input {', '.join(map(str, against))} at {layer} speaks against its target everywhere: what "
            "is returned is blank. heatproof.explain(...).maps shows the evidence with its sign.",
            HeatproofWarning,
            stacklevel=2,
        )
    return maps.clamp(min=0)


def contributions(function: Function, capture: Capture) -> Float[Tensor, "n k *grid"]:
    """Return what each channel adds to the map of the only target, for methods that treat each channel by itself."""
    activations, gradients = capture.activations, capture.gradients
    n, k = activations.shape[:2]
    alone = replace(
        capture,
        activations=activations.flatten(0, 1).unsqueeze(1),
        gradients=gradients[:, 0].flatten(0, 1)[:, None, None],
        scores=capture.scores.repeat_interleave(k, 0),
        inputs=None,
        source=None,
    )
    return function(alone).unflatten(0, (n, k))[:, :, 0]


def principal(products: Float[Tensor, "n k *grid"]) -> Float[Tensor, "n *grid"]:
    """Return the first principal component over the channels, centered, with the sign of the sum over the channels."""
    points = products.flatten(2).mT
    centered = points - points.mean(1, keepdim=True)
    component = aligned(first_component(centered), centered.sum(-1))
    return component.unflatten(1, products.shape[2:])


def kernel_component(
    activations: Float[Tensor, "n k *grid"], kernel: str, gamma: float | None
) -> Float[Tensor, "n *grid"]:
    """Return the first kernel principal component of centered activations for any kernel of scikit-learn.

    The sign is the one for which it correlates with the activation energy, as in our KPCA-CAM.
    """
    from sklearn.decomposition import KernelPCA

    points = activations.detach().flatten(2).mT.double().cpu()
    centered = points - points.mean(1, keepdim=True)
    found = [KernelPCA(n_components=1, kernel=kernel, gamma=gamma).fit_transform(one.numpy())[:, 0] for one in centered]
    component = torch.stack([torch.from_numpy(one) for one in found])
    component = aligned(component, points.square().sum(-1)).to(activations)
    return component.unflatten(1, activations.shape[2:])
