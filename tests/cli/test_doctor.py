"""`heatproof doctor`: versions, extras, devices and caches."""

import torch

from heatproof.cli import doctor


def test_tells_versions_devices_and_folders(run_json):
    _, told = run_json("doctor")
    assert told["packages"]["core"]["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert set(told["extras"]) == {
        "vision", "audit", "slides", "medical", "science", "web", "cluster", "xarray",
        "mlflow", "tensorboard", "lightning",
    }  # fmt: skip
    assert "cpu" in told["devices"]
    bundled = told["weights"]["heatproof (bundled)"]
    assert bundled["files"] >= 2
    assert bundled["megabytes"] > 0


def test_an_incomplete_extra_says_how_to_get_it(run, monkeypatch):
    monkeypatch.setattr(doctor, "_version", lambda package: None if package == "pydicom" else "1.0")
    _, out, _ = run("doctor")
    assert "pip install 'heatproof[medical]'" in out
    assert "heatproof[vision]" not in out
    (line,) = [line for line in out.splitlines() if line.startswith("pydicom")]
    assert "not installed" in line


def test_follows_the_cache_variables(run_json, monkeypatch, tmp_path):
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "blob").write_bytes(bytes(2_000_000))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    _, told = run_json("doctor")
    assert told["weights"]["timm, Hugging Face"] == {"folder": str(tmp_path / "hub"), "files": 1, "megabytes": 2.0}
