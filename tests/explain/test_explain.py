"""Explanations as users ask for them: batches, chunks, targets, flags, hooks, scores, memory."""

import dataclasses
import gc
import math
import weakref
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.odd_models import IMAGE_NETS, Residual, Signal, Small, Volume, make, pictures
from torch import Tensor, nn

import heatproof as hp
from heatproof.explain import Explainer
from heatproof.explain.flags import flags_of
from heatproof.types import Capture


@pytest.mark.parametrize("name", [n for n in IMAGE_NETS if n != "no parameters"])
@pytest.mark.parametrize("method", ["gradcam", "gradcam_plusplus"])
def test_batch_equals_singles_in_any_order(name: str, method: str) -> None:
    explainer, x = Explainer(make(name), method=method), pictures(4)
    targets = [[0, 1], [2, 2], [3, 0], [1, 2]]
    whole = explainer(x, target=targets)
    backwards = explainer(x.flip(0), target=targets[::-1])
    singles = [explainer(x[i : i + 1], target=[targets[i]]) for i in range(4)]
    for field in ("maps", "scores"):
        expected = getattr(whole, field)
        for other in (getattr(backwards, field).flip(0), torch.cat([getattr(s, field) for s in singles])):
            torch.testing.assert_close(other, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 7), size=st.integers(1, 8), t=st.integers(1, 4), as_list=st.booleans())
def test_chunks_equal_the_whole(n: int, size: int, t: int, as_list: bool) -> None:
    net, x = make("plain"), pictures(n)
    target = [[(i * j) % 4 for j in range(t)] for i in range(n)]
    whole = Explainer(net)(x, target=target)
    found = Explainer(net, batch_size=size)(list(x) if as_list else x, target=target)
    torch.testing.assert_close(found.maps, whole.maps, rtol=1e-4, atol=1e-7)
    assert found.targets == whole.targets
    assert len(found.inputs) == len(found.geometries) == len(found) == n


def test_chunks_share_the_layer_of_the_first() -> None:
    """Callables that flow through different branches: one layer for the call, whatever the batch size."""

    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3, stride=2)

        def forward(self, x: Tensor) -> dict[str, Tensor]:
            a, b = self.a(x), self.b(x)
            return {"a": a.mean((2, 3)), "both": a.mean((2, 3)) + b.mean((2, 3))}

    def one(out: dict[str, Tensor]) -> Tensor:
        return out["a"][0]

    def both(out: dict[str, Tensor]) -> Tensor:
        return out["both"][1]

    net, x = Branches(), pictures(2)
    for size in (None, 1):
        found = Explainer(net, batch_size=size)(x, target=[one, both])
        assert found.layer == "a"
        assert found.maps.shape == (2, 1, 8, 10)


def test_scores_are_the_models_own_and_the_predicted_class_is_explained() -> None:
    net = make("plain", train=False)
    with torch.no_grad():
        out = net(pictures())
    found = hp.explain(net, pictures())
    torch.testing.assert_close(found.scores, out.max(1, keepdim=True).values)
    assert [row[0].index for row in found.targets] == out.argmax(1).tolist()
    labelled = hp.explain(hp.Model(net, labels=["a", "b", "c", "d"]), pictures(), target=["c", "a", 1])
    torch.testing.assert_close(labelled.scores[:, 0], out[range(3), [2, 0, 1]])
    assert [row[0].name for row in labelled.targets] == ["c", "a", "b"]


def test_peers_target_objects_work_unchanged() -> None:
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    net = make("plain", train=False)
    expected = hp.explain(net, pictures(), target=[2, 0, 1])
    objects = [targets.ClassifierOutputTarget(i) for i in (2, 0, 1)]
    torch.testing.assert_close(hp.explain(net, pictures(), targets=objects).maps, expected.maps)
    soft = hp.explain(net, pictures(), target=targets.ClassifierOutputSoftmaxTarget(1))
    with torch.no_grad():
        torch.testing.assert_close(soft.scores[:, 0], net(pictures()).softmax(1)[:, 1])
    assert soft.targets[0][0].name == "ClassifierOutputSoftmaxTarget"


