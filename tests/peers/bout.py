"""A network with its inputs, explained by heatproof and by the slow loop; and how far two maps are apart."""

import warnings
from dataclasses import dataclass
from functools import cache

import torch
from tests.peers.networks import Case
from tests.peers.raw import activations_and_gradients
from tests.reference import gradcam, gradcam_plusplus, hirescam, layercam, xgradcam
from torch import Tensor, nn

import heatproof as hp

CLASSES = [3, 7]
LOOPS = {
    "gradcam": gradcam,
    "gradcam_plusplus": gradcam_plusplus,
    "hirescam": hirescam,
    "layercam": layercam,
    "xgradcam": xgradcam,
}


@dataclass(frozen=True, eq=False)
class Bout:
    """A built network with its inputs, and the answers to compare."""

    case: Case
    net: nn.Module
    x: Tensor

    @property
    def args(self) -> tuple[nn.Module, str, Tensor, list[int]]:
        """What every peer is called with."""
        return self.net, self.case.layer, self.x, CLASSES

    @cache  # noqa: B019 - a bout lives as long as the session, and so may its answers
    def ours(self, name: str) -> Tensor:
        """Explain with heatproof's front door: (n, *grid)."""
        with warnings.catch_warnings():
            # Grad-CAM++ says that some of these layers hold negative activations; here only the formula matters
            warnings.simplefilter("ignore", hp.HeatproofWarning)
            return hp.Explainer(self.net, layer=self.case.layer, method=name)(self.x, target=CLASSES).maps[:, 0]

    @cache  # noqa: B019
    def captured(self) -> tuple[Tensor, Tensor]:
        """Capture A and dy/dA (n, k, *grid) independently of heatproof."""
        return activations_and_gradients(*self.args)

    @cache  # noqa: B019
    def slow(self, name: str) -> Tensor:
        """Apply the reference loop to the independent capture: (n, *grid) float64."""
        pairs = zip(*(part.double().numpy() for part in self.captured()), strict=True)
        return torch.stack([torch.from_numpy(LOOPS[name].reference(a, g)) for a, g in pairs])


def off(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference of two maps relative to the largest expected value, over the batch."""
    assert found.shape == expected.shape
    scale = expected.flatten(1).abs().amax(1)
    assert (scale > 0).all(), "a blank map agrees with anything"
    return float(((found - expected).flatten(1).abs().amax(1) / scale).max())
