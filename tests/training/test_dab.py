"""The bundled DAB network: the shipped weights do what their card says, on pixels they never saw."""

import hashlib
import importlib
import json
from importlib.resources import files

import numpy as np
import pytest
import torch
from safetensors.torch import load as load_safetensors

from heatproof.demo import dab
from heatproof.inputs.prepare import Preprocess
from heatproof.models.nets.tile import TileNet

WEIGHTS = files("heatproof") / "weights"


@pytest.fixture(scope="module")
def card():
    return json.loads((WEIGHTS / "dab.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def net(card):
    module, _, name = card["factory"].partition(":")
    built = getattr(importlib.import_module(module), name)(**card["kwargs"])
    built.load_state_dict(load_safetensors((WEIGHTS / "dab.safetensors").read_bytes()), strict=True)
    return built.eval()


def normalized(images, card):
    x = torch.tensor(images.astype(np.float32) / 255).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(card["preprocess"][name]).view(1, 3, 1, 1) for name in ("mean", "std"))
    return (x - mean) / std


def test_card_says_what_a_reader_must_know(card):
    needed = """
        factory kwargs labels preprocess task data data_sha256 split tile_size train_n test_n test_accuracy
        test_balanced_accuracy command seed date versions reproducibility limits
    """
    assert not [name for name in needed.split() if card.get(name) is None or card[name] in ("", [], {})]
    assert card["labels"] == ["DAB-negative", "DAB-positive"]
    assert card["tile_size"] == dab.TILE
    assert card["split"]["columns"] == {part: list(columns) for part, columns in dab.SPLIT.items()}


def test_card_is_about_the_field_that_is_installed(card):
    assert hashlib.sha256(dab.field().tobytes()).hexdigest() == card["data_sha256"]


def test_card_normalizes_by_the_training_half_only(card):
    first, last = dab.SPLIT["train"]
    # JSON has lists where the settings have tuples
    stated = {name: tuple(value) if isinstance(value, list) else value for name, value in card["preprocess"].items()}
    settings = Preprocess(**stated)
    pixels = dab.field()[:, first:last].reshape(-1, 3) / 255
    assert settings.mean == pytest.approx(pixels.mean(0), abs=6e-4)
    assert settings.std == pytest.approx(pixels.std(0), abs=6e-4)


def test_weights_are_small_enough_for_the_wheel():
    assert len((WEIGHTS / "dab.safetensors").read_bytes()) <= 300_000


def test_held_out_accuracy_is_what_the_card_says(net, card):
    tiles = dab.tiles("test")
    with torch.inference_mode():
        right = net(normalized(tiles.images, card)).argmax(1).numpy() == tiles.labels
    assert len(right) == card["test_n"]
    assert right.mean() >= 0.9
    assert right.mean() == pytest.approx(card["test_accuracy"], abs=0.01)
    balanced = np.mean([right[tiles.labels == label].mean() for label in (0, 1)])
    assert balanced == pytest.approx(card["test_balanced_accuracy"], abs=0.01)


def test_untrained_weights_do_not_reach_that(card):
    tiles = dab.tiles("test", step=8)
    net = TileNet(**card["kwargs"]).initialize(torch.Generator().manual_seed(0))
    with torch.inference_mode():
        recalls = net(normalized(tiles.images, card)).argmax(1).numpy() == tiles.labels
    assert np.mean([recalls[tiles.labels == label].mean() for label in (0, 1)]) < 0.9


def test_train_and_test_share_no_pixel_nor_receptive_field(net, card):
    painted = {part: np.zeros(dab.field().shape[:2], bool) for part in dab.SPLIT}
    for part, mask in painted.items():
        for row, column in dab.tiles(part).corners:
            mask[row : row + dab.TILE, column : column + dab.TILE] = True
    assert not (painted["train"] & painted["test"]).any()
    gap = np.flatnonzero(painted["test"].any(0)).min() - np.flatnonzero(painted["train"].any(0)).max() - 1
    assert gap >= dab.TILE

    # measured, not computed: which columns of the input move one grid position in the middle
    x = torch.zeros(1, 3, 96, 96, requires_grad=True)
    features = net.features(x + normalized(dab.field()[None, :96, :96], card))
    (gradient,) = torch.autograd.grad(features[..., 12, 12].sum(), x)
    seen = gradient.abs().sum((0, 1, 2)).nonzero().flatten()
    assert 1 < len(seen) <= gap


def test_classes_are_as_their_definition_says():
    tiles = dab.tiles("test")
    share = tiles.truths.mean((1, 2))
    assert ((share >= 0.05) & (share <= 0.40))[tiles.labels == 1].all()
    assert (share < 0.01)[tiles.labels == 0].all()
    for index in (0, len(tiles) // 2, len(tiles) - 1):
        row, column = tiles.corners[index]
        np.testing.assert_array_equal(tiles.images[index], dab.field()[row : row + 48, column : column + 48])
        np.testing.assert_array_equal(tiles.truths[index], dab.truth()[row : row + 48, column : column + 48])


def test_truth_is_brown_and_the_rest_is_not():
    red, blue = dab.field()[..., 0].astype(int), dab.field()[..., 2].astype(int)
    brown = red - blue  # DAB takes blue light away, hematoxylin takes red
    assert np.median(brown[dab.truth()]) > 50
    assert np.median(brown[~dab.truth()]) < 20


def test_field_cannot_be_written_into():
    with pytest.raises(ValueError, match="read-only"):
        dab.field()[0, 0] = 0


def test_net_runs_on_any_size_and_splits_exactly_into_places(net, card):
    x = normalized(dab.field()[None, :100, :140], card)
    with torch.inference_mode():
        features = net.features(x)
        places = torch.einsum("ck,nkhw->nchw", net.head.weight, features)
        score = net(x)
    assert features.shape[2:] == (25, 35)
    torch.testing.assert_close(places.mean((2, 3)) + net.head.bias, score)


def test_grid_positions_sit_where_upsampling_puts_them():
    net = TileNet(channels=1, widths=(1, 1, 1), strides=(1, 2, 2))
    for module in net.features:
        if hasattr(module, "weight"):
            torch.nn.init.ones_(module.weight)
            torch.nn.init.zeros_(module.bias)
    x = torch.ones(1, 1, 64, 64, requires_grad=True)
    (gradient,) = torch.autograd.grad(net.features(x)[0, 0, 8, 8], x)
    weight = gradient[0, 0].sum(0)
    center = (weight * torch.arange(64)).sum() / weight.sum()
    assert center.item() == pytest.approx(8 * 4 + 1.5, abs=1e-4)  # the middle of the four pixels 32..35


def test_initialize_is_he_normal_and_repeats():
    first, again, other = (
        TileNet(widths=(64, 64), strides=(1, 1)).initialize(torch.Generator().manual_seed(s)) for s in (3, 3, 4)
    )
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)
    weight = first.features[2].weight  # fan-in 64 * 9, 36,864 draws
    assert weight.std().item() == pytest.approx((2 / 576) ** 0.5, rel=0.02)
    assert first.features[2].bias.abs().max() == 0
