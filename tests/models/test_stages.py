"""Stages: every parameter once, in the order of the run; cascades over them."""

import torch
from torch import Tensor, nn

from heatproof.models.stages import stages, steps


def covered(net: nn.Module, parts: list[tuple[str, ...]]) -> list[int]:
    """Return how many stages hold each parameter."""
    names = [name for part in parts for name in part]
    return [sum(f"{key}.".startswith(f"{name}.") for name in names) for key, _ in net.named_parameters()]


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(8, 2)  # defined first, run last
        self.blocks = nn.Sequential(*(nn.Sequential(nn.LayerNorm(8), nn.Linear(8, 8)) for _ in range(3)))
        self.norm = nn.LayerNorm(8)
        self.drop = nn.Dropout()
        self.patch = nn.Conv2d(3, 8, 4, stride=4)
        self.token = nn.Parameter(torch.zeros(1, 1, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(self.drop(torch.cat([self.token.expand(len(x), 1, 8), x], 1))))[:, 0])


ORDER = ["patch", "drop", "blocks.0.0", "blocks.0.1", "blocks.0", "blocks.1", "blocks.2", "blocks", "norm", "head", ""]


def test_stages_follow_the_run_and_norms_follow_what_they_scale() -> None:
    net = Transformer()
    found = stages(net, ORDER)
    assert found == [("token",), ("patch",), ("blocks", "norm"), ("head",)]
    assert set(covered(net, found)) == {1}


def test_every_layer_is_a_stage_of_its_own() -> None:
    net = Transformer()
    found = stages(net, ORDER, every_layer=True)
    assert set(covered(net, found)) == {1}
    assert all(len(part) == 1 for part in found)
    assert ("blocks.1.0",) in found
    assert ("norm",) in found
    assert not any(any(True for _ in net.get_submodule(n).children()) for (n,) in found if "token" not in n)


def test_few_stages_are_taken_apart() -> None:
    net = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 9, 3), nn.Conv2d(9, 9, 3), nn.ReLU()), nn.Sequential(nn.Linear(9, 2))
    )
    assert stages(net) == [("0.0",), ("0.1",), ("1.0",)]
    assert stages(nn.Sequential(nn.ReLU())) == []
    assert stages(nn.Linear(2, 2)) == [("weight",), ("bias",)]


def test_cascades() -> None:
    parts = [("a", "b"), ("c",), ("d",)]
    assert steps("top-down", parts) == [(("d",), ("d",)), (("c", "d"), ("c", "d")), (None, None)]
    assert steps("bottom-up", parts) == [(("a", "b"), None), (("a", "b", "c"), None), (None, None)]
    assert steps("independent", parts) == [
        (("a", "b"), ("a", "b", "c", "d")), (("c",), ("c", "d")), (("d",), ("d",))
    ]  # fmt: skip
