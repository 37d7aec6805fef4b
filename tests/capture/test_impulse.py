"""Layouts that shapes do not tell, found by changing the corners of the input; what is no grid is not taken for one."""

import pytest
import torch
from torch import Tensor, nn

import heatproof as hp
from heatproof.capture import Engine
from heatproof.capture.batch import Batch
from heatproof.errors import LayerError
from heatproof.models.layers import candidates, named
from heatproof.models.layout import Layout


class Tokens(nn.Module):
    """Patches of 4, a token for each, learned tokens `before` and `behind` them; the mean of the grid's is read."""

    def __init__(self, before: int = 0, behind: int = 0, *, axes: int = 2, windows: bool = False):
        super().__init__()
        conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[axes - 1]
        self.embed = conv(1, 12, 4, stride=4)
        self.before = nn.Parameter(torch.randn(1, before, 12))
        self.behind = nn.Parameter(torch.randn(1, behind, 12))
        self.block = nn.Linear(12, 12)
        self.head = nn.Linear(12, 5)
        self.windows = windows

    def forward(self, x: Tensor) -> Tensor:
        grid = self.embed(x)
        n, k, *sides = grid.shape
        if self.windows:  # 2 x 2 windows, the tokens of each together
            h, w = sides
            tokens = grid.reshape(n, k, h // 2, 2, w // 2, 2).permute(0, 2, 4, 3, 5, 1).reshape(n, h * w, k)
        else:
            tokens = grid.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.before.expand(n, -1, -1), tokens, self.behind.expand(n, -1, -1)], 1)
        tokens = self.block(tokens)
        count = self.before.shape[1]
        return self.head(tokens[:, count : tokens.shape[1] - self.behind.shape[1]].mean(1))


def layout(net: nn.Module, x: Tensor, layer: str) -> Layout:
    engine = Engine(net)
    return named(engine.trace(Batch.of(x, net)), net, layer).layout


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


@pytest.mark.parametrize(("before", "behind"), [(0, 0), (1, 0), (5, 0), (0, 3), (1, 3), (1, 30)])
def test_tokens_before_and_behind_the_grid(before, behind):
    net, x = Tokens(before, behind), torch.rand(1, 1, 12, 20)
    assert layout(net, x, "block") == Layout("tokens", (3, 5), before)
    ex = hp.explain(net, x, 2)
    tokens = net.embed(x).flatten(2)
    # The head is linear: the map is the mean's gradient times what the block made of each token.
    made = net.block(tokens.transpose(1, 2))
    expected = (net.head.weight[2] * made).sum(-1).reshape(1, 1, 3, 5) / 15
    torch.testing.assert_close(ex.maps, expected.detach())
    assert ex.layer == "block"


class FlatPatches(nn.Module):
    """A video transformer: patches of 2 x 6 x 6 with tokens before and behind them, mixed by attention."""

    def __init__(self, before: int, behind: int):
        super().__init__()
        self.embed = nn.Conv3d(1, 16, (2, 6, 6), (2, 6, 6))
        self.before, self.behind = (nn.Parameter(torch.randn(1, count, 16)) for count in (before, behind))
        self.blocks = nn.Sequential(
            *(nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True) for _ in range(2))
        )
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.embed(x).flatten(2).mT
        tokens = torch.cat([self.before.expand(len(x), -1, -1), tokens, self.behind.expand(len(x), -1, -1)], 1)
        return self.head(self.blocks(tokens).mean(1))


@pytest.mark.parametrize(("before", "behind"), [(1, 4), (0, 3), (5, 2), (2, 0)])
def test_patches_that_are_no_cubes(before, behind):
    x = torch.rand(1, 1, 8, 18, 30)
    ex = hp.explain(FlatPatches(before, behind), x)
    assert ex.layer == "blocks"
    assert layout(FlatPatches(before, behind), x, "blocks.0") == Layout("tokens", (4, 3, 5), before)