def test_callables_that_cannot_be_hashed_or_are_made_anew() -> None:
    @dataclasses.dataclass
    class Class:
        index: int

        def __call__(self, out: Tensor) -> Tensor:
            return out[self.index]

    net = make("plain")
    explainer = Explainer(net)
    expected = explainer(pictures(), target=2).maps
    for _ in range(3):
        torch.testing.assert_close(explainer(pictures(), target=Class(2)).maps, expected)
        torch.testing.assert_close(explainer(pictures(), target=lambda out: out[2]).maps, expected)


@pytest.mark.parametrize(("layer", "target"), [
    ("layer", "target"), ("target_layer", "class_idx"), ("target_layers", "targets"), ("target_layers", "category")
])  # fmt: skip
def test_peers_spellings(layer: str, target: str) -> None:
    net = make("plain")
    expected = hp.explain(net, pictures(), target=1, layer="conv2")
    both = hp.explain(net, pictures(), **{layer: "conv2", target: 1})
    split = Explainer(net, **{layer: "conv2"})(pictures(), **{target: 1})
    assert torch.equal(both.maps, expected.maps)
    assert torch.equal(split.maps, expected.maps)


def test_layers_as_names_modules_and_lists() -> None:
    net = make("plain")
    expected = hp.explain(net, pictures(), target=1, layer="conv2")
    for layer in (net.conv2, [net.conv2], ["conv2"], ("conv2",)):
        assert torch.equal(hp.explain(net, pictures(), target=1, layer=layer).maps, expected.maps)
    several = hp.explain(net, pictures(), target=1, layer=["conv2", net.act2])
    act2 = hp.explain(net, pictures(), target=1, layer="act2")
    torch.testing.assert_close(several.maps, (expected.maps + act2.maps) / 2)
    assert several.layer == "conv2 + act2"
    mixed = hp.explain(net, pictures(), target=1, layer=["conv", "conv2"])
    conv = hp.explain(net, pictures(), target=1, layer="conv")
    up = nn.functional.interpolate(expected.maps, size=(10, 12), mode="bilinear", align_corners=False)
    torch.testing.assert_close(mixed.maps, (conv.maps + up) / 2)


def test_own_method() -> None:
    def mean_activation(capture: Capture) -> Tensor:
        return capture.activations.mean(1, keepdim=True).expand(-1, capture.scores.shape[1], -1, -1)

    found = hp.explain(make("plain"), pictures(), target=[[0, 1]] * 3, method=mean_activation, layer="conv2")
    assert found.method == "mean_activation"
    assert torch.equal(found.maps[:, 0], found.maps[:, 1])
    with pytest.raises(hp.HeatproofError, match=r"returned \(3, 1, 5, 6\) instead of a tensor of shape \(3, 2, 5, 6\)"):
        hp.explain(make("plain"), pictures(), target=[[0, 1]] * 3, layer="conv2", method=lambda c: c.activations[:, :1])
    with pytest.raises(hp.HeatproofError, match="returned ndarray instead of"):
        hp.explain(make("plain"), pictures(), layer="conv2", method=lambda c: c.activations[:, :1].numpy())


def test_flags() -> None:
    plain = torch.tensor([[[1.0, -1.0], [0.0, 2.0]]])
    cases = {
        (): plain,
        ("blank",): plain * 0,
        ("constant",): plain * 0 + 3.0,
        ("all-negative",): -plain.abs(),
        ("constant", "all-negative"): plain * 0 - 0.1,
        ("non-finite",): plain / 0,
    }
    rounding = torch.full((1, 2, 2), 1 / 3) * (1 + torch.tensor([[0.0, 1e-7], [-1e-7, 0]]))
    assert flags_of(torch.stack(list(cases.values()))) == tuple((flags,) for flags in cases)
    assert flags_of(rounding[None]) == ((("constant",),),)
    assert flags_of((plain * 1e-30)[None]) == (((),),)  # small is not blank


class Ends(Small):
    """Ends in a function of the scores, to bring about maps to be flagged."""

    def __init__(self, end: Any) -> None:
        super().__init__()
        self.end = end

    def forward(self, x: Tensor) -> Tensor:
        return self.end(super().forward(x))


