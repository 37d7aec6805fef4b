"""Attention weights and their gradients, against what networks and torch say about themselves."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import timm
import torch
import torch.nn.functional as F
from tests.odd_models import everything
from torch import Tensor, nn
from transformers import ViTConfig, ViTForImageClassification

from heatproof.capture import Batch, Engine
from heatproof.capture.attention import attention_layers
from heatproof.capture.softmax import Softmax
from heatproof.errors import ExplainError, MethodError
from heatproof.types import Attention, Target

TARGETS = ((Target("0", 0), Target("2", 2)), (Target("1", 1), Target("2", 2)))


def seen(net: nn.Module, x: Tensor) -> tuple[Attention, ...]:
    return attention_layers(Engine(net), Batch.of(x, net), TARGETS)


class Attends(nn.Module):
    """Patches, a class token, and two blocks of whatever attention is given: `attend(block, tokens) -> tokens`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(1, 8, 2, stride=2)
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.blocks = nn.ModuleList(self.block() for _ in range(2))
        self.head = nn.Linear(8, 3)
        self.double().eval()

    def block(self) -> nn.Module:
        return nn.Linear(8, 24)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).mT
        tokens = torch.cat([self.token.expand(len(x), -1, -1), tokens], 1)
        for block in self.blocks:
            tokens = tokens + self.attend(block, tokens)
        return self.head(tokens[:, 0])

    def qkv(self, block: nn.Module, tokens: Tensor) -> tuple[Tensor, ...]:
        return block(tokens).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4).unbind(0)

    def attend(self, block: nn.Module, tokens: Tensor) -> Tensor:
        q, k, v = self.qkv(block, tokens)
        return self.merge(F.scaled_dot_product_attention(q, k, v))

    def merge(self, heads: Tensor) -> Tensor:
        return heads.transpose(1, 2).flatten(2)


class Function(Attends):
    def attend(self, block, tokens):
        q, k, v = self.qkv(block, tokens)
        return self.merge(F.softmax(q @ k.mT / 2, dim=-1) @ v)


class Method(Attends):
    def attend(self, block, tokens):
        q, k, v = self.qkv(block, tokens)
        weights = F.dropout((q @ k.mT / 2).softmax(3), 0.5, training=self.training)
        return self.merge(torch.einsum("nhqs,nhsd->nhqd", weights, v))


class Flat(Attends):
    """Heads in the batch axis, as older code has them."""

    def attend(self, block, tokens):
        q, k, v = (t.flatten(0, 1) for t in self.qkv(block, tokens))
        weights = torch.softmax(torch.bmm(q, k.mT) / 2, -1)
        return self.merge(torch.bmm(weights, v).unflatten(0, (-1, 2)))


class Transposed(Attends):
    """Values before weights."""

    def attend(self, block, tokens):
        q, k, v = self.qkv(block, tokens)
        weights = (q @ k.mT / 2).softmax(-1)
        return self.merge((v.mT @ weights.transpose(-2, -1)).mT)


class Layers(Attends):
    """nn.MultiheadAttention, without its last projection."""

    def block(self):
        layer = nn.MultiheadAttention(8, 2, batch_first=True)
        nn.init.eye_(layer.out_proj.weight)
        return layer

    def qkv(self, block, tokens):
        projected = F.linear(tokens, block.in_proj_weight, block.in_proj_bias)
        return projected.unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4).unbind(0)

    def attend(self, block, tokens):
        return block(tokens, tokens, tokens, need_weights=False)[0]


class LayersWithWeights(Layers):
    def attend(self, block, tokens):
        return block(tokens, tokens, tokens)[0]


WAYS = (Attends, Function, Method, Flat, Transposed, Layers, LayersWithWeights)


