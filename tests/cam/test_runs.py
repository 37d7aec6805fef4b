"""Ablation-CAM and Score-CAM on paper, and what they do with batches, memory, and scores that move as one."""

from dataclasses import replace
from math import exp

import pytest
import torch
from tests.cam.paper import network
from tests.contract.captures import toy

from heatproof.cam import methods
from heatproof.errors import MethodError
from heatproof.types import Capture

METHODS = methods()
RUNS = {"ablationcam": "replay", "scorecam": "rescore"}


def explain(name: str, capture: Capture, **settings) -> torch.Tensor:
    return METHODS[name].function(capture, **settings)


def watched(capture: Capture, name: str, limit: int | None = None, error: Exception | None = None):
    """Return the capture with its runs counted: the sizes that went through; more rows than `limit` raise `error`."""
    sizes = []
    run = getattr(capture, RUNS[name])

    def count(x, rows):
        if limit is not None and len(rows) > limit:
            raise error
        assert len(x) == len(rows)
        sizes.append(len(rows))
        return run(x, rows)

    return replace(capture, **{RUNS[name]: count}), sizes


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        # without A^1 the score drops by <g^1, A^1> = -2, without A^2 by 1.5; the largest activation is 3
        ("dense", [[-1 / 6, -4 / 3], [-2, 1]]),
        # 3 * 6/4 = 4.5 and -2 * 3/4 = -1.5
        ("pooled", [[1, 3], [4.5, -1]]),
    ],
)
def test_ablationcam_on_paper(head, expected):
    maps = explain("ablationcam", network(head).capture())
    torch.testing.assert_close(maps[0, 0], torch.tensor(expected))


def test_scorecam_on_paper():
    # masks A^1 / 3 and A^2 / 2. x * mask 1 = [1/3 4/3; 3 0]: A^1 is that, A^2 = [5/3 2/3; 0 2], y = 59/6
    # x * mask 2 = [1/2 0; 0 0]: A^1 is that, A^2 = [3/2 2; 2 2], y = 49/4
    first = 1 / (1 + exp(49 / 4 - 59 / 6))
    expected = first * torch.tensor([[1.0, 2], [3, 0]]) + (1 - first) * torch.tensor([[1.0, 0], [0, 2]])
    torch.testing.assert_close(explain("scorecam", network("dense").capture())[0, 0], expected)


def test_random_cam_on_paper():
    # A^1 has the larger mean and gets the first draw
    first, second = torch.rand(2, generator=torch.Generator().manual_seed(11)) * 2 - 1
    expected = first * torch.tensor([[1.0, 2], [3, 0]]) + second * torch.tensor([[1.0, 0], [0, 2]])
    torch.testing.assert_close(explain("random_cam", network("dense").capture(), seed=11)[0, 0], expected)
    assert not torch.allclose(explain("random_cam", network("dense").capture(), seed=12)[0, 0], expected)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("name", RUNS)
def test_the_batch_size_changes_nothing_and_is_kept(name, axes):
    model = toy(axes, "dense", rectified=False, dtype=torch.float64)
    whole = explain(name, model.capture(), batch_size=1000)
    for size in (1, 4, 7):
        capture, sizes = watched(model.capture(), name)
        torch.testing.assert_close(explain(name, capture, batch_size=size), whole, rtol=1e-12, atol=1e-12)
        assert max(sizes) == (min(size, 6) if name == "ablationcam" else size)  # which keeps inputs apart
        assert sum(sizes) == 3 * 6


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes."),
    ],
)
@pytest.mark.parametrize("name", RUNS)
def test_a_batch_that_does_not_fit_is_halved(name, error):
    model = toy(2, "dense", dtype=torch.float64)
    capture, sizes = watched(model.capture(), name, limit=3, error=error)
    torch.testing.assert_close(
        explain(name, capture, batch_size=16), explain(name, model.capture()), rtol=1e-12, atol=1e-12
    )
    assert sizes == [2] * 9  # 16 and 8 and 4 do not fit; nothing is tried again that did not


def test_scorecam_works_on_a_network_that_insists_on_the_usual_layout():
    model = toy(2, "dense", dtype=torch.float64)

    def picky(x):
        assert x.is_floating_point()
        return model.trunk(x.view(len(x), -1).view(x.shape))  # no view of what lies channels last

    capture, sizes = watched(replace(model, trunk=picky).capture(), "scorecam")
    torch.testing.assert_close(explain("scorecam", capture), explain("scorecam", model.capture()))
    assert sizes == [8, 8, 8, 2]  # the first was tried in both layouts


@pytest.mark.parametrize("name", RUNS)
def test_memory_that_one_row_exceeds_is_an_error(name):
    capture, _ = watched(toy(2).capture(), name, limit=0, error=torch.OutOfMemoryError("out of memory"))
    with pytest.raises(torch.OutOfMemoryError):
        explain(name, capture)


@pytest.mark.parametrize("name", RUNS)
def test_another_error_of_the_model_is_not_taken_for_a_lack_of_memory(name):
    capture, sizes = watched(toy(2).capture(), name, limit=3, error=RuntimeError("mat1 and mat2 cannot be multiplied"))
    with pytest.raises(RuntimeError, match="mat1"):
        explain(name, capture)
    assert not sizes


