"""The five-minute recipe in CONTRIBUTING.md works, to the letter."""

import re
import sys
from pathlib import Path

import pytest
import torch
from tests.contract.battery import run_battery

import heatproof.cam
from heatproof.cam import method, methods
from heatproof.cli import main
from heatproof.types import Capture

TEXT = (Path(__file__).parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
STEM = "gradcam_positive"


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """The method of the recipe, in a folder that stands beside the package's own."""
    path, code = re.search(
        r"Write this as `src/heatproof/cam/(\w+\.py)`:\n\n```python\n(.*?)```", TEXT, re.DOTALL
    ).groups()
    assert path == f"{STEM}.py"
    (tmp_path / path).write_text(code, encoding="utf-8")
    monkeypatch.setattr(heatproof.cam, "__path__", [*heatproof.cam.__path__, str(tmp_path)])
    heatproof.cam._discovered.cache_clear()
    yield methods()[STEM]
    heatproof.cam._discovered.cache_clear()
    sys.modules.pop(f"heatproof.cam.{STEM}", None)
    vars(heatproof.cam).pop(STEM, None)


def test_it_is_found_under_every_spelling(plugin):
    assert method("GradCAMPositive") is method("positive grad-cam") is plugin
    assert plugin.tier == "experimental"


def test_it_is_listed_and_documented(plugin, capsys):
    for words in (["methods"], ["methods", STEM]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 0
        assert "Positive Grad-CAM" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["methods", STEM, "--bibtex"])
    assert capsys.readouterr().out.startswith("@misc{you2026positive,")


def test_it_keeps_the_contract(plugin):
    run_battery(plugin)


def test_it_computes_what_it_says(plugin):
    capture = Capture(
        activations=torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]),
        gradients=torch.tensor([[[[1.0, -1.0], [0.5, 2.0]]]]),
        scores=torch.zeros(1, 1),
        layer="layer",
        replay=lambda activations, rows: torch.zeros(len(rows), 1),
        rescore=lambda inputs, rows: torch.zeros(len(rows), 1),
    )
    # the mean of 1 and 0 is 0.5, of 0.5 and 2 is 1.25: 0.5 (1 2) + 1.25 (3 4)
    assert plugin.function(capture).tolist() == [[[4.25, 6.0]]]