def test_a_volume_and_a_signal_of_tokens():
    assert layout(Tokens(1, 2, axes=3), torch.rand(1, 1, 8, 12, 16), "block") == Layout("tokens", (2, 3, 4), 1)
    assert layout(Tokens(axes=1), torch.rand(1, 1, 48), "block") == Layout("channels_last", (12,))
    assert layout(Tokens(2, axes=1), torch.rand(1, 1, 48), "block") == Layout("tokens", (12,), 2)


def test_tokens_in_windows_are_not_taken_for_the_grid():
    net, x = Tokens(windows=True), torch.rand(1, 1, 16, 16)
    assert hp.explain(net, x, 2).layer == "embed"
    with pytest.raises(LayerError, match=r"'block' returns \(1, 16, 12\).*no grid.*layers that do: embed"):
        hp.explain(net, x, 2, layer="block")


@pytest.mark.parametrize("last", [False, True])
def test_as_many_channels_as_positions_a_side(last):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Conv2d(1, 4, 4, stride=4)
            self.mix = nn.Linear(4, 4)
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            grid = self.embed(x)
            if last:
                return self.head(self.mix(grid.permute(0, 2, 3, 1)).mean((1, 2)))
            return self.head(self.mix(grid.transpose(1, 3)).transpose(1, 3).mean((2, 3)))

    kind = (
        layout(Net(), torch.rand(1, 1, 16, 16), "mix").kind
        if last
        else layout(Net(), torch.rand(1, 1, 16, 16), "embed").kind
    )
    assert kind == ("channels_last" if last else "channels_first")


def test_a_residual_scale_that_was_initialized_to_zero_does_not_make_deaf():
    class Scaled(Tokens):
        def __init__(self):
            super().__init__(0, 3)
            self.scale = nn.Parameter(torch.zeros(12, 12))

        def forward(self, x):
            grid = self.embed(x).flatten(2).transpose(1, 2)
            tokens = torch.cat([grid @ self.scale, self.behind.expand(len(x), -1, -1)], 1)
            return self.head(self.block(tokens)[:, :15].mean(1))

    assert layout(Scaled(), torch.rand(1, 1, 12, 20), "block") == Layout("tokens", (3, 5), 0)


def test_plain_convolutional_networks_are_run_once_and_token_networks_once_for_each_corner_more():
    assert runs(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))) == 1
    assert runs(Tokens(1)) == 1 + 1 + 4  # traced, run plain, and with each corner changed


def runs(net: nn.Module) -> int:
    counted = []
    run = Batch.run
    engine, batch = Engine(net), Batch.of(torch.rand(1, 1, 12, 20), net)

    def counting(self, view):
        counted.append(view)
        return run(self, view)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batch, "run", counting)
        engine.trace(batch)
        engine.trace(batch)
    return len(counted)


def test_the_input_is_not_written_to_and_a_constant_one_is_enough():
    x = torch.zeros(1, 1, 12, 20)
    assert layout(Tokens(2), x, "block") == Layout("tokens", (3, 5), 2)
    assert not x.any()


def test_half_precision():
    net, x = Tokens(1, 2).bfloat16(), torch.rand(1, 1, 12, 20)
    assert layout(net, x, "block") == Layout("tokens", (3, 5), 1)


def test_a_sequence_beside_the_grid_is_no_candidate():
    class Queries(Tokens):
        def __init__(self):
            super().__init__(1)
            self.queries = nn.Parameter(torch.randn(1, 20, 12))
            self.read = nn.MultiheadAttention(12, 2, batch_first=True)
            self.decode = nn.Linear(12, 5)

        def forward(self, x):
            tokens = self.block(torch.cat([self.before, self.embed(x).flatten(2).transpose(1, 2)], 1))
            queries = self.queries
            return self.decode(self.read(queries, tokens, tokens)[0]).mean(1)

    net, x = Queries(), torch.rand(1, 1, 12, 20)
    found = {layer.title: layer.layout for layer in candidates(Engine(net).trace(Batch.of(x, net)))}
    assert found == {"block": Layout("tokens", (3, 5), 1), "embed": Layout("channels_first", (3, 5))}
