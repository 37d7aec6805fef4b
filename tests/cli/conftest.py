"""Held-out tiles of a real photomicrograph as files, and a way to run the program."""

import json

import pytest
from PIL import Image
from skimage.data import immunohistochemistry

from heatproof.cli import main

# upper left corners in the held-out half, and what the card's rule says of them
TILES = {"stained": (192, 384), "clean": (336, 432)}


@pytest.fixture
def tiles(tmp_path):
    """A folder with a stained and a clean tile."""
    picture = immunohistochemistry()
    folder = tmp_path / "tiles"
    folder.mkdir()
    for name, (y, x) in TILES.items():
        Image.fromarray(picture[y : y + 48, x : x + 48]).save(folder / f"{name}.png")
    return folder


@pytest.fixture
def run(capsys):
    """Run the program; return the exit code, standard output and standard error."""

    def call(*words):
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in words])
        told = capsys.readouterr()
        return stop.value.code, told.out, told.err

    return call


@pytest.fixture
def run_json(run):
    """Run the program with --json; return the exit code and the document."""

    def call(*words):
        code, out, _ = run(*words, "--json")
        return code, json.loads(out)

    return call
