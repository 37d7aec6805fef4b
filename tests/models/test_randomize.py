"""Randomized twins: nothing learned remains, the draw follows He et al., the network is not touched."""

import math

import pytest
import torch
from tests.odd_models import IMAGE_NETS, PlainListOfModules, Small, TiedWeights, everything, make, pictures
from torch import Tensor, nn
from torchvision.ops import FrozenBatchNorm2d

from heatproof.models.randomize import changed_modules, randomized
from heatproof.models.stages import stages
from heatproof.models.view import make_view


@pytest.mark.parametrize("name", [n for n in IMAGE_NETS if n != "patched by global"])
def test_nothing_learned_remains_and_the_network_is_not_touched(name: str) -> None:
    net = make(name)
    before = everything(net)
    twin = randomized(net, 0, recalibrate=lambda m: m(pictures()))
    assert everything(net) == before
    view = make_view(net)  # a compiled submodule stands under other names on the network itself
    theirs, mine = dict(view.named_parameters()), dict(twin.named_parameters())
    assert mine.keys() == theirs.keys()
    for key, parameter in mine.items():
        assert parameter.data_ptr() != theirs[key].data_ptr()
        if parameter.ndim > 1:
            assert not torch.equal(parameter, theirs[key])
            assert float(parameter.detach().std()) > 0
    assert not any(m.training for m in twin.modules())


def test_the_draw_follows_the_paper() -> None:
    net = nn.Sequential(nn.Conv2d(16, 64, 3), nn.BatchNorm2d(64), nn.Linear(300, 200), nn.LayerNorm(200))
    twin = randomized(net, 0)
    for layer, fan in ((twin[0], 16 * 9), (twin[2], 300)):
        weight = layer.weight.detach()
        n = weight.numel()
        assert float(weight.mean()) == pytest.approx(0, abs=4 * math.sqrt(2 / fan / n))
        assert float(weight.var()) == pytest.approx(2 / fan, rel=4 * math.sqrt(2 / n))
        assert not layer.bias.any()
    for norm in (twin[1], twin[3]):
        assert torch.equal(norm.weight, torch.ones_like(norm.weight))
        assert not norm.bias.any()


def test_seeds() -> None:
    net = Small()
    state = torch.get_rng_state()
    one, again, other = (randomized(net, seed).conv.weight for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), state)  # no global draw


def test_recalibration_takes_the_statistics_of_the_data_layer_after_layer() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, momentum=0.01), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5))
    x = pictures(6, 14)
    twin = randomized(net, 3, recalibrate=lambda m: m(x))
    with torch.no_grad():
        a = twin[0](x)
        torch.testing.assert_close(twin[1].running_mean, a.mean((0, 2, 3)))
        torch.testing.assert_close(twin[1].running_var, a.transpose(0, 1).flatten(1).var(1))
        variance = a.var((0, 2, 3), correction=0, keepdim=True)
        b = twin[2]((a - a.mean((0, 2, 3), keepdim=True)) / (variance + 1e-5).sqrt())
        torch.testing.assert_close(twin[3].running_mean, b.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    assert twin[1].momentum == 0.01
    plain = randomized(net, 3)
    assert torch.equal(plain[1].running_var, torch.ones(4))


def test_recalibration_on_one_value_a_channel_keeps_the_reset_statistics() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(4), nn.Linear(4, 2))
    twin = randomized(net, 0, recalibrate=lambda m: m(pictures(1)))
    assert torch.equal(twin[3].running_var, torch.ones(4))
    assert not twin[3].training
    assert not twin[3]._forward_pre_hooks


class ByKeyword(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), norm

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(input=self.conv(x))


def test_recalibration_of_a_normalization_that_is_called_by_keyword() -> None:
    x = pictures(6, 14)
    twin = randomized(ByKeyword(nn.BatchNorm2d(4)), 3, recalibrate=lambda m: m(x))
    with torch.no_grad():
        torch.testing.assert_close(twin.norm.running_mean, twin.conv(x).mean((0, 2, 3)))


