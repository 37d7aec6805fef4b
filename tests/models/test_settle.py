"""Verdicts on readings of a tensor, from movements that are written down by hand."""

import pytest
import torch

from heatproof.models.layout import Layout
from heatproof.models.settle import Verdict, agreed, corners, settle


def moved(length: int, peaks: list[int], strength: float = 1.0, around: float = 0.0) -> dict[str, torch.Tensor]:
    """Each corner moved one of `length` tokens by `strength`, and all of them by `around`."""
    found = torch.full((len(peaks), length), around)
    for row, peak in enumerate(peaks):
        found[row, peak] = strength
    return {"tokens": found}


def test_the_corners_tell_every_axis_apart():
    assert corners(1) == [(0,), (1,)]
    assert corners(2) == [(0, 0), (1, 0), (0, 1), (1, 1)]
    assert corners(3) == [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]


@pytest.mark.parametrize(
    ("axes", "length", "peaks", "expected"),
    [
        # A 2 x 3 grid after a class token, and one with two detection tokens behind it.
        (2, 7, [1, 4, 3, 6], Layout("tokens", (2, 3), 1)),
        (2, 9, [1, 4, 3, 6], Layout("tokens", (2, 3), 1)),
        # The same 12 tokens as 3 x 4 and as 4 x 3.
        (2, 12, [0, 8, 3, 11], Layout("tokens", (3, 4))),
        (2, 12, [0, 9, 2, 11], Layout("tokens", (4, 3))),
        # 2 x 3 x 4 positions of a volume: 12 tokens a slice, 4 a row.
        (3, 24, [0, 12, 8, 3, 23], Layout("tokens", (2, 3, 4))),
    ],
)
def test_a_rectangle_of_tokens_is_measured(axes, length, peaks, expected):
    assert settle((), moved(length, peaks), axes) == Verdict(True, expected)


def test_what_every_corner_moves_alike_does_not_count():
    """A class token that moves four times as much as any grid position, at every corner."""
    found = moved(7, [1, 4, 3, 6], around=0.01)
    found["tokens"][:, 0] = 4.0
    assert settle((), found, 2) == Verdict(True, Layout("tokens", (2, 3), 1))


@pytest.mark.parametrize(
    "peaks",
    [
        [0, 10, 5, 15],  # 4 x 4 positions in windows of 2 x 2, each window's tokens together
        [0, 12, 3, 9],  # the last corner in the middle
    ],
)
def test_sharp_peaks_in_other_places_refuse_every_reading(peaks):
    assert settle([Layout("tokens", (4, 4))], moved(16, peaks), 2) == Verdict(True, None)


def test_where_patches_overlap_the_second_position_may_move_more():
    options = [Layout("tokens", (5, 4)), Layout("tokens", (4, 5))]
    assert settle(options, moved(20, [6, 11, 8, 13]), 2).layout == Layout("tokens", (4, 5))


def test_silence_is_no_verdict():
    options = [Layout("tokens", (3, 4))]
    assert settle(options, {"tokens": torch.zeros(4, 12)}, 2) == Verdict(False)
    assert settle(options, {"tokens": torch.ones(4, 12)}, 2) == Verdict(False)
    assert settle(options, moved(12, [0, 0, 0, 0]), 2) == Verdict(False)  # a class token alone


def test_channels_first_or_last_of_equal_sides():
    """A (1, 4, 4, 4) tensor: only the movement tells which axis is the channels'."""
    options = [Layout("channels_first", (4, 4)), Layout("channels_last", (4, 4))]
    on_grid, across = torch.zeros(4, 4, 4), torch.full((4, 4, 4), 0.5)
    for row, (i, j) in enumerate([(0, 0), (3, 0), (0, 3), (3, 3)]):
        on_grid[row, i, j] = 1.0
    last = settle(options, {"channels_last": on_grid, "channels_first": across}, 2)
    first = settle(options, {"channels_last": across, "channels_first": on_grid}, 2)
    assert last.layout == options[1]
    assert first.layout == options[0]


def test_a_tensor_that_was_not_heard_takes_the_verdict_of_the_latest_of_its_shape():
    grid, none, silent = Verdict(True, Layout("tokens", (2, 3))), Verdict(True, None), Verdict(False)
    run = [((1, 6, 8), grid), ((1, 6, 16), silent), ((1, 6, 8), none), ((1, 6, 8), silent), ((1, 5, 8), silent)]
    assert [agreed(run, i) for i in range(5)] == [grid, grid, none, none, silent]
