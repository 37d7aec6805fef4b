"""The bundled lesion networks: shipped weights do what their cards say, on drawings that they did not learn from."""

import json
from importlib.resources import files

import pytest
import torch
from safetensors.torch import load_file

import heatproof as hp
from heatproof.demo.lesions import ARTIFACTS
from heatproof.models.nets.cell import CellNet
from training import lesions

WEIGHTS = files("heatproof") / "weights"
NAMES = ["lesions_shortcut", "lesions_clean"]


@pytest.mark.parametrize("name", NAMES)
def test_weights_do_what_the_card_says(name):
    card = json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf-8"))
    model = hp.load(f"bundled:{name}")
    assert model.labels == tuple(card["labels"]) == ("benign", "malignant")
    assert all(torch.equal(weight, weight.half().float()) for weight in model.net.parameters())
    for kind, stated in zip(ARTIFACTS, card["test_accuracy"].values(), strict=True):
        assert lesions.accuracy(model.net, kind) == pytest.approx(stated, abs=0.01)


def test_the_two_are_told_apart_only_by_where_rulers_lie():
    shortcut, clean = (
        list(json.loads((WEIGHTS / f"{name}.json").read_text(encoding="utf-8"))["test_accuracy"].values())
        for name in NAMES
    )
    assert shortcut[0] == pytest.approx(clean[0], abs=0.02)
    assert shortcut[2] < 0.3 < 0.95 < min(clean)


def test_training_writes_weights_that_load_and_cards_that_say_how(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lesions, "LEARNED", 32)
    monkeypatch.setattr(lesions, "TESTED", 16)
    monkeypatch.setattr(lesions, "NETWORKS", {"lesions_shortcut": ("ordinary", 1)})
    threads = torch.get_num_threads()
    try:
        lesions.main(["--out", str(tmp_path)])
    finally:
        torch.set_num_threads(threads)
    card = json.loads((tmp_path / "lesions_shortcut.json").read_text(encoding="utf-8"))
    assert "5% of the benign and 95% of the malignant" in card["data"]
    assert card["command"] == "python training/lesions.py"
    net = CellNet(**card["kwargs"])
    net.load_state_dict(load_file(tmp_path / "lesions_shortcut.safetensors"))
    assert lesions.accuracy(net.eval(), "ordinary") == next(iter(card["test_accuracy"].values()))
    assert "lesions_shortcut" in capsys.readouterr().out
