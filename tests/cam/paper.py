"""A network small enough to do on paper, for goldens."""

import torch
from tests.contract.captures import Toy
from torch import nn

# x = [1 2; 3 0], through a 1x1 convolution and a ReLU, gives A^1 = relu(x) = [1 2; 3 0]
# and A^2 = relu(2 - x) = [1 0; 0 2]
PICTURE = torch.tensor([[[[1.0, 2.0], [3.0, 0.0]]]])
# dense head: y = <g^1, A^1> + <g^2, A^2> + 10 with g^1 = [1 0; -1 2], g^2 = [0.5 1; -1 0.5], so y = -2 + 1.5 + 10
DENSE = torch.tensor([[1.0, 0.0, -1.0, 2.0, 0.5, 1.0, -1.0, 0.5]])
# pooled head: y = 3 mean(A^1) - 2 mean(A^2) + 5 = 4.5 - 1.5 + 5
POOLED = torch.tensor([[3.0, -2.0]])


def network(head: str) -> Toy:
    """Return the network with the "dense" or the "pooled" head."""
    trunk = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU())
    linear = nn.Linear(8, 1) if head == "dense" else nn.Linear(2, 1)
    with torch.no_grad():
        trunk[0].weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        trunk[0].bias.copy_(torch.tensor([0.0, 2.0]))
        linear.weight.copy_(DENSE if head == "dense" else POOLED)
        linear.bias.fill_(10.0 if head == "dense" else 5.0)
    pool = [] if head == "dense" else [nn.AdaptiveAvgPool2d(1)]
    return Toy(trunk, nn.Sequential(*pool, nn.Flatten(), linear), PICTURE, torch.tensor([[0]]))
