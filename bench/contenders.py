"""The contenders: each explains a batch with one network's Grad-CAM, the way its own documentation says to."""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor, nn

FORWARD, OURS, OURS_MANY = "forward", "heatproof", "heatproof, 10 targets"
GRAD_CAM, TORCHCAM = "grad-cam", "torchcam"
CAPTUM, CAPTUM_GIVEN = "captum, predicting", "captum, class given"
PEERS = (TORCHCAM, CAPTUM, CAPTUM_GIVEN, GRAD_CAM)
MANY = 10


@dataclass(frozen=True)
class Network:
    """A torchvision network and the layer that everybody explains."""

    name: str
    layer: str

    def build(self, device: str) -> nn.Module:
        """Return it with seeded random weights, in eval mode."""
        import torchvision

        with torch.random.fork_rng():
            torch.manual_seed(0)
            return torchvision.models.get_model(self.name, weights=None).eval().to(device)


NETWORKS = (
    Network("resnet50", "layer4"),
    Network("vgg16", "features"),
    Network("mobilenet_v3_large", "features"),
    Network("densenet121", "features"),
    Network("convnext_tiny", "features"),
)
SMALL = (Network("resnet18", "layer4"), Network("mobilenet_v3_small", "features"))  # for a quick look


def contenders(network: Network, net: nn.Module, x: Tensor) -> dict[str, Callable[[], Any]]:
    """Return one callable per contender; hooks of one never run for another, weights are shared by all."""
    return {
        FORWARD: forward(net, x),
        OURS: heatproof(network, net, x),
        OURS_MANY: heatproof(network, net, x, targets=[list(range(MANY))] * len(x)),
        TORCHCAM: torchcam(network, _twin(net), x),
        CAPTUM: captum(network, _twin(net), x, predict=True),
        CAPTUM_GIVEN: captum(network, _twin(net), x, predict=False),
        GRAD_CAM: grad_cam(network, _twin(net), x),
    }


def forward(net: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    """The yardstick: one forward that records nothing."""

    def run() -> Tensor:
        with torch.inference_mode():
            return net(x)

    return run


def heatproof(
    network: Network, net: nn.Module, x: Tensor, targets: list[list[int]] | None = None
) -> Callable[[], Tensor]:
    """heatproof, of the predicted class unless targets are given."""
    import heatproof as hp

    explainer = hp.Explainer(net, layer=network.layer, method="gradcam")
    return lambda: explainer(x, target=targets).maps


def torchcam(network: Network, net: nn.Module, x: Tensor) -> Callable[[], Tensor]:
    """torchcam, of the predicted class; it takes the scores that its user has computed."""
    from torchcam.methods import GradCAM

    extractor = GradCAM(net, network.layer)

    def run() -> Tensor:
        scores = net(x)
        return extractor(scores.argmax(1).tolist(), scores, normalized=False)[0]

    return run


def captum(network: Network, net: nn.Module, x: Tensor, *, predict: bool) -> Callable[[], Any]:
    """captum; it needs the class, so a user who wants the predicted one runs the network first."""
    from captum.attr import LayerGradCam

    method = LayerGradCam(net, net.get_submodule(network.layer))
    given = torch.zeros(len(x), dtype=torch.long, device=x.device)

    def run() -> Any:
        classes = given
        if predict:
            with torch.inference_mode():
                classes = net(x).argmax(1)
            classes = classes.clone()  # a normal tensor again: autograd refuses inference tensors
        return method.attribute(x, target=classes)

    return run


def grad_cam(network: Network, net: nn.Module, x: Tensor) -> Callable[[], Any]:
    """grad-cam, of the predicted class; its maps come back resized, scaled and on the CPU, as its users get them."""
    from pytorch_grad_cam import GradCAM

    method = GradCAM(net, [net.get_submodule(network.layer)])
    return lambda: method(x, targets=None)


def versions() -> dict[str, str]:
    """Return the versions of everything that takes part."""
    return {name: version(name) for name in ("heatproof", "torch", "torchvision", "grad-cam", "torchcam", "captum")}


def _twin(net: nn.Module) -> nn.Module:
    """Copy the modules and buffers of a network, but share its weights."""
    logging.getLogger("torchcam").setLevel(logging.ERROR)
    return copy.deepcopy(net, memo={id(weight): weight for weight in net.parameters()})
