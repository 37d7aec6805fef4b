"""A trace is what really happened: calls in order, identities of tensors, receptive fields."""

import pytest
import torch
from tests.odd_models import HOOK_TABLES, Small, UsesTwice, make, pictures
from torch import Tensor, nn

from heatproof.models.trace import Trace, trace


def traced(net: nn.Module, x: Tensor) -> Trace:
    return trace(net.eval(), lambda m: m(x), tuple(x.shape[2:]), len(x))


def test_calls_end_in_order_with_the_root_last() -> None:
    record = traced(UsesTwice(), pictures(1))
    assert [(c.name, c.count) for c in record.calls] == [
        ("stem", 0),
        ("block.0", 0), ("block.1", 0), ("block", 0),
        ("block.0", 1), ("block.1", 1), ("block", 1),
        ("block.0", 2),
        ("fc", 0),
        ("", 0),
    ]  # fmt: skip
    spans = {(c.name, c.count): (c.start, c.end) for c in record.calls}
    assert spans["", 0][0] == 0
    assert spans["block", 0][0] < spans["block.0", 0][0] < spans["block.1", 0][1] < spans["block", 0][1]
    assert spans["block", 0][1] < spans["block", 1][0]
    assert [c.learned for c in record.calls if c.name == "block.1"] == [False, False]


def test_identities_follow_tensors_through_in_place_writes() -> None:
    record = traced(Small(), pictures(1))
    outputs = {c.name: c.outputs[0] for c in record.calls}
    (bn, before), (act, after) = outputs["bn"].identity, outputs["act"].identity
    assert bn == act  # an in-place ReLU returns the very tensor
    assert after == before + 1  # but in a later state
    assert outputs["fc"].identity == outputs[""].identity
    assert outputs["conv"].identity[0] != outputs["conv2"].identity[0]
    assert outputs["conv2"].shape == (1, 5, 5, 6)


def test_passive_modules_pass_on_and_active_ones_do_not() -> None:
    class Permute(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.permute(0, 2, 3, 1)

    class Cast(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.double()

    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Dropout(), nn.ReLU(), nn.MaxPool2d(2), nn.Tanh(), Cast(), nn.ELU(inplace=True), Permute()
    )
    record = traced(net, pictures(1) - 0.5)
    assert {c.name: c.passive for c in record.calls} == {
        "0": False, "1": True, "2": False, "3": True, "4": False, "5": True, "6": False, "7": True, "": False,
    }  # fmt: skip


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.ReLU6(), nn.Hardtanh(-2, 2), nn.Threshold(0.1, 0.0)])
@pytest.mark.parametrize("value", [0.0, 0.5])
def test_an_activation_that_changes_nothing_this_time_is_no_passive_module(activation: nn.Module, value: float) -> None:
    """Which layer is chosen must not depend on whether the first input happens to be positive, small or zero."""
    net = nn.Sequential(nn.AvgPool2d(2), activation, nn.Dropout(), nn.Conv2d(3, 3, 1))
    calls = {c.name: c.passive for c in traced(net, torch.full((1, 3, 8, 8), value)).calls}
    assert calls == {"0": True, "1": False, "2": True, "3": False, "": False}


@pytest.mark.parametrize(("layers", "reach"), [
    ([nn.Conv2d(3, 4, 3)], 3),
    ([nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)], 5),
    ([nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1)], 7),
    ([nn.Conv2d(3, 4, 3, dilation=2), nn.Conv2d(4, 4, 1)], 5),
    ([nn.MaxPool2d(2), nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1)], 16),
    ([nn.Conv2d(3, 4, 5, stride=2), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)], 13),
    ([nn.Conv2d(3, 4, 3, stride=3), nn.AvgPool2d(3, stride=1), nn.Conv2d(4, 4, 2)], 12),
    ([nn.Conv2d(3, 4, 4, stride=2), nn.ConvTranspose2d(4, 4, 4, stride=2), nn.Conv2d(4, 4, 3)], 8),
    ([nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(10)], 5),
])  # fmt: skip
def test_receptive_fields_equal_what_gradients_reach(layers: list[nn.Module], reach: int) -> None:
    """Which input samples does one output position depend on? Averages in place of maxima, all weights one."""
    net = nn.Sequential(*layers).double()
    x = torch.zeros(1, 3, 32, 32, dtype=torch.float64)
    found = traced(net, x).calls[-1].outputs[0].reach
    plain = nn.Sequential(*[nn.AvgPool2d(2) if isinstance(m, nn.MaxPool2d) else m for m in layers]).double()
    for p in plain.parameters():
        nn.init.ones_(p)
    x = torch.ones_like(x).requires_grad_()
    out = plain(x)
    touched = torch.autograd.grad(out[0, 0, out.shape[2] // 2, out.shape[3] // 2], x)[0][0, 0].any(0).nonzero()
    assert int(touched.max() - touched.min()) + 1 == reach
    assert found == (reach, reach)


def test_a_trace_leaves_no_hooks_and_no_graph() -> None:
    net = make("plain", train=False)
    record = traced(net, pictures(1))
    assert not record.output.requires_grad
    assert all(not vars(m).get(t) for m in net.modules() for t in HOOK_TABLES)


def test_a_forward_that_raises_leaves_no_hooks() -> None:
    net = make("plain", train=False)
    with pytest.raises(RuntimeError):
        traced(net, torch.rand(1, 2, 9, 9))
    assert all(not vars(m).get(t) for m in net.modules() for t in HOOK_TABLES)


def test_an_error_that_the_forward_catches_does_not_confuse_the_count() -> None:
    class Tries(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.wrong = nn.Conv2d(3, 3, 3), nn.Conv2d(5, 3, 3)

        def forward(self, x: Tensor) -> Tensor:
            try:
                return self.wrong(x)
            except RuntimeError:
                return self.conv(x)

    assert [c.name for c in traced(Tries(), pictures(1)).calls] == ["conv", ""]


def test_attention_sees_everything_whatever_its_last_step_is_called() -> None:
    class BottleneckAttn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.qkv, self.last = nn.Conv2d(4, 12, 1), nn.Identity()

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = self.qkv(x).flatten(2).chunk(3, 1)
            mixed = v @ (q.transpose(1, 2) @ k).softmax(-1).transpose(1, 2)
            return self.last(mixed.reshape(x.shape))

    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), BottleneckAttn(), nn.Conv2d(4, 2, 1))
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    assert traced(net, x).calls[-1].outputs[0].reach == (16.0, 16.0)