def test_a_frozen_normalization_forgets_what_it_learned_and_takes_the_statistics_of_the_data() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), FrozenBatchNorm2d(4), nn.Conv2d(4, 5, 3), FrozenBatchNorm2d(5))
    for norm in (net[1], net[3]):
        for buffer in norm.buffers():
            buffer.uniform_(1, 2)
    before = {name: each.clone() for name, each in net.state_dict().items()}
    batches = (pictures(6, 14), pictures(3, 14) + 1)
    twin = randomized(net, 3, recalibrate=lambda m: [m(x) for x in batches])
    for at in (1, 3):
        assert torch.equal(twin[at].weight, torch.ones_like(twin[at].weight))
        assert not twin[at].bias.any()
    # what a normalization in training finds: the first batch counts twice, for it is twice as long
    again = nn.Sequential(twin[0], nn.BatchNorm2d(4, momentum=None), twin[2], nn.BatchNorm2d(5, momentum=None))
    with torch.no_grad():
        for x in (batches[0], *batches):
            again(x)
    for at in (1, 3):
        torch.testing.assert_close(twin[at].running_mean, again[at].running_mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(twin[at].running_var, again[at].running_var, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(each, before[name]) for name, each in net.state_dict().items())
    part = randomized(net, 3, only=["2"], statistics=["3"])
    assert torch.equal(part[3].weight, net[3].weight)
    assert torch.equal(part[3].running_var, torch.ones(5))
    assert torch.equal(part[1].running_var, net[1].running_var)
    assert "1" in changed_modules(net, ["1"], ())
    assert stages(net) == [("0", "1"), ("2", "3")]


def test_tied_weights_stay_tied_and_requires_grad_stays() -> None:
    twin = randomized(TiedWeights(), 0)
    assert twin.other.weight is twin.extra.weight
    assert not any(p.requires_grad for p in randomized(Small().requires_grad_(False), 0).parameters())


def test_modules_in_a_plain_list_are_randomized_too() -> None:
    net = PlainListOfModules()
    twin = randomized(net, 0)
    assert not torch.equal(twin.blocks[0].weight, net.blocks[0].weight)


def test_complex_and_raw_parameters_keep_their_spread() -> None:
    class Spectral(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.modes = nn.Parameter(torch.randn(40, 50, dtype=torch.cfloat) * 3)
            self.position = nn.Parameter(torch.randn(40, 50) * 0.1 + 5)
            self.zero = nn.Parameter(torch.zeros(4, 5))
            self.count = nn.Parameter(torch.tensor([3]), requires_grad=False)

    net = Spectral()
    twin = randomized(net, 0)
    assert twin.modes.dtype == torch.cfloat
    assert not torch.equal(twin.modes, net.modes)
    assert float(twin.modes.detach().std()) == pytest.approx(3, rel=0.1)
    assert float(twin.position.detach().std()) == pytest.approx(0.1, rel=0.1)
    assert float(twin.position.detach().mean()) == pytest.approx(5, abs=0.02)
    assert float(twin.zero.detach().std()) == pytest.approx(0.02, rel=0.5)
    assert torch.equal(twin.count, net.count)


class TinyViT(nn.Module):
    """What a vision transformer has beside layers: class token, positions, layer scale, attention in one matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = nn.Conv2d(3, 16, 4, stride=4)
        self.class_embedding = nn.Parameter(torch.randn(16))
        self.position_embedding = nn.Parameter(torch.randn(1, 17, 16) * 0.02)
        self.norm = nn.LayerNorm(16)
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True, add_bias_kv=True)
        self.cross = nn.MultiheadAttention(16, 2, batch_first=True, kdim=8, vdim=12)
        self.layer_scale = nn.Parameter(torch.full((16,), 1e-4))
        self.temperature = nn.Parameter(torch.tensor(2.0))
        self.plane = nn.LayerNorm([17, 16])
        self.slope = nn.PReLU(16)
        self.head = nn.Linear(16, 10)
        for parameter in (*self.norm.parameters(), *self.plane.parameters(), self.attention.in_proj_bias):
            nn.init.normal_(parameter, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patch(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, 16), x], 1) + self.position_embedding
        y = self.norm(x)
        x = x + self.layer_scale * self.slope(self.attention(y, y, y)[0].transpose(1, 2)).transpose(1, 2)
        return self.head(self.plane(x * self.temperature)[:, 0])


def test_every_parameter_of_a_vision_transformer_changes() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = TinyViT()
    one, two = (dict(randomized(net, seed).named_parameters()) for seed in (0, 1))
    for name, parameter in net.named_parameters():
        drawn = not name.endswith("bias") and name not in ("norm.weight", "plane.weight")
        assert torch.equal(one[name], two[name]) != drawn, name
        if drawn or len(parameter.unique()) > 1:  # a bias that is zero stays zero
            assert not torch.equal(one[name], parameter), name
    for name, fan in (("patch.weight", 48), ("attention.in_proj_weight", 16), ("cross.k_proj_weight", 8)):
        drawn = one[name].detach()
        assert float(drawn.square().mean()) == pytest.approx(2 / fan, rel=4 * math.sqrt(2 / drawn.numel())), name
    assert not one["attention.in_proj_bias"].any()
    assert one["attention.bias_k"].any()
    assert (one["plane.weight"] == 1).all()
    assert float(one["temperature"].detach()) == pytest.approx(2, abs=0.1)
    token = net.class_embedding.detach()
    assert float(one["class_embedding"].detach().std()) == pytest.approx(float(token.std()), rel=0.8)


def test_the_fan_of_a_transposed_convolution_is_what_meets_in_one_output() -> None:
    layer = nn.ConvTranspose2d(32, 64, 4, stride=2, groups=2, bias=False)
    twin = randomized(nn.Sequential(layer), 0)[0]
    weight = twin.weight.detach()
    fan = 32 / 2 * 4  # channels of a group, two by two of the four by four places
    assert float(weight.var()) == pytest.approx(2 / fan, rel=4 * math.sqrt(2 / weight.numel()))


def test_a_hook_that_only_watches_can_be_left_off() -> None:
    net, seen = Small(), []
    net.conv.register_forward_hook(lambda m, i, o: seen.append(1))
    net.fc = nn.utils.spectral_norm(net.fc)

    def run(m: nn.Module) -> Tensor:
        return m(pictures())

    randomized(net, 0, recalibrate=run, keep_hooks=False)
    assert seen == []
    randomized(net, 0, recalibrate=run)
    assert seen == [1]