def test_a_score_whose_gradient_is_zero_gets_a_blank_map_and_a_flag() -> None:
    shut = Ends(lambda y: (y - 100).relu())
    found = hp.explain(shut, pictures(), target=1)
    assert found.flags == ((("blank",),),) * 3
    assert not found.maps.any()


def test_one_shut_input_does_not_decide_for_the_batch() -> None:
    net = make("plain")
    with torch.no_grad():
        y = net.eval()(pictures())[:, 1]
    order = y.argsort()
    threshold = float(y[order[0]] + y[order[1]]) / 2  # the lowest is shut, the others are open
    ending = Ends(lambda y: (y - threshold).relu())
    ending.load_state_dict(net.state_dict())
    x = pictures()[order]
    explainer = Explainer(ending)
    whole = explainer(x, target=1)
    assert whole.layer == explainer(x[1:], target=1).layer == Explainer(ending)(x[2:], target=1).layer
    assert whole.flags[0] == (("blank",),)
    torch.testing.assert_close(whole.maps[1:], Explainer(ending)(x[1:], target=1).maps)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_scores_that_are_not_finite_are_explained_and_flagged(bad: float) -> None:
    found = hp.explain(Ends(lambda y: y * bad), pictures(), target=1)
    assert found.flags == ((("non-finite",),),) * 3
    assert not bool(found.scores.isfinite().any())


class Limited(Small):
    """Runs out of memory above some batch size."""

    def __init__(self, limit: int, error: type[Exception] = torch.OutOfMemoryError) -> None:
        super().__init__()
        self.limit, self.error = limit, error

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self.limit:
            # what the CPU's allocator says, in a RuntimeError
            raise self.error(f"{len(x)} are too many: DefaultCPUAllocator: can't allocate memory")
        return super().forward(x)


@pytest.mark.parametrize("method", ["gradcam", "ablationcam", "scorecam", "gradient"])
@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError, RuntimeError])
@pytest.mark.parametrize("limit", [1, 2, 3, 5])
def test_batches_are_halved_when_memory_runs_out(limit: int, error: type[Exception], method: str) -> None:
    net, x = Limited(limit, error), pictures(7)
    roomy = Limited(100)
    roomy.load_state_dict(net.state_dict())
    found = hp.explain(net, x, target=[[i % 4, 0] for i in range(7)], method=method)
    expected = hp.explain(roomy, x, target=[[i % 4, 0] for i in range(7)], method=method)
    torch.testing.assert_close(found.maps, expected.maps, rtol=1e-4, atol=1e-7)
    assert found.targets == expected.targets


def test_memory_that_does_not_even_hold_one_input_is_the_callers_to_know() -> None:
    with pytest.raises(torch.OutOfMemoryError, match="1 are too many"):
        hp.explain(Limited(0), pictures(4))


def test_caches_do_not_grow_with_ever_new_sizes_and_targets() -> None:
    explainer = Explainer(make("plain"))
    for side in range(6, 146):
        explainer(pictures(1, side), target=lambda out: out[0])
    assert len(explainer.engine._traces) <= 64
    assert len(explainer.engine._choices) <= 64
    assert len(explainer.engine.pool._idle) == 1


def test_an_explainer_that_is_left_lets_go_of_the_network() -> None:
    net = make("plain")
    with Explainer(net) as explainer:
        explainer(pictures())
    hp.explain(net, pictures())
    alive = weakref.ref(net)
    del net, explainer
    gc.collect()
    assert alive() is None


class Log:
    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def on(self, net: nn.Module) -> "Log":
        def batch_of(args: Any) -> int:
            return len(args[0] if isinstance(args, tuple) else args)

        net.conv.register_forward_pre_hook(lambda m, args: self.calls.append(("pre", batch_of(args))))
        net.act2.register_forward_hook(lambda m, args, out: self.calls.append(("forward", batch_of(out))))
        net.fc.register_full_backward_hook(lambda m, given, got: self.calls.append(("backward", batch_of(got))))
        return self


