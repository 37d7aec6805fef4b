"""Stain: how strongly hematoxylin and eosin color the tissue, as after another laboratory's staining."""

import torch
from jaxtyping import Float
from torch import Tensor

from heatproof.shortcuts.cues._moments import middle

NAME = "Stain"
ALIASES = ("H&E", "hematoxylin and eosin")
TIER = "experimental"
BIBTEX = """
@article{ruifrok2001quantification,
  title   = {Quantification of histochemical staining by color deconvolution},
  author  = {Ruifrok, Arnout C. and Johnston, Dennis A.},
  journal = {Analytical and Quantitative Cytology and Histology},
  volume  = {23},
  pages   = {291--299},
  year    = {2001}
}
"""


STAINS = torch.tensor([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11]])
"""Optical density of hematoxylin and of eosin in red, green and blue."""
TISSUE = 0.05
"""Mean optical density from which on a sample is tissue, not glass."""
FOREIGN = 0.3
"""Share of the optical density in no stain's color from which on the inputs are something else."""


def measure(
    inputs: Float[Tensor, "n c *spatial"], weights: Float[Tensor, "n 1 *spatial"]
) -> Float[Tensor, "n 2"] | None:
    """Return the logarithms of both stains' median strengths in tissue; None for what is not so stained."""
    if inputs.shape[1] != 3 or inputs.ndim != 4:
        return None
    density = _density(inputs)
    strength = _strengths(density)
    tissue = weights * (density.mean(1, keepdim=True) > TISSUE)
    if bool((tissue.flatten(1).sum(1) == 0).any()):
        return None
    rest = density - torch.einsum("ns...,sc->nc...", strength, STAINS.to(inputs))
    share = rest.norm(dim=1, keepdim=True) / density.norm(dim=1, keepdim=True).clamp(min=1e-6)
    level = middle(strength, tissue)
    if float(middle(share, tissue).median()) > FOREIGN or float(level.median(0).values.min()) < 0.01:
        return None
    return level.clamp(min=1e-3).log()


def shift(inputs: Float[Tensor, "n c *spatial"], delta: Float[Tensor, " 2"]) -> Float[Tensor, "n c *spatial"]:
    """Return inputs with each stain exp(delta) times as strong."""
    density = _density(inputs)
    factor = delta.to(inputs).exp() - 1
    more = torch.einsum("ns...,s,sc->nc...", _strengths(density), factor, STAINS.to(inputs))
    return 10 ** -(density + more)


def _density(inputs: Tensor) -> Tensor:
    """Return the optical density (Beer and Lambert): minus the decimal logarithm of what comes through."""
    return -inputs.clamp(1 / 255, 1).log10()


def _strengths(density: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 2 h w"]:
    """Return how much of each stain makes the density, by least squares; none is negative."""
    back = torch.linalg.pinv(STAINS.to(density))
    return torch.einsum("nc...,cs->ns...", density, back).clamp(min=0)
