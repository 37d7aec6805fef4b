"""`heatproof doctor`: versions, extras, devices and caches."""

import json

import pytest
import torch

from heatproof.cli import doctor, main


def run(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["doctor", *words])
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_tells_versions_devices_and_folders(capsys):
    told = json.loads(run(["--json"], capsys))
    assert told["packages"]["core"]["torch"] == torch.__version__.partition("+")[0] or torch.__version__
    assert set(told["extras"]) == {"vision", "slides", "medical", "web", "cluster"}
    assert "cpu" in told["devices"]
    bundled = told["weights"]["heatproof (bundled)"]
    assert bundled["files"] >= 2
    assert bundled["megabytes"] > 0


def test_an_incomplete_extra_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda package: None if package == "pydicom" else "1.0")
    out = run([], capsys)
    assert "pip install 'heatproof[medical]'" in out
    assert "heatproof[vision]" not in out
    (line,) = [line for line in out.splitlines() if line.startswith("pydicom")]
    assert "not installed" in line


def test_follows_the_cache_variables(capsys, monkeypatch, tmp_path):
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "blob").write_bytes(bytes(2_000_000))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    told = json.loads(run(["--json"], capsys))["weights"]["timm, Hugging Face"]
    assert told == {"folder": str(tmp_path / "hub"), "files": 1, "megabytes": 2.0}
