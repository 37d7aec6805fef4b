"""Stability on networks whose maps are known: which maps stay, which do not, and what is changed in the input."""

import io
from itertools import count

import numpy as np
import pytest
import torch
from PIL import Image
from tests.checks.additive import Additive, changed, exact, signals
from torch import Tensor, nn

import heatproof as hp
from heatproof.checks._changes import recompressed, shifted, shifted_back
from heatproof.errors import InputError, UsageError
from heatproof.inputs.prepare import Preprocess
from heatproof.models import Model
from heatproof.types import Capture, CheckResult


class Even(Additive):
    """Additive with the same weight everywhere: the map follows the input."""

    def __init__(self, axes: int = 2) -> None:
        super().__init__(axes)
        with torch.no_grad():
            self.weights.fill_(1.0)


def stability(method, n: int = 30, axes: int = 2, net: nn.Module | None = None, **more) -> CheckResult:
    net = Even(axes).eval() if net is None else net
    return hp.check(net, signals(n, axes), "stability", target=0, method=method, layer="body", **more)[0]


def hashed(capture: Capture) -> Tensor:
    """A map that any change of the input turns into another, the same for the same input."""
    maps = exact(capture)
    return torch.frac(torch.sin(maps.double() * 1e7) * 43758.5453).to(maps.dtype)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_maps_that_follow_the_input_are_stable(axes: int) -> None:
    found = stability(exact, axes=axes)
    assert found.verdict == "supports"
    assert found.value is not None
    assert found.value.low > 0.8
    assert list(found.details["kinds"]) == ["noise", "one-sample shift"]


def test_maps_that_any_change_scrambles_are_not() -> None:
    found = stability(hashed)
    assert found.verdict == "undermines"
    assert found.value is not None
    assert abs(found.value.estimate) < 0.15


def test_runs_that_differ_undermine() -> None:
    runs = count()

    def restless(capture: Capture) -> Tensor:
        return exact(capture) * (1 + 1e-3 * next(runs))

    found = stability(restless, n=12)
    assert found.verdict == "undermines"
    assert found.details["repeated runs that differ"] == 12


def test_where_all_inputs_share_a_map_stability_says_nothing() -> None:
    def center(capture: Capture) -> Tensor:
        ramp = torch.arange(64.0).reshape(8, 8)
        return ramp + 1e-3 * exact(capture)

    found = stability(center)
    assert found.verdict == "inconclusive"
    assert "too alike" in found.why


def test_scale_and_seed_and_batches() -> None:
    first = stability(exact, n=12)
    for other in (
        stability(exact, n=12),
        stability(changed(lambda maps: 1e4 * maps), n=12),
        stability(exact, n=12, batch_size=5),
    ):
        assert other.per_input["rho"] == pytest.approx(first.per_input["rho"], abs=1e-5)


def test_few_inputs_and_constant_maps_decide_nothing() -> None:
    for n in (1, 5):
        found = stability(exact, n=n)
        assert (found.verdict, found.n_needed is not None, found.n) == ("inconclusive", True, n)
    blank = stability(changed(torch.zeros_like), n=12)
    assert blank.verdict == "inconclusive"
    assert blank.value is None
    assert "12 of 12 inputs are left out" in blank.why


def test_several_tensors_are_refused() -> None:
    class Two(Even):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return super().forward(x + y)

    x = signals(10)
    with pytest.raises(InputError, match="several tensors"):
        hp.check(Two().eval(), (x, x), "stability", target=0, method=exact, layer="body")


@pytest.mark.parametrize("settings", [{"jitter": 0.0}, {"draws": 0}, {"quality": 96}, {"margin": 1.0}])
def test_settings_out_of_range(settings) -> None:
    with pytest.raises(UsageError, match="out of range"):
        stability(exact, n=2, settings={"stability": settings})


def test_shift_by_hand() -> None:
    x = torch.arange(6.0).reshape(1, 1, 2, 3)
    assert shifted(x, 1).tolist() == [[[[0, 0, 1], [3, 3, 4]]]]
    assert shifted(x, 0).tolist() == [[[[0, 1, 2], [0, 1, 2]]]]
    # a quarter of a position back: 3/4 of the value and 1/4 of the next
    maps = torch.tensor([[[0.0, 4.0, 8.0, 0.0]]])
    assert shifted_back(maps, 0, 4.0).tolist() == [[[1.0, 5.0, 6.0, 0.0]]]
    assert shifted_back(shifted(x, 1), 1, 1.0)[..., :2].tolist() == x[..., :2].tolist()


def test_recompression_is_pillow_s_and_takes_the_way_back() -> None:
    pixels = torch.rand(2, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    prepare = Preprocess(mean=(0.5, 0.4, 0.3), std=(0.2, 0.3, 0.4), scale=255.0)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (prepare.mean, prepare.std))
    inputs = (pixels * 255 - mean) / std
    found = recompressed(inputs, Model(nn.Identity(), prepare), 75)
    assert found is not None
    for one, picture in zip(found, pixels, strict=True):
        file = io.BytesIO()
        levels = np.rint(picture.numpy() * 255).astype(np.uint8).transpose(1, 2, 0)
        Image.fromarray(levels).save(file, "JPEG", quality=75)
        expected = torch.from_numpy(np.asarray(Image.open(file)).astype(np.float32).transpose(2, 0, 1).copy())
        torch.testing.assert_close(one * std[0] + mean[0], expected, atol=1e-3, rtol=0)
    assert recompressed(inputs, Model(nn.Identity()), 75) is None
    assert recompressed(inputs * 2, Model(nn.Identity(), prepare), 75) is None
    assert recompressed(inputs[:, :1], Model(nn.Identity(), prepare), 75) is None
