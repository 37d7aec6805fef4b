"""pytorch-grad-cam's classes over this engine: `from heatproof.compat.pytorch_grad_cam import GradCAM`.

A class for every CAM method, under every name that the method answers to; methods added later come by themselves.
"""

from functools import cache
from typing import Any

from heatproof.cam import methods
from heatproof.compat._names import class_named
from heatproof.compat.pytorch_grad_cam.base_cam import BaseCAM
from heatproof.compat.pytorch_grad_cam.special import (
    KPCA_CAM,
    AblationCAM,
    EigenCAM,
    EigenGradCAM,
    FinerCAM,
    RefineCAM,
)
from heatproof.plugins import Plugin

__all__ = ["KPCA_CAM", "AblationCAM", "BaseCAM", "EigenCAM", "EigenGradCAM", "FinerCAM", "RefineCAM"]

_INSTEAD = {
    "AblationLayer": "AblationCAM changes the activations of any layer by itself; leave ablation_layer out.",
    "AblationLayerVit": "AblationCAM changes the activations of any layer by itself; leave ablation_layer out.",
    "AblationLayerFasterRCNN": "AblationCAM changes the activations of any layer by itself; leave ablation_layer out.",
    "ActivationsAndGradients": "a function from a heatproof.types.Capture, which has both, can be a method.",
    "DeepFeatureFactorization": "it explains no target; use EigenCAM for what stands out in a layer.",
    "FullGrad": "it is no map of a layer; it is one of the maps in heatproof.attribution.",
    "GuidedBackpropReLUModel": "guided backpropagation is one of the maps in heatproof.attribution.",
    "SESS": "average heatproof.explain over crops, or use aug_smooth=True.",
    "SegEigenCAM": "use EigenGradCAM, whose sign follows the evidence for the target.",
    "run_dff_on_image": "it explains no target; use EigenCAM for what stands out in a layer.",
}


@cache
def _make(name: str, method: str, title: str) -> type:
    return type(name, (BaseCAM,), {"method": method, "__doc__": f"{title} (`{method}`).", "__module__": __name__})


def __getattr__(name: str) -> Any:
    """Return the class of a method, under any name that the method answers to (PEP 562)."""

    def make(name: str, plugin: Plugin) -> type:
        return _make(name, plugin.name, plugin.title)

    return class_named(name, __name__, make, _INSTEAD)


def __dir__() -> list[str]:
    aliases = [alias for plugin in methods().values() for alias in plugin.aliases]
    return sorted({*__all__, *(alias for alias in aliases if alias.isidentifier())})
