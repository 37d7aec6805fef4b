"""The peers' raw maps: on the layer's grid, before the min-max scaling and resizing that two of them do."""

import numpy as np
import pytorch_grad_cam
import torch
import torchcam.methods
from captum.attr import LayerGradCam, LayerGradientXActivation
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor, nn

GRAD_CAM = {
    "gradcam": pytorch_grad_cam.GradCAM,
    "gradcam_plusplus": pytorch_grad_cam.GradCAMPlusPlus,
    "hirescam": pytorch_grad_cam.HiResCAM,
    "layercam": pytorch_grad_cam.LayerCAM,
    "xgradcam": pytorch_grad_cam.XGradCAM,
}
TORCHCAM = {"gradcam": torchcam.methods.GradCAM, "gradcam_plusplus": torchcam.methods.GradCAMpp}


def grad_cam(name: str, net: nn.Module, layer: str, x: Tensor, classes: list[int]) -> Tensor:
    """Call grad-cam as its users do, and keep what its `get_cam_image` returned on the way: signed (n, *grid)."""
    raw: list[np.ndarray] = []
    with GRAD_CAM[name](net, [net.get_submodule(layer)]) as method:
        inner = method.get_cam_image

        def recording(*args, **kwargs) -> np.ndarray:
            raw.append(np.array(inner(*args, **kwargs)))
            return raw[-1].copy()

        method.get_cam_image = recording
        method(x, targets=[ClassifierOutputTarget(index) for index in classes])
    net.zero_grad()
    return torch.from_numpy(raw[0])


def grad_cam_formula(name: str, activations: Tensor, gradients: Tensor, unit: float) -> Tensor:
    """Apply grad-cam's formula alone, with the activations measured in another unit.

    The papers' formulas do not depend on the unit: dividing A by it multiplies dy/dA. An epsilon added to either does.
    """
    net = nn.Sequential(nn.Identity(), nn.Linear(1, 1))  # its constructor wants a network; the formula ignores it
    with GRAD_CAM[name](net, [net[0]]) as method:
        a, g = (activations.double() / unit).numpy(), (gradients.double() * unit).numpy()
        return torch.from_numpy(method.get_cam_image(None, None, None, a, g, False))


def captum(name: str, net: nn.Module, layer: str, x: Tensor, classes: list[int]) -> Tensor:
    """Call captum: its Grad-CAM, or gradient times activation summed over channels, which is HiResCAM: (n, *grid)."""
    module, target = net.get_submodule(layer), torch.tensor(classes)
    if name == "gradcam":
        return LayerGradCam(net, module).attribute(x, target=target).detach().squeeze(1)
    assert name == "hirescam"
    return LayerGradientXActivation(net, module).attribute(x, target=target).detach().sum(1)


def torchcam_rectified(name: str, net: nn.Module, layer: str, x: Tensor, classes: list[int]) -> Tensor:
    """Call torchcam without its normalization; it applies the ReLU all the same: (n, *grid)."""
    with TORCHCAM[name](net, layer) as method:
        return method(classes, net(x), normalized=False)[0]


def activations_and_gradients(net: nn.Module, layer: str, x: Tensor, classes: list[int]) -> tuple[Tensor, Tensor]:
    """Capture A and dy/dA (n, k, *grid) with nothing but autograd, safe from whatever later writes in place."""
    kept: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        kept.append(output)
        return output.clone()

    handle = net.get_submodule(layer).register_forward_hook(keep)
    try:
        with torch.enable_grad():
            scores = net(x)
            total = scores.gather(1, torch.tensor(classes).unsqueeze(1)).sum()
            (gradients,) = torch.autograd.grad(total, kept)
    finally:
        handle.remove()
    return kept[0].detach(), gradients