@pytest.mark.parametrize("name", RUNS)
def test_a_constant_added_to_every_score_changes_nothing(name):
    model = toy(2, "dense", dtype=torch.float64)
    for constant in (-1000.0, 3.0):
        shifted = replace(model, head=lambda a, constant=constant: model.head(a) + constant)
        maps, expected = explain(name, shifted.capture()), explain(name, model.capture())
        torch.testing.assert_close(maps, expected, rtol=1e-9, atol=1e-9)


def test_ablationcam_keeps_its_signs_where_the_score_is_negative_or_zero():
    model = network("pooled")  # y = 8
    expected = explain("ablationcam", model.capture())
    for bias in (-8.0, -80.0):
        shifted = replace(model, head=lambda a, bias=bias: model.head(a) + bias)
        torch.testing.assert_close(explain("ablationcam", shifted.capture()), expected, rtol=1e-5, atol=1e-5)


def test_ablationcam_shows_evidence_against():
    # the head's only weights are negative: every ablation raises the score
    model = network("pooled")
    against = replace(model, head=lambda a: -a.flatten(2).mean(-1).sum(1, keepdim=True))
    assert (explain("ablationcam", against.capture()) < 0).all()


def test_ablationcam_of_a_linear_head_is_channel_mean_times_weight():
    model = toy(2, "pooled", dtype=torch.float64)
    capture = model.capture()
    effect = (capture.gradients * capture.activations.unsqueeze(1)).flatten(3).sum(-1)
    expected = torch.einsum("ntk,nk...->nt...", effect, capture.activations)
    expected /= capture.activations.flatten(1).abs().amax(1).view(-1, 1, 1, 1)
    torch.testing.assert_close(explain("ablationcam", capture), expected)


@pytest.mark.parametrize(("ratio", "count"), [(1.0, 6), (0.9, 5), (0.5, 3), (1 / 3, 2), (0.01, 1)])
def test_the_ratio_of_ablated_channels_is_what_is_ablated(ratio, count):
    model = toy(2, "dense", t=1, rectified=False, dtype=torch.float64)
    capture, sizes = watched(model.capture(), "ablationcam")
    maps = explain("ablationcam", capture, ratio=ratio)
    assert sum(sizes) == count * len(capture.scores)
    effect = (capture.gradients * capture.activations.unsqueeze(1)).flatten(3).sum(-1).abs()
    for i, a in enumerate(capture.activations):
        expected = torch.zeros_like(a[0])
        for k in effect[i, 0].argsort(descending=True)[:count]:
            without = a.clone()
            without[k] = 0
            expected += (capture.scores[i] - model.head(without[None])[0, model.targets[i]]) * a[k] / a.abs().max()
        torch.testing.assert_close(maps[i, 0], expected)


def test_the_ratio_is_of_each_target_on_its_own():
    model = toy(2, "dense", t=3, rectified=False, dtype=torch.float64)
    maps = explain("ablationcam", model.capture(), ratio=0.5)
    singles = [explain("ablationcam", model.only_target(j).capture(), ratio=0.5) for j in range(3)]
    torch.testing.assert_close(maps, torch.cat(singles, dim=1))


def test_nothing_is_run_for_channels_of_zeros():
    capture, sizes = watched(toy(2, n=2).with_dead_channel().capture(), "ablationcam")
    explain("ablationcam", capture)
    assert sum(sizes) == 2 * 6


def test_scorecam_gives_no_weight_to_channels_that_are_the_same_everywhere():
    model = toy(2, "pooled", dtype=torch.float64)

    def trunk(x):
        a = model.trunk(x)
        return torch.cat([a, torch.full_like(a[:, :1], 100.0)], dim=1)

    capture, sizes = watched(replace(model, trunk=trunk, head=lambda a: model.head(a[:, :-1])).capture(), "scorecam")
    torch.testing.assert_close(explain("scorecam", capture), explain("scorecam", model.capture()))
    assert sum(sizes) == 3 * 6


def test_scorecam_weights_are_positive_and_sum_to_one():
    capture = toy(2, "dense", dtype=torch.float64).capture()
    lowest, highest = capture.activations.amin(1, keepdim=True), capture.activations.amax(1, keepdim=True)
    maps = explain("scorecam", capture)
    assert (lowest <= maps).all()
    assert (maps <= highest).all()


def test_scorecam_needs_one_input_to_mask():
    with pytest.raises(MethodError, match=r"Score-CAM masks the input, .* several tensors .*ablationcam"):
        explain("scorecam", replace(toy(2).capture(), inputs=None))


def test_scorecam_needs_the_inputs_axes():
    capture = replace(toy(2).capture(), inputs=torch.zeros(3, 2, 8))
    with pytest.raises(MethodError, match=r"layer 'trunk', on a grid \(4, 5\), .* spatial size \(8,\)"):
        explain("scorecam", capture)


@pytest.mark.parametrize("name", RUNS)
def test_a_batch_of_nothing_is_refused(name):
    with pytest.raises(MethodError, match="batch_size is 0; it must be at least 1"):
        explain(name, toy(2).capture(), batch_size=0)


@pytest.mark.parametrize("ratio", [0.0, 1.5, -1.0, float("nan")])
def test_a_ratio_that_is_none_is_refused(ratio):
    with pytest.raises(MethodError, match=r"ratio is .*above 0 and at most 1"):
        explain("ablationcam", toy(2).capture(), ratio=ratio)
