"""A network of affine maps and ReLUs as plain matrices, its backward pass written out without torch's autograd."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import nn


@dataclass(frozen=True)
class Chain:
    """y = W_L relu(... relu(W_1 x + b_1)) + b_L, all in float64.

    Attributes:
        layers: (W, b) of each affine map; b is the bias at every place.
        shapes: (c, *spatial) after each of them; the last, of the classifier, is (classes,).
    """

    layers: list[tuple[np.ndarray, np.ndarray]]
    shapes: list[tuple[int, ...]]

    @classmethod
    def of(cls, net: nn.Sequential, shape: tuple[int, ...]) -> "Chain":
        """Read the matrices off a network of convolutions, norms with statistics, ReLUs and a linear layer."""
        layers, shapes, stage = [], [], []
        for module in (*net, nn.ReLU()):
            if isinstance(module, nn.ReLU):
                weight, bias, out = matrix(stage, shape)
                layers.append((weight, bias))
                shapes.append(out)
                shape, stage = out, []
            else:
                stage.append(module)
        return cls(layers, shapes)

    def forward(self, x: np.ndarray) -> list[np.ndarray]:
        """Return z_l = W_l a_(l-1) + b_l of every layer."""
        found, a = [], x.ravel()
        for weight, bias in self.layers:
            z = weight @ a + bias
            found.append(z)
            a = np.where(z > 0, z, 0.0)
        return found

    def score(self, x: np.ndarray, j: int) -> float:
        """Return y_j."""
        return float(self.forward(x)[-1][j])

    def backward(self, x: np.ndarray, j: int, rule: str = "plain") -> list[np.ndarray]:
        """Return what reaches x, then every z_l, going back from y_j, by the rule of each ReLU."""
        zs = self.forward(x)
        r = np.zeros_like(zs[-1])
        r[j] = 1.0
        back = [r]
        for layer in range(len(self.layers) - 1, 0, -1):
            r = self.layers[layer][0].T @ r
            for i in range(len(r)):
                positive_input, positive_gradient = zs[layer - 1][i] > 0, r[i] > 0
                keep = {
                    "plain": positive_input,
                    "guided": positive_input and positive_gradient,
                    "deconvnet": positive_gradient,
                }[rule]
                if not keep:
                    r[i] = 0.0
            back.insert(0, r)
        back.insert(0, self.layers[0][0].T @ r)
        return back


def matrix(stage: list[nn.Module], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
    """Return the matrix and the bias of affine modules, found by giving them one unit vector after another."""

    def run(x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            for module in stage:
                x = module(x)
        return x

    places = int(np.prod(shape))
    zero = run(torch.zeros(1, *shape, dtype=torch.float64))
    columns = [
        (run(torch.eye(places, dtype=torch.float64)[i].view(1, *shape)) - zero).numpy().ravel() for i in range(places)
    ]
    return np.stack(columns, axis=1), zero.numpy().ravel(), tuple(zero.shape[1:])


def slope(chain: Chain, x: np.ndarray, j: int) -> np.ndarray:
    """Return dy_j/dx by central differences."""
    found, step = np.zeros_like(x), 1e-6
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        found[index] = (chain.score(up, j) - chain.score(down, j)) / (2 * step)
    return found
