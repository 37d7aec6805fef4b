"""The bundled blood-cell network: the shipped weights do what their card says, on pictures that were held out."""

import csv
import json
from importlib.resources import files

import pytest
import torch

import heatproof as hp
from heatproof.inputs.prepare import Preprocess
from heatproof.models.nets.cell import CellNet
from training import pbc_cells

WEIGHTS = files("heatproof") / "weights"


@pytest.fixture(scope="module")
def card():
    return json.loads((WEIGHTS / "cells.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def model():
    return hp.load("bundled:cells")


@pytest.fixture
def toy(monkeypatch):
    """A training part of noise: what is tested is the loop, not what it learns."""
    images = torch.rand(64, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr(pbc_cells, "load", lambda part: (images, torch.arange(64) % 8))
    monkeypatch.setattr(pbc_cells, "preprocess", lambda: Preprocess(mean=(0.5,) * 3, std=(0.25,) * 3))
    monkeypatch.setattr(pbc_cells, "NETWORK", {"channels": 3, "classes": 8, "widths": [2, 2]})


def test_card_says_what_a_reader_must_know(card):
    needed = """
        factory kwargs labels preprocess task data license data_sha256 split train_n test_n test_accuracy test_recall
        precision command seed date versions reproducibility limits
    """
    assert not [name for name in needed.split() if card.get(name) is None or card[name] in ("", [], {})]
    assert card["labels"] == pbc_cells.LABELS == list(card["test_recall"])
    assert "CC BY 4.0" in card["license"]
    assert "Acevedo" in card["data"]
    assert "same people" in card["split"]["note"]
    assert (card["train_n"], card["test_n"]) == (1120, 480)
    assert card["test_accuracy"] >= 0.85
    assert card["test_accuracy"] == pytest.approx(sum(card["test_recall"].values()) / 8, abs=1e-3)  # 60 of each class


def test_model_comes_ready_to_use(card, model):
    assert model.labels == tuple(card["labels"])
    stated = {name: tuple(value) if isinstance(value, list) else value for name, value in card["preprocess"].items()}
    assert model.preprocess == Preprocess(**stated)
    assert {weight.dtype for weight in model.net.parameters()} == {torch.float32}
    assert all(torch.equal(weight, weight.half().float()) for weight in model.net.parameters())


@pytest.mark.real
def test_held_out_cells_are_named_as_the_card_says(data_folder, card, model):
    with (data_folder / "pbc" / "labels.csv").open(encoding="utf-8") as table:
        rows = [row for row in csv.DictReader(table) if row["split"] == "test"]
    cells = [model.preprocess(hp.read(data_folder / "pbc" / row["file"])).tensor for row in rows]
    with torch.inference_mode():
        named = model.net.eval()(torch.stack(cells)).argmax(1).tolist()
    right = sum(pbc_cells.FOLDERS[index] == row["name"] for index, row in zip(named, rows, strict=True))
    assert len(rows) == 80  # a sixth of what the card's accuracy was measured on
    assert right / len(rows) == pytest.approx(card["test_accuracy"], abs=0.06)


@pytest.mark.real
def test_training_and_held_out_part_share_no_picture(data_folder, monkeypatch, card):
    monkeypatch.setenv("HEATPROOF_DATA", str(data_folder))
    train, test = ({path for path, _ in pbc_cells.files(part)} for part in ("train", "test"))
    assert (len(train), len(test)) == (card["train_n"], card["test_n"])
    assert not train & test
    assert pbc_cells.digest() == card["data_sha256"]


def test_net_runs_on_any_size_and_splits_exactly_into_places(model):
    x = torch.rand(2, 3, 80, 112, generator=torch.Generator().manual_seed(1))
    net = model.net.eval()
    with torch.inference_mode():
        features = net.blocks(net.stem(x))
        places = torch.einsum("ck,nkhw->nchw", net.head.weight, features)
        score = net(x)
    assert features.shape[2:] == (10, 14)
    torch.testing.assert_close(places.mean((2, 3)) + net.head.bias, score)


def test_grid_positions_sit_where_upsampling_puts_them():
    net = CellNet(channels=1, widths=(1, 1, 1)).eval()
    for module in net.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.ones_(module.weight)
    x = torch.ones(1, 1, 128, 128, requires_grad=True)
    (gradient,) = torch.autograd.grad(net.blocks(net.stem(x))[0, 0, 8, 8], x)
    weight = gradient[0, 0].sum(0)
    center = (weight * torch.arange(128)).sum() / weight.sum()
    assert center.item() == pytest.approx(8 * 8 + 3.5, abs=1e-3)  # the middle of the eight pixels 64..71


def test_initialize_is_he_normal_and_repeats():
    first, again, other = (CellNet().initialize(torch.Generator().manual_seed(s)) for s in (3, 3, 4))
    weight = first.blocks[2].body[3].weight  # fan-in 96 * 9, 82,944 draws
    assert torch.equal(weight, again.blocks[2].body[3].weight)
    assert not torch.equal(weight, other.blocks[2].body[3].weight)
    assert weight.std().item() == pytest.approx((2 / 864) ** 0.5, rel=0.02)
    assert first.head.bias.abs().max() == 0


def test_training_repeats_and_a_cut_off_one_goes_on_as_if_it_had_not_been(toy, tmp_path, monkeypatch):
    whole, again = (pbc_cells.train(5, 2, None).state_dict() for _ in range(2))
    augment, calls = pbc_cells.augment, []

    def cut_off(images, generator):
        if len(calls) == 2:  # one epoch has two batches
            raise KeyboardInterrupt
        calls.append(1)
        return augment(images, generator)

    monkeypatch.setattr(pbc_cells, "augment", cut_off)
    with pytest.raises(KeyboardInterrupt):
        pbc_cells.train(5, 2, tmp_path / "at")
    monkeypatch.setattr(pbc_cells, "augment", augment)
    continued = pbc_cells.train(5, 2, tmp_path / "at").state_dict()
    for name, value in whole.items():
        assert torch.equal(value, again[name]), name
        assert torch.equal(value, continued[name]), name


def test_augmenting_turns_and_flips_but_leaves_glass_as_it_is():
    glass = torch.ones(8, 3, 96, 96)
    assert torch.equal(pbc_cells.augment(glass, torch.Generator().manual_seed(0)), glass)
    corner = glass.clone()
    corner[:, :, 20:30, 20:30] = 0
    seen = 1 - pbc_cells.augment(corner, torch.Generator().manual_seed(0)).mean(1)
    middle = torch.einsum("nhw,h->n", seen, torch.arange(96.0)) / seen.sum((1, 2))
    assert (middle - 47.5).abs().min() > 16  # 23 from the middle, moved by 6 at most
    assert (middle < 47).any()
    assert (middle > 48).any()
