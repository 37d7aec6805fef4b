"""Ten convolutional networks with seeded random weights, small inputs for them, and the layer to explain."""

from dataclasses import dataclass

import timm
import torch
import torchvision
from torch import Tensor, nn


@dataclass(frozen=True)
class Case:
    """A network, the layer to explain, and the side of its input."""

    source: str
    name: str
    layer: str
    side: int = 96
    options: tuple[tuple[str, object], ...] = ()

    def build(self) -> nn.Module:
        """Return the network in eval mode; the weights depend on the seed alone, batch norm statistics are fresh."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            make = torchvision.models.get_model if self.source == "torchvision" else timm.create_model
            return make(self.name, **dict(self.options)).eval()

    def inputs(self) -> Tensor:
        """Return two inputs of noise."""
        return torch.randn(2, 3, self.side, self.side, generator=torch.Generator().manual_seed(1))


CASES = (
    Case("torchvision", "resnet18", "layer4"),
    Case("torchvision", "vgg11", "features", options=(("init_weights", False),)),
    Case("torchvision", "mobilenet_v3_small", "features"),
    Case("torchvision", "densenet121", "features"),
    Case("torchvision", "squeezenet1_1", "features"),
    Case("torchvision", "shufflenet_v2_x0_5", "conv5"),
    Case("torchvision", "efficientnet_b0", "features"),
    Case("torchvision", "regnet_y_400mf", "trunk_output"),
    Case("timm", "resnet10t", "layer4"),
    Case("timm", "convnext_atto", "stages"),
)
