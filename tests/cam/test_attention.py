"""Attention methods on numbers done on paper, on real architectures, and on what they cannot explain."""

from dataclasses import replace

import pytest
import timm
import torch
import torchvision
from tests.cam.paper import network
from tests.contract.attention_toys import AttentionSource, attention_toy
from torch import Tensor, nn
from transformers import ViTConfig, ViTForImageClassification

import heatproof as hp
from heatproof.cam import methods
from heatproof.cam._attention import walk_back
from heatproof.errors import MethodError
from heatproof.types import Attention, Capture

ALL = ("attention", "attention_rollout", "legrad")


def by_hand(layers: list[tuple[list, list]], *, prefix: int, places: int) -> Capture:
    """Return a capture of one input and target with one head, from (weights, gradients) of each layer."""
    found = tuple(
        Attention(torch.tensor([[w]], dtype=torch.float64), torch.tensor([[[g]]], dtype=torch.float64), "hand")
        for w, g in layers
    )
    toy = attention_toy(n=1, t=1, dtype=torch.float64)
    return replace(
        toy.capture(),
        activations=torch.ones(1, 1, places, dtype=torch.float64),
        gradients=torch.ones(1, 1, 1, places, dtype=torch.float64),
        scores=torch.ones(1, 1, dtype=torch.float64),
        source=AttentionSource(toy, found, prefix),
    )


# A class token and one grid token. Layer 1: A = [.5 .5; .25 .75], dy/dA = [2 4; -4 8]: (dA * A)^+ = [1 2; 0 6].
# Layer 2: A = [.75 .25; .5 .5], dy/dA = [4 8; 0 0] (only the class token is read): (dA * A)^+ = [3 2; 0 0].
PAPER = [([[0.5, 0.5], [0.25, 0.75]], [[2, 4], [-4, 8]]), ([[0.75, 0.25], [0.5, 0.5]], [[4, 8], [0, 0]])]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # R = (I + [3 2; 0 0]) (I + [1 2; 0 6]) = [4 2; 0 1] [2 2; 0 7] = [8 22; 0 7]: class token's row, grid's column
        ("attention", 22.0),
        # R = [.875 .125; .25 .75] [.75 .25; .125 .875] = [.671875 .328125; ...]
        ("attention_rollout", 0.328125),
        # column of the grid token: layer 1 (4 + 8) / 2 = 6, layer 2 (8 + 0) / 2 = 4
        ("legrad", 5.0),
    ],
)
def test_two_tokens_on_paper(name, expected):
    capture = by_hand(PAPER, prefix=1, places=1)
    torch.testing.assert_close(methods()[name].function(capture), torch.tensor([[[expected]]], dtype=torch.float64))


def test_a_mean_of_all_tokens_reads_all_rows_less_the_identity():
    # both tokens lie on the grid and are read: A_bar = [1 2; 0 6] from layer 1 alone, the mean of whose rows is [.5 4]
    maps = methods()["attention"].function(by_hand(PAPER[:1], prefix=0, places=2))
    torch.testing.assert_close(maps, torch.tensor([[[0.5, 4.0]]], dtype=torch.float64))


def test_attention_pooling_brings_no_identity():
    # a learned query with A = [.25 .75], dy/dA = [4 4]: A_bar = [1 3], times R = I + [1 2; 0 6] = [2 2; 0 7] is [2 23]
    capture = by_hand([PAPER[0], ([[0.25, 0.75]], [[4, 4]])], prefix=0, places=2)
    maps = methods()["attention"].function(capture)
    torch.testing.assert_close(maps, torch.tensor([[[2.0, 23.0]]], dtype=torch.float64))
    # rollout: [.25 .75] [.75 .25; .125 .875]
    rolled = methods()["attention_rollout"].function(capture)
    torch.testing.assert_close(rolled, torch.tensor([[[0.28125, 0.71875]]], dtype=torch.float64))