def pictures(n: int = 2, seed: int = 0) -> Tensor:
    return torch.randn(n, 1, 6, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def by_hand(net: Attends, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return weights and gradients by differences: every weight of every layer moved a little, one by one."""

    def run(layer: int, change: Tensor | float) -> tuple[Tensor, list[Tensor]]:
        found = []
        tokens = net.patches(x).flatten(2).mT
        tokens = torch.cat([net.token.expand(len(x), -1, -1), tokens], 1)
        for i, block in enumerate(net.blocks):
            q, k, v = net.qkv(block, tokens)
            weights = (q @ k.mT / 2).softmax(-1)
            found.append(weights)
            tokens = tokens + net.merge((weights + (change if i == layer else 0)) @ v)
        scores = net.head(tokens[:, 0])
        return torch.stack([scores[i, [t.index for t in row]] for i, row in enumerate(TARGETS)]), found

    with torch.no_grad():
        found = []
        for layer in range(2):
            weights = run(layer, 0.0)[1][layer]
            grads = torch.zeros(2, 2, *weights.shape[1:], dtype=torch.float64)
            for place in torch.cartesian_prod(*(torch.arange(side) for side in weights.shape[1:])).tolist():
                step = torch.zeros_like(weights)
                step[:, *place] = 1e-5
                grads[:, :, *place] = (run(layer, step)[0] - run(layer, -step)[0]) / 2e-5
            found.append((weights, grads))
    return found


@pytest.mark.parametrize("way", WAYS)
def test_weights_and_gradients_are_those_of_differences(way):
    x = pictures()[..., :4, :4]
    found = seen(way(), x)
    assert [a.layer for a in found] in (["blocks.0", "blocks.1"], [way.__name__] * 2)
    for attention, (weights, grads) in zip(found, by_hand(way(), x), strict=True):
        torch.testing.assert_close(attention.weights, weights)
        torch.testing.assert_close(attention.gradients, grads, rtol=1e-6, atol=1e-9)


class Encoder(nn.Module):
    """An own vision transformer on torch's encoder, pre-norm, whose fast path must not be taken."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(1, 8, 2, stride=2)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, 3)
        self.double().eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.patches(x).flatten(2).mT).mean(1))


def test_encoder_layers_agree_with_what_they_say_themselves():
    net, x = Encoder(), pictures()
    found = seen(net, x)
    tokens = net.patches(x).flatten(2).mT
    assert len(found) == 2
    for attention, layer in zip(found, net.encoder.layers, strict=True):
        normed = layer.norm1(tokens)
        weights = layer.self_attn(normed, normed, normed, need_weights=True, average_attn_weights=False)[1]
        torch.testing.assert_close(attention.weights, weights)
        tokens = layer(tokens)
    assert found[1].layer == "encoder.layers.1.self_attn"


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_transformers_agree_with_output_attentions(attention):
    config = ViTConfig(
        hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=8, image_size=8, patch_size=4,
        num_channels=1, num_labels=3, attn_implementation="eager",
    )  # fmt: skip
    torch.manual_seed(0)
    net = ViTForImageClassification(config).double().eval()
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    expected = net(x, output_attentions=True).attentions
    config._attn_implementation = attention
    weights = net.state_dict()
    net = ViTForImageClassification(config).double().eval()
    net.load_state_dict(weights)
    for found, weights in zip(seen(net, x), expected, strict=True):
        torch.testing.assert_close(found.weights.float(), weights.float())  # its eager softmax is in float32


def test_fused_and_explicit_attention_of_timm_agree():
    net = timm.models.vision_transformer.VisionTransformer(
        img_size=8, patch_size=4, in_chans=1, embed_dim=8, num_heads=2, depth=2, num_classes=3
    )
    net = net.double().eval()
    nn.init.normal_(net.head.weight)
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64)
    both = []
    for fused in (True, False):
        for block in net.blocks:
            block.attn.fused_attn = fused
        both.append(seen(net, x))
    for a, b in zip(*both, strict=True):
        torch.testing.assert_close(a.weights, b.weights)
        torch.testing.assert_close(a.gradients, b.gradients)
        assert a.gradients.any()


