"""What a simulator draws: inputs with axes, the true answers, and where in each input the answer lies."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from heatproof.models.nets.field import initialize
from heatproof.types import Axis, Input


@dataclass(frozen=True, eq=False)
class Drawn:
    """Simulated inputs whose answers are known.

    Attributes:
        data: (n, c, *spatial) in physical units.
        answers: (n,) the class, or the value of a regression.
        where: (n, *spatial) where in the input the answer lies.
        axes: of every input.
        channels: names.
    """

    data: Float[Tensor, "n c *spatial"]
    answers: Tensor
    where: Bool[Tensor, "n *spatial"]
    axes: tuple[Axis, ...]
    channels: tuple[str, ...]

    def inputs(self, name: str = "input") -> list[Input]:
        """Return the inputs with their axes."""
        return [Input(one, self.axes, self.channels, name=f"{name} {index}") for index, one in enumerate(self.data)]


@dataclass(frozen=True, eq=False)
class Recipe:
    """How a network of a system is learned.

    Attributes:
        build: makes the network.
        card: what its card says of the architecture: factory and arguments.
        learn: draws what it learns from, from a seed.
        epochs: passes over these.
        rate: highest learning rate.
        what: what it is, in words.
    """

    build: Callable[[], nn.Module]
    card: dict[str, Any]
    learn: Callable[[int], Drawn]
    epochs: int
    rate: float
    what: str


def fit(recipe: Recipe, *, seed: int = 0, learn_seed: int = 1, batch: int = 32) -> nn.Module:
    """Return a network learned from drawn inputs: classes by cross-entropy, values by their squared error.

    One seed and one thread give the same weights.

    Args:
        recipe: of the network.
        seed: of the weights and the order.
        learn_seed: of the inputs.
        batch: inputs in a step.
    """
    drawn = recipe.learn(learn_seed)
    generator = Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        net = initialize(recipe.build(), generator).train()
    steps = max(1, len(drawn.data) // batch)
    optimizer = torch.optim.AdamW(net.parameters(), lr=recipe.rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=recipe.epochs * steps)
    values = drawn.answers.is_floating_point()
    with torch.inference_mode(False), torch.enable_grad():
        for _ in range(recipe.epochs):
            for rows in torch.randperm(len(drawn.data), generator=generator)[: steps * batch].split(batch):
                found, answers = net(drawn.data[rows]), drawn.answers[rows]
                loss = F.mse_loss(found[:, 0], answers) if values else F.cross_entropy(found, answers)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return net.eval()


def score(net: nn.Module, drawn: Drawn) -> float:
    """Return the accuracy on classes, or the share of variance explained of values."""
    with torch.inference_mode():
        found = net(drawn.data)
    if not drawn.answers.is_floating_point():
        return float((found.argmax(1) == drawn.answers).float().mean())
    rest = (found[:, 0] - drawn.answers).square().mean()
    return float(1 - rest / drawn.answers.var(unbiased=False))


def stacked(rows: Sequence[Tensor]) -> Tensor:
    """Return rows as one float32 tensor."""
    return torch.stack(list(rows)).float()
