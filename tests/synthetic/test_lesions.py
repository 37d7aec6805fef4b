"""Whether a network minds a sticker is measured: by pictures that were drawn with it and without."""

import torch
from torch import Tensor, nn

from heatproof.synthetic import lesions
from heatproof.synthetic._dermoscopy import draw


class Reads(nn.Module):
    """The mean of the middle, where the lesion lies, and some of that of the whole."""

    def __init__(self, whole: float) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, x: Tensor) -> Tensor:
        score = x[:, :, 20:28, 20:28].mean((1, 2, 3)) + self.whole * x.mean((1, 2, 3))
        return torch.stack([-score, score], 1)


def test_only_where_a_sticker_does_not_move_the_score_is_a_map_of_it_wrong() -> None:
    shown = draw(12, 3, {"sticker": (1.0, 1.0)}, size=lesions.SIDE)
    assert not bool(shown.masks["sticker"][:, 20:28, 20:28].any())
    assert lesions.known(Reads(0.0), shown, right=True) == "bad"
    assert lesions.known(Reads(50.0), shown, right=True) is None


def test_only_where_a_sticker_moves_the_score_more_than_all_else_is_a_map_of_it_right() -> None:
    shown = draw(12, 3, {"sticker": (1.0, 1.0)}, size=lesions.SIDE)
    stickers = (shown.pictures - shown.plain).abs().amax(1) > 0.02

    class Finds(nn.Module):
        """How far a picture is from what it was without its sticker, and the lesion's brightness."""

        def __init__(self, weight: float) -> None:
            super().__init__()
            self.weight = weight

        def forward(self, x: Tensor) -> Tensor:
            seen = ((x + 0.5 - shown.plain).abs().amax(1) > 0.02).double().mean((1, 2)) / stickers.double().mean((1, 2))
            lesion = x[:, :, 20:28, 20:28].double().mean((1, 2, 3))
            score = self.weight * seen + (lesion - lesion.mean()) / lesion.std()
            return torch.stack([-score, score], 1)

    assert lesions.known(Finds(2.5), shown, right=False) == "good"
    assert lesions.known(Finds(1.5), shown, right=False) is None
    assert lesions.known(Finds(-2.5), shown, right=False) is None