BOOLEAN = torch.tensor([[True, False, True, True], [False, False, False, False], [True, True, False, False]])


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"is_causal": True},
        {"attn_mask": BOOLEAN},
        {"attn_mask": torch.randn(3, 4, generator=torch.Generator().manual_seed(1))},
        {"attn_mask": torch.zeros(3, 4).masked_fill(~BOOLEAN, -torch.inf), "scale": 0.3},
        {"scale": 2.0, "enable_gqa": True},
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_explicit_attention_is_the_fused_one(settings, dtype):
    draws = torch.Generator().manual_seed(0)
    heads = 2 if settings.get("enable_gqa") else 4
    q = torch.randn(2, 4, 3, 5, generator=draws).to(dtype)
    k, v = (torch.randn(2, heads, 4, 5, generator=draws).to(dtype) for _ in range(2))
    if isinstance(mask := settings.get("attn_mask"), Tensor) and mask.is_floating_point():
        settings = settings | {"attn_mask": mask.to(dtype)}
    expected = F.scaled_dot_product_attention(q, k, v, **settings)
    with torch.no_grad(), Softmax(lambda: "here", recording=False) as mode:
        found = F.scaled_dot_product_attention(q, k, v, **settings)
    coarse = {"rtol": 0.02, "atol": 4e-3} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(found, expected, **coarse)
    assert found.requires_grad
    weights = mode.found[0].tensor
    blind = isinstance(mask, Tensor) and not (mask.dtype == torch.bool and mask.any(-1).all())
    if not blind:
        torch.testing.assert_close(weights.sum(-1), torch.ones_like(weights[..., 0]))
    (gradient,) = torch.autograd.grad(found.sum(), weights)
    assert gradient.isfinite().all()


def test_a_gate_is_no_attention():
    class Gated(Attends):
        def attend(self, block, tokens):
            return tokens * tokens.softmax(-1) + block(tokens)[..., :8].softmax(1)

    with pytest.raises(MethodError, match="Gated computes no attention weights"):
        seen(Gated(), pictures())


def test_attention_without_gradients_is_said():
    class Blocked(Attends):
        def attend(self, block, tokens):
            with torch.no_grad():
                return super().attend(block, tokens)

    with pytest.raises(ExplainError, match="from the score back to the attention of 'Blocked', 'Blocked'"):
        seen(Blocked(), pictures())


def test_attention_that_the_score_does_not_see_is_left_out():
    class Aside(Attends):
        def forward(self, x):
            self.attend(self.blocks[0], self.patches(x).flatten(2).mT)
            return super().forward(x)

    found, plain = seen(Aside(), pictures()), seen(Attends(), pictures())
    assert len(found) == 2
    for a, b in zip(found, plain, strict=True):
        torch.testing.assert_close(a.gradients, b.gradients)


@pytest.mark.parametrize("way", WAYS)
def test_the_network_is_untouched(way):
    net = way()
    loss = net(pictures(seed=3)).sum()
    loss.backward()
    before = everything(net)
    seen(net, pictures())
    assert everything(net) == before
    assert torch.backends.mha.get_fastpath_enabled()


@pytest.mark.parametrize("way", [Attends, Layers, Flat])
def test_threads_get_the_serial_answer(way):
    net = way()
    engine = Engine(net)
    batches = [Batch.of(pictures(seed=i), net) for i in range(4)]
    serial = [attention_layers(engine, batch, TARGETS) for batch in batches]

    def outside(i: int) -> bool:
        return bool(net(pictures(seed=i)).requires_grad)

    with ThreadPoolExecutor(8) as pool:
        others = [pool.submit(outside, i) for i in range(16)]
        again = [pool.submit(attention_layers, engine, batches[i % 4], TARGETS) for i in range(16)]
        assert all(other.result() for other in others)
        for i, future in enumerate(again):
            for a, b in zip(future.result(), serial[i % 4], strict=True):
                assert torch.equal(a.weights, b.weights)
                assert torch.equal(a.gradients, b.gradients)


def test_half_precision_comes_back_in_float32():
    net = Attends().to(torch.bfloat16)
    for attention in seen(net, pictures()):
        assert attention.weights.dtype == attention.gradients.dtype == torch.float32