def test_a_class_token_that_joins_late_keeps_what_it_read_before():
    # grid of two tokens mixed by M1; then a class token asks twice: e_0 (I + c2) (I + c1) with the others unchanged
    mix = torch.tensor([[[[1.0, 2.0], [0.0, 6.0]]]])
    first, second = torch.tensor([[[[0.5, 1.0, 2.0]]]]), torch.tensor([[[[3.0, 1.0, 0.0]]]])
    full = torch.eye(3) + torch.cat([second[0, 0], torch.zeros(2, 3)])
    full = full @ (torch.eye(3) + torch.cat([first[0, 0], torch.zeros(2, 3)]))
    expected = full[0, 1:] @ (torch.eye(2) + mix[0, 0])
    layers = [("mix", mix), ("first", first), ("second", second)]
    own, gained = walk_back(layers, torch.ones(1, 1, 1), residual=1.0, attended=1.0)
    torch.testing.assert_close(gained[0, 0], expected)
    assert not own.any()


def test_rollout_shares_one_among_all_tokens():
    capture = attention_toy(dtype=torch.float64).capture()  # pooled, without a class token: the grid gets all of it
    maps = methods()["attention_rollout"].function(capture)
    torch.testing.assert_close(maps.sum((2, 3)), torch.ones(3, 2, dtype=torch.float64))


def test_variant_is_the_plug_in():
    capture = attention_toy().capture()
    rollout = methods()["attention"].function(capture, variant="rollout")
    assert torch.equal(rollout, methods()["attention_rollout"].function(capture))
    assert not torch.allclose(rollout, methods()["attention"].function(capture))


class Planted(nn.Module):
    """Two heads over 16 patches: the class token attends to the patch whose brightness says so, and reads its value."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(1, 2, 4, stride=4, bias=False)
        self.norm = nn.Identity()
        self.head = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.patches.weight.copy_(torch.tensor([1 / 16, -1 / 16]).view(2, 1, 1, 1).expand(2, 1, 4, 4))
            self.head.weight.copy_(torch.tensor([[1.0, -1.0], [-1.0, 1.0]]))

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.norm(self.patches(x).flatten(2).mT)
        tokens = torch.cat([torch.zeros_like(tokens[:, :1]), tokens], 1)
        query = torch.tensor([4.0, 0.0]).expand_as(tokens)
        read = nn.functional.scaled_dot_product_attention(query[:, None], tokens[:, None], tokens[:, None])
        return self.head(tokens[:, 0] + read[:, 0, 0])


@pytest.mark.parametrize("name", ALL)
def test_a_planted_patch_is_found(name):
    x = torch.zeros(1, 1, 16, 16)
    x[..., 8:12, 4:8] = 1
    maps = hp.explain(Planted(), x, target=0, method=name, layer="patches").maps[0, 0]
    assert maps.shape == (4, 4)
    assert maps.argmax() == 2 * 4 + 1


def vit(**settings) -> nn.Module:
    settings = {"img_size": 32, "patch_size": 8, "embed_dim": 12, "num_heads": 2, "depth": 2} | settings
    return timm.models.vision_transformer.VisionTransformer(num_classes=4, **settings)


def distilled() -> nn.Module:
    return timm.models.deit.VisionTransformerDistilled(
        img_size=32, patch_size=8, embed_dim=12, num_heads=2, depth=2, num_classes=4
    )


def hf(attention: str) -> nn.Module:
    config = ViTConfig(
        hidden_size=12, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8,
        num_labels=4, attn_implementation=attention,
    )  # fmt: skip
    return ViTForImageClassification(config)


def cait() -> nn.Module:
    return timm.models.cait.Cait(img_size=32, patch_size=8, embed_dim=12, num_heads=2, depth=2, num_classes=4)


NETS = {
    "torchvision": lambda: torchvision.models.VisionTransformer(32, 8, 2, 2, 12, 16, num_classes=4),
    "class token": vit,
    "registers": lambda: vit(reg_tokens=4),
    "mean pooled": lambda: vit(class_token=False, global_pool="avg"),
    "attention pooled": lambda: vit(class_token=False, global_pool="map"),
    "distilled": distilled,
    "late class token": cait,
    "sdpa": lambda: hf("sdpa"),
    "eager": lambda: hf("eager"),
}


def drawn(net: nn.Module) -> nn.Module:
    """Draw all weights anew: heads and residual scales that begin at zero make a network deaf."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return net.double().eval()


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("name", NETS)
def test_networks(name, method):
    net = drawn(NETS[name]())
    x = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = hp.explain(net, x, [[0, 1], [2, 3]], method=method)
    assert found.maps.shape == (2, 2, 4, 4)
    assert (found.maps >= 0).all()
    informative = found.maps.flatten(2).std(-1) > 0
    # where every attention of the only query speaks against the target, nothing is left of it
    assert informative.sum() >= (3 if (name, method) == ("attention pooled", "attention") else 4)
    singles = torch.cat([hp.explain(net, x[i : i + 1], [[2 * i, 2 * i + 1]], method=method).maps for i in range(2)])
    torch.testing.assert_close(found.maps, singles)
    if method == "attention_rollout":
        torch.testing.assert_close(found.maps[:, 0], found.maps[:, 1])
    else:
        assert not torch.allclose(found.maps[:, 0], found.maps[:, 1])