@pytest.mark.parametrize("layer", [None, "conv2"])
def test_user_hooks_that_watch_run_once_an_explanation(layer: str | None) -> None:
    """Not in the passes that trace and choose, nor in quick checks; a backward hook once per backward."""
    net = make("plain")
    log = Log().on(net)
    explainer = Explainer(net, layer=layer)
    for _ in range(2):
        found = explainer(pictures(), target=1)
        assert log.calls == [("pre", 3), ("forward", 3), ("backward", 3)]
        log.calls.clear()
    hp.quick_checks(found)
    assert log.calls == [("pre", 3), ("forward", 3), ("backward", 3)]  # the runner-up class is explained, too
    log.calls.clear()
    explainer(pictures(), target=[[0, 1]] * 3)
    assert log.calls == [("pre", 3), ("forward", 3), ("backward", 3), ("backward", 3)]


@pytest.mark.parametrize("where", ["before", "at", "after"])
def test_user_hooks_that_change_what_is_computed_belong_to_the_network(where: str) -> None:
    """In everything that runs: maps, replays, rescoring, quick checks."""

    class Scaled(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x) * 3 + 1

    name = {"before": "conv", "at": "conv2", "after": "fc"}[where]
    hooked, plain = make("plain"), make("plain")
    hooked.get_submodule(name).register_forward_hook(lambda m, args, out: out * 3 + 1)
    setattr(plain, name, Scaled(getattr(plain, name)))
    rows = torch.tensor([2, 0])
    seen: list[list[Tensor]] = []

    def method(capture: Capture) -> Tensor:
        assert capture.inputs is not None
        seen.append([
            capture.activations,
            capture.gradients,
            capture.replay(capture.activations[rows] * 0.5, rows),
            capture.rescore(capture.inputs[rows] * 0.5, rows),
        ])  # fmt: skip
        return capture.activations.mean(1, keepdim=True)

    for net in (hooked, plain):
        for _ in range(2):
            Explainer(net, layer="conv2", method=method)(pictures(), target=1)
    for i in range(2):
        for a, b in zip(seen[i], seen[i + 2], strict=True):
            torch.testing.assert_close(a, b)


def test_a_hook_that_raises_is_heard() -> None:
    net = make("plain")

    def hook(*_: Any) -> None:
        raise KeyError("mine")

    net.conv.register_forward_hook(hook)
    with pytest.raises(KeyError, match="mine"):
        hp.explain(net, pictures())


def test_provenance_and_resolution() -> None:
    found = hp.explain(make("plain"), pictures(), layer="conv2")
    assert found.resolution.grid == (5, 6)
    assert found.resolution.spacing == (2.0, 2.0)
    assert found.resolution.receptive_field == (5.0, 5.0)
    assert found.provenance["method"] == "gradcam"
    assert found.input_size == (10, 12)


def test_residual_network_end_to_end_in_float64() -> None:
    """Grad-CAM by hand on a network with in-place residuals: weights are mean gradients of the whole graph."""
    torch.manual_seed(3)
    net = Residual().double().eval()
    x = pictures().double()
    held: dict[str, Tensor] = {}
    handle = net.two.register_forward_hook(lambda m, i, o: held.update(a=o) or o.clone())
    y = net(x)[:, 2]
    handle.remove()
    a = held["a"]
    gradient = torch.autograd.grad(y.sum(), a)[0]
    expected = (gradient.mean((2, 3), keepdim=True) * a.detach()).sum(1, keepdim=True)
    torch.testing.assert_close(hp.explain(net, x, target=2, layer="two").maps.double(), expected)


@pytest.mark.parametrize(("net", "x"), [
    (Signal(), torch.rand(2, 2, 33)), (make("plain"), pictures(2)), (Volume(), torch.rand(2, 1, 9, 11, 14))
], ids=["1-D", "2-D", "3-D"])  # fmt: skip
def test_unbatched_tensors_alone_or_in_a_list(net: nn.Module, x: Tensor) -> None:
    """The network says which axis is what: (c, l) is no picture, (c, z, y, x) no batch."""
    expected = hp.explain(net, x, target=1)
    torch.testing.assert_close(hp.explain(net, list(x), target=1).maps, expected.maps)
    torch.testing.assert_close(hp.explain(net, x[0], target=1).maps, expected.maps[:1])
