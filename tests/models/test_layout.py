"""How outputs are read as grids, and the way there and back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from heatproof.models.layout import Layout, infer


@pytest.mark.parametrize(
    ("shape", "size", "seen", "lengths", "expected"),
    [
        ((2, 512, 7, 7), (224, 224), (), (), Layout("channels_first", (7, 7))),
        ((2, 7, 7, 768), (224, 224), (), (), Layout("channels_last", (7, 7))),
        ((2, 15, 20, 64), (480, 640), (), (), Layout("channels_last", (15, 20))),
        ((2, 64, 15, 20), (480, 640), (), (), Layout("channels_first", (15, 20))),
        ((2, 2048, 8, 8), (299, 299), (), (), Layout("channels_first", (8, 8))),
        ((2, 64, 388, 388), (572, 572), (), (), Layout("channels_first", (388, 388))),  # U-Net without padding
        ((2, 64, 8, 64), (32, 256), (), (), Layout("channels_first", (8, 64))),
        ((2, 64, 4, 64), (32, 256), (), (), Layout("channels_first", (4, 64))),  # unlike strides, both whole
        ((2, 197, 768), (224, 224), ((14, 14),), (), Layout("tokens", (14, 14), 1)),
        ((2, 200, 768), (224, 224), ((14, 14),), (), Layout("tokens", (14, 14), 4)),
        ((2, 301, 192), (240, 320), ((15, 20),), (), Layout("tokens", (15, 20), 1)),
        ((2, 197, 768), (224, 224), (), (), Layout("tokens", (14, 14), 1)),  # by the patch size alone
        ((2, 8, 50), (400,), (), (), Layout("channels_first", (50,))),
        ((2, 8, 4, 6, 5), (32, 48, 40), (), (), Layout("channels_first", (4, 6, 5))),
        ((2, 3, 197, 64), (224, 224), (), (197,), None),  # heads
        ((2, 3, 197, 197), (224, 224), (), (197,), None),  # attention weights
        ((2, 512, 1, 1), (224, 224), (), (), None),
        ((2, 1000), (224, 224), (), (), None),
        ((64, 512, 7, 7), (224, 224), (), (), None),  # windows or boxes in the batch axis
        ((2, 50, 40, 8), (224, 224), (), (), None),  # 224 / 50 is no stride
    ],
)
def test_infer(shape, size, seen, lengths, expected):
    assert infer(shape, 2, size, seen, lengths) == expected


grids = st.lists(st.integers(2, 5), min_size=1, max_size=3).map(tuple)


@given(grids, st.integers(1, 4), st.integers(0, 3), st.sampled_from(["channels_first", "channels_last", "tokens"]))
def test_from_grid_is_the_inverse_of_to_grid(grid, channels, prefix, kind):
    layout = Layout(kind, grid, prefix if kind == "tokens" else 0)
    places = torch.Size(grid).numel()
    shapes = {
        "channels_first": (2, channels, *grid),
        "channels_last": (2, *grid, channels),
        "tokens": (2, prefix + places, channels),
    }
    raw = torch.arange(float(torch.Size(shapes[kind]).numel())).reshape(shapes[kind])
    on_grid = layout.to_grid(raw)
    assert on_grid.shape == (2, channels, *grid)
    assert torch.equal(layout.from_grid(on_grid, raw), raw)
    stacked = torch.stack([raw, -raw, 2 * raw])
    assert torch.equal(layout.to_grid(stacked, lead=2), torch.stack([on_grid, -on_grid, 2 * on_grid]))


def test_token_order_is_row_by_row():
    raw = torch.arange(7.0).reshape(1, 7, 1)  # one class token, then a 2 x 3 grid
    assert Layout("tokens", (2, 3), 1).to_grid(raw).tolist() == [[[[1, 2, 3], [4, 5, 6]]]]