def test_windows_cannot_be_rolled_out():
    net = timm.models.swin_transformer.SwinTransformer(img_size=56, embed_dim=12, depths=(1, 1), num_heads=(2, 2))
    with pytest.raises(MethodError, match=r"'layers.0.*attends within windows or groups: .* use gradcam, layercam"):
        hp.explain(net, torch.rand(1, 3, 56, 56), method="attention")


@pytest.mark.parametrize("name", ALL)
def test_a_network_without_attention(name):
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))
    with pytest.raises(MethodError, match=r"Sequential computes no attention weights .* such as gradcam"):
        hp.explain(net, torch.rand(1, 3, 8, 8), method=name)


@pytest.mark.parametrize("name", ALL)
def test_a_capture_made_by_hand(name):
    capture = replace(network("pooled").capture(), source=None)
    with pytest.raises(MethodError, match=r"made without its source; use heatproof\.explain"):
        methods()[name].function(capture)


def test_an_unknown_variant():
    with pytest.raises(MethodError, match="variant is 'mean'; choose 'gradient' or 'rollout'"):
        methods()["attention"].function(attention_toy().capture(), variant="mean")


def test_a_layer_on_another_grid():
    x = torch.rand(1, 3, 32, 32)
    net = nn.Sequential(nn.Conv2d(3, 3, 1), vit())
    with pytest.raises(MethodError, match=r"attends among 17 tokens, but layer '0' has a grid of 32 x 32; choose"):
        hp.explain(net, x, layer="0", method="attention")


def test_tokens_that_are_merged_cannot_be_followed():
    # 16 tokens, then 9 of them: which went where is not known
    def layer(tokens: int) -> tuple[str, Tensor]:
        return f"layer{tokens}", torch.ones(1, 1, tokens, tokens)

    with pytest.raises(MethodError, match="'layer16' attends from 16 to 16 tokens where 9 are attended to later"):
        walk_back([layer(16), layer(9)], torch.ones(1, 1, 9), residual=1.0, attended=1.0)


class Detector(nn.Module):
    """Image tokens through an encoder; as many queries as asked for attend to one another and to them, as in DETR."""

    def __init__(self, queries: int):
        super().__init__()
        self.embed = nn.Conv2d(3, 16, 8, 8)
        self.encoder = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.queries = nn.Parameter(torch.randn(1, queries, 16))
        self.decoder = nn.TransformerDecoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        memory = self.encoder(self.embed(x).flatten(2).mT)
        return {"boxes": self.head(self.decoder(self.queries.expand(len(x), -1, -1), memory))}


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("queries", [24, 26, 7])
@pytest.mark.parametrize("frozen", [False, True])
def test_the_queries_of_a_decoder_are_not_taken_for_the_grid(method, queries, frozen):
    """Also where there are as many of them as places, or a few more."""
    torch.manual_seed(0)
    net, x = Detector(queries).requires_grad_(not frozen), torch.rand(1, 3, 32, 48)
    with pytest.raises(MethodError, match=r"attends among other tokens than those that 'encoder\.self_attn' made"):
        hp.explain(net, x, lambda out: out["boxes"][3, 1], method, layer="encoder")


def test_attention_is_captured_once_for_all_methods(monkeypatch):
    from heatproof.capture import source

    calls = []
    original = source.attention_layers
    monkeypatch.setattr(source, "attention_layers", lambda *args: calls.append(args) or original(*args))
    torch.manual_seed(0)
    net = torchvision.models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=3)
    torch.nn.init.normal_(net.heads.head.weight)
    found = hp.explain(net, torch.rand(1, 3, 32, 32), 1, method=list(ALL))
    assert (list(found), len(calls)) == (list(ALL), 1)
    torch.testing.assert_close(
        found["legrad"].maps, hp.explain(net, found["legrad"].inputs[0].data[None], 1, "legrad").maps
    )
