"""The commands of docs/slides.md run as they stand, on files that stand for the reader's own."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from tests.volumes.series import write_series

from heatproof.cli import main
from heatproof.synthetic.slides import write_slide

PAGE = (Path(__file__).parents[2] / "docs" / "slides.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
CONSOLE = [line for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
LARGE, SMALL = "resnet50", "resnet10t"  # what the page says, and what is quick enough here
NET = """
import torch


def build():
    return torch.nn.Sequential(
        torch.nn.Conv3d(1, 2, 3, padding=1), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool3d(1), torch.nn.Flatten()
    )
"""


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with all that the page takes for granted."""
    timm = pytest.importorskip("timm")
    write_slide(tmp_path / "slide.svs", (1300, 1100), spots=1, seed=3)
    torch.save({"state_dict": timm.create_model(SMALL, num_classes=2).state_dict()}, tmp_path / "tumor.ckpt")
    (tmp_path / "classes.txt").write_text("normal\ntumor\n")
    (tmp_path / "mymil.py").write_text(PYTHON[0])
    (tmp_path / "mynet.py").write_text(NET)
    space: dict[str, object] = {}
    exec(compile(PYTHON[0], "docs/slides.md", "exec"), space)  # the page's own code
    torch.save(space["Attention"]().state_dict(), tmp_path / "mymil.pt")
    with h5py.File(tmp_path / "slide.h5", "w") as file:
        file["features"] = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32)
        file["coords"] = [[256 * i, 256] for i in range(4)]
        file["coords"].attrs["patch_size_level0"] = 256
    ball = np.zeros((40, 100, 100), np.int16)
    ball[15:25, 40:60, 40:60] = 1
    write_series(tmp_path / "ct", ball)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_every_command_runs(desk, capsys):
    ran = []
    for line in CONSOLE:
        program, *words = shlex.split(line.removeprefix("$ ").replace(LARGE, SMALL))
        if program == "pip":
            continue
        if program == "python":
            subprocess.run([sys.executable, *words], check=True)
            continue
        with pytest.raises(SystemExit) as stop:
            main(words)
        told = capsys.readouterr()
        assert stop.value.code == 0, told.err
        ran.append(words[0])
    assert ran.count("wsi") == 5
    assert ran.count("volume") == 1
    drawn = json.loads((desk / "drawn-out" / "slide.json").read_text())
    assert drawn["mode"] == "seamless"
    assert drawn["regions"][0]["evidence_mass"] > 0
    assert (desk / "out-stored" / "attention" / "overview.png").is_file()
    assert (desk / "out-encoded" / "perturbation" / "overview.png").is_file()
    assert (desk / "out-volume" / "map.nii.gz").is_file()


def test_every_file_of_the_table_is_written(desk, capsys):
    with pytest.raises(SystemExit):
        main(["wsi", "bundled:dab", "slide.svs", "--mpp", "1", "--target", "1", "-o", "out"])
    capsys.readouterr()
    table = PAGE.split("## What is in the folder")[1].split("##")[0]
    names = [name for row in table.splitlines() if row.startswith("| `") for name in re.findall(r"`([^`]+)`", row[:40])]
    assert len(names) >= 9
    for name in names:
        assert (desk / "out" / name).exists() or (desk / "out" / "regions" / name).exists(), name
