"""What the faithfulness check fills holes with, and compares maps with, against values worked out by hand."""

from typing import Any

import pytest
import torch

from heatproof.checks._controls import blocks
from heatproof.checks._fills import chosen, continuum, surrogate
from heatproof.checks._gain import compared, legible
from heatproof.checks._regions import region_test
from heatproof.checks._surrogates import far_shift, phase_randomized, surrogates
from heatproof.errors import UsageError
from heatproof.metrics.imputers import mean


def test_continuum_by_hand() -> None:
    x = torch.tensor([[[9.0, 2.0, 9.0, 9.0, 8.0, 9.0]]])
    holes = torch.tensor([[[1.0, 0.0, 1.0, 1.0, 0.0, 1.0]]])
    # level before the first and after the last, a straight line from 2 to 8 between
    assert continuum(x, holes).flatten().tolist() == pytest.approx([2, 2, 4, 6, 8, 8])
    # half removed is half filled
    assert continuum(x, holes / 2).flatten().tolist() == pytest.approx([5.5, 2, 6.5, 7.5, 8, 8.5])
    assert continuum(x, torch.ones_like(holes)).flatten().tolist() == pytest.approx([46 / 6] * 6)
    assert torch.equal(continuum(x, torch.zeros_like(holes)), x)


@pytest.mark.parametrize("grid", [(16,), (15,), (8, 6), (5, 7), (4, 5, 6)])
def test_phase_randomized_keeps_spectrum_mean_and_relations_of_channels(grid: tuple[int, ...]) -> None:
    x = torch.randn(2, 3, *grid, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    found = phase_randomized(x, len(grid), seed=4)
    last = tuple(range(-len(grid), 0))
    before, after = (torch.fft.fftn(one, dim=last) for one in (x, found))
    torch.testing.assert_close(after.abs(), before.abs(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.mean(last), x.mean(last))
    cross = [one[:, 0] * one[:, 1].conj() for one in (before, after)]
    torch.testing.assert_close(cross[1], cross[0], rtol=1e-8, atol=1e-8)
    assert (found - x).abs().mean() > 0.1
    assert torch.equal(found, phase_randomized(x, len(grid), seed=4))
    assert not torch.equal(found, phase_randomized(x, len(grid), seed=5))


def test_a_surrogate_fills_only_what_is_removed() -> None:
    x = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    weights = torch.zeros(1, 1, 8, 8)
    weights[..., 2:4, :] = 1.0
    found = surrogate(x, weights, seed=3)
    assert torch.equal(found[..., 4:, :], x[..., 4:, :])
    torch.testing.assert_close(found[..., 2:4, :], phase_randomized(x, 2, 3)[..., 2:4, :])


def test_surrogates_are_the_map_moved_turned_or_a_stranger_s() -> None:
    maps = torch.arange(4 * 20.0).reshape(4, 4, 5)
    own = [torch.Generator().manual_seed(i) for i in range(4)]
    known: Any = {"keys": (5, 2, 9, 1), "generators": own}
    found, kinds = surrogates(maps, ["a", "a", "b", "b"], shifted=3, turned=2, others=3, **known)
    assert kinds == ["shifted"] * 3 + ["turned"] * 2 + ["other input"] * 3
    for i, one in enumerate(maps):
        for each in found[i, :5]:
            assert sorted(each.flatten().tolist()) == sorted(one.flatten().tolist())
            assert not torch.equal(each, one)
        rolled = [one.roll((a, b), (0, 1)) for a in range(4) for b in range(5)]
        flipped = [one.flip(0), one.flip(1), one.flip(0, 1)]
        assert all(any(torch.equal(each, r) for r in rolled) for each in found[i, :3])
        assert all(any(torch.equal(each, f) for f in flipped) for each in found[i, 3:5])
        strangers = maps[2:] if i < 2 else maps[:2]
        assert all(any(torch.equal(each, s) for s in strangers) for each in found[i, 5:])
    assert surrogates(maps, ["a"] * 4, shifted=1, turned=0, others=2, **known)[1] == ["shifted"]


def test_a_far_shift_is_a_quarter_of_some_axis_at_least() -> None:
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        shift = far_shift((8, 5), generator)
        assert any(4 * min(s, side - s) >= side for s, side in zip(shift, (8, 5), strict=True))


def test_blocks_by_hand() -> None:
    assert blocks((5,), 2).tolist() == [[1, 1, 1, 0, 0], [0, 0, 0, 1, 1]]
    assert blocks((2, 3), 7).tolist() == torch.eye(6).tolist()
    found = blocks((4, 4, 4), 2)
    assert found.shape == (8, 64)
    assert found.sum(0).tolist() == [1.0] * 64
    assert found.sum(1).tolist() == [8.0] * 8


def test_compared_by_hand() -> None:
    tested = torch.tensor([[1.0, 2.0], [0.0, torch.nan]], dtype=torch.float64)
    nulls = torch.tensor([[1.05, 1.5], [torch.nan, -1.0]], dtype=torch.float64)
    found = compared(tested, nulls, torch.tensor([0.1, 0.1], dtype=torch.float64))
    assert found[0].tolist() == [[0.5, 0.0], [1.0, 1.0]]
    assert found[1].isnan().tolist() == [[True, False], [True, True]]
    assert found[1, 0, 1] == 1.0


def test_region_test_by_a_loop_over_every_place() -> None:
    weight = torch.arange(16.0).reshape(4, 4)
    x = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    maps = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    ran: list[int] = []

    def score(inputs, rows):
        ran.append(len(rows))
        return (inputs[:, 0] * weight).flatten(1).sum(1, keepdim=True)

    own = [torch.Generator().manual_seed(i) for i in range(2)]
    found = region_test(maps, x, score, mean, share=0.125, elsewhere=3, generators=own, batch=3)
    for i in range(2):
        order = sorted(range(16), key=lambda p: -float(maps[i].flatten()[p]))[:2]
        expected = sum(float(weight.flatten()[p] * (x[i].flatten()[p] - x[i].mean())) for p in order)
        assert float(found.top[i]) == pytest.approx(expected, abs=1e-4)
    assert found.share == 0.125
    assert sum(ran) == 2 * found.forwards == 2 * 5


def test_imputers_by_name_and_by_function() -> None:
    assert list(chosen(None, (4.0,), 0)) == ["continuum", "surrogate"]
    assert list(chosen(None, (4.0, 4.0, 4.0), 0)) == ["blur", "noisy_linear"]
    assert list(chosen([mean, "noise"], (1.0,), 0)) == ["mean (1)", "noise"]
    assert chosen({"mine": mean}, (1.0,), 0) == {"mine": mean}
    assert list(chosen("blur", (4.0, 4.0), 0)) == ["blur"], "one name is no list of letters"
    assert list(chosen(mean, (1.0,), 0).values()) == [mean]
    with pytest.raises(UsageError, match="is empty"):
        chosen([], (1.0,), 0)


def test_what_a_color_scale_does_not_tell_apart_is_a_tie() -> None:
    maps = torch.tensor([[[2.0, 1e-6, 0.0, -1e-6, 0.5, -2.0], [0.0] * 6, [torch.nan, 1.0, 0.0, 0.0, 0.0, 0.0]]])
    found = legible(maps)
    assert found[0, 0].tolist() == [255.0, 0.0, 0.0, 0.0, 64.0, -255.0]
    assert found[0, 1].tolist() == [0.0] * 6
    assert bool(found[0, 2].isnan().any())
    assert torch.equal(legible(maps[:, :2] * 1e-9), found[:, :2])
